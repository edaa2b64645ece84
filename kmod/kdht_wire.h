/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The kdht wire format, version 1, as wire/FORMAT.md describes it.
 *
 * Generated from the types in wire/src; "BLESS=1 cargo test -p kdht-wire --all-features"
 * rewrites it, and the same test without BLESS fails where it differs. Every structure may
 * begin at any address.
 */
#ifndef KDHT_WIRE_H
#define KDHT_WIRE_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/stddef.h>
#else
#include <assert.h>
#include <stddef.h>
#ifndef __packed
#define __packed __attribute__((__packed__))
#endif
#endif

/* First bytes of every message */
#define KDHT_MAGIC_0			0x4b
#define KDHT_MAGIC_1			0x44
#define KDHT_VERSION			1
#define KDHT_VERSION_MIN		1

/* Lengths and limits, in bytes where no other unit is named */
#define KDHT_OUTLINE_LEN		24
#define KDHT_HEAD_LEN			72
#define KDHT_ID_LEN			20
#define KDHT_MAC_LEN			8
#define KDHT_SALT_LEN			16
#define KDHT_EXT_HEAD_LEN		4
#define KDHT_RECORD_LEN_MAX		132
#define KDHT_DATAGRAM_LEN_MAX		1232
#define KDHT_STREAM_LEN_MAX		1049064
#define KDHT_INLINE_VALUE_LEN_MAX	1000
#define KDHT_VALUE_LEN_MAX		1048576
#define KDHT_EXTENSIONS_MAX		8
#define KDHT_HOPS_MAX			8
#define KDHT_TIME_SKEW_S_MAX		120
#define KDHT_UNPROVEN_FACTOR		3

/* Places in the head */
#define KDHT_ARG_OFFSET			7
#define KDHT_BODY_LEN_OFFSET		8
#define KDHT_TX_ID_OFFSET		16
#define KDHT_SHARD_OFFSET		23
#define KDHT_TARGET_OFFSET		32

/* The transaction id's top byte where the kernel asked; the cas of an unconditional store */
#define KDHT_SHARD_KERNEL		255
#define KDHT_STORE_UNCONDITIONAL	0xffffffffffffffffULL

/* Flags of the head, of a contact and of a record, in host order */
#define KDHT_FLAG_REPLY			0x0001
#define KDHT_FLAG_CLIENT		0x0002
#define KDHT_FLAG_RECURSE		0x0004
#define KDHT_FLAG_FORWARD		0x0008
#define KDHT_FLAG_MORE			0x0010
#define KDHT_FLAG_WANT4			0x0020
#define KDHT_FLAG_WANT6			0x0040
#define KDHT_FLAG_KEYED			0x0080
#define KDHT_FLAGS_RESERVED_ZERO	0x0f00
#define KDHT_FLAGS_RESERVED_IGNORED	0xf000
#define KDHT_CONTACT_FLAGS_RESERVED_ZERO	0x00ff
#define KDHT_RECORD_ANNOUNCED		0x01
#define KDHT_RECORD_RESERVED_ZERO	0x0e

/* What a message asks or answers */
enum kdht_kind {
	KDHT_KIND_PING = 1,
	KDHT_KIND_FIND_NODE = 2,
	KDHT_KIND_FIND_VALUE = 3,
	KDHT_KIND_STORE = 4,
	KDHT_KIND_FAULT = 5,
};

/* Why a request was refused, in the arg of a FAULT */
enum kdht_fault {
	KDHT_FAULT_VERSION = 1,
	KDHT_FAULT_KIND = 2,
	KDHT_FAULT_MALFORMED = 3,
	KDHT_FAULT_COOKIE = 4,
	KDHT_FAULT_BUSY = 5,
	KDHT_FAULT_DRAINING = 6,
	KDHT_FAULT_TOO_LONG = 7,
	KDHT_FAULT_HASH = 8,
	KDHT_FAULT_SIGNATURE = 9,
	KDHT_FAULT_SEQUENCE = 10,
	KDHT_FAULT_CAS = 11,
	KDHT_FAULT_PLAIN = 12,
	KDHT_FAULT_KEY_FULL = 13,
	KDHT_FAULT_SOURCE_FULL = 14,
	KDHT_FAULT_FULL = 15,
	KDHT_FAULT_EXPIRED = 16,
	KDHT_FAULT_RECURSE = 17,
};

/* How a value proves itself */
enum kdht_value_kind {
	KDHT_VALUE_IMMUTABLE = 1,
	KDHT_VALUE_SIGNED = 2,
	KDHT_VALUE_PLAIN = 3,
};

/* Which values a FIND_VALUE request wants */
enum kdht_filter_kind {
	KDHT_FILTER_ANY = 0,
	KDHT_FILTER_IMMUTABLE = 1,
	KDHT_FILTER_SIGNED = 2,
	KDHT_FILTER_PLAIN = 3,
};

/* How durable what was stored is, in the arg of a STORE reply */
enum kdht_durability {
	KDHT_DURABILITY_MEMORY = 1,
	KDHT_DURABILITY_OS = 2,
	KDHT_DURABILITY_DISK = 3,
};

/* Extensions; others are skipped */
enum kdht_ext_type {
	KDHT_EXT_PADDING = 0,
	KDHT_EXT_FORWARD = 1,
};

/* An id or a key: 160 bits, most significant byte first */
struct kdht_id {
	__u8 bytes[KDHT_ID_LEN];
} __packed;

/* First bytes of every message (section 3) */
struct kdht_head {
	__u8 magic[2];
	__u8 version;
	__u8 kind;
	__le16 flags;
	__u8 key_id;
	__u8 arg;
	__le32 body_len;
	__le32 time_s;
	__le64 tx_id;
	__le64 cookie;
	struct kdht_id target;
	struct kdht_id sender;
} __packed;

/* Where a node answers (section 4) */
struct kdht_endpoint {
	__u8 ip[16];
	__be16 port;
} __packed;

/* One node as others are told of it (section 4) */
struct kdht_contact {
	struct kdht_id id;
	struct kdht_endpoint endpoint;
	__le16 flags;
} __packed;

/* What every reply but a FAULT begins with (section 5) */
struct kdht_reply {
	struct kdht_endpoint observed;
	__le16 total;
} __packed;

/* Body of a FIND_VALUE request (section 5.3) */
struct kdht_find_value {
	__le16 cursor;
	__u8 filter;
	__u8 reserved;
	__u8 publisher[32];
} __packed;

/* Body of a STORE request, before its record (5.4) */
struct kdht_store {
	__le64 cas;
} __packed;

/* First bytes of every extension (section 5.6) */
struct kdht_ext {
	__le16 kind;
	__le16 len;
} __packed;

/* First bytes of every value record (section 6) */
struct kdht_record {
	__le32 value_len;
	__le32 remaining_s;
	__u8 kind;
	__u8 flags;
	__le16 cursor;
} __packed;

/* What follows the head of a signed record (6) */
struct kdht_signed {
	__le64 sequence;
	__u8 public_key[32];
	__u8 signature[64];
	__u8 salt[16];
} __packed;

/* A FAULT's target field (section 7) */
struct kdht_fault_detail {
	__u8 version_min;
	__u8 version_max;
	__le16 kinds;
	__le32 value_len_max;
	__le64 sequence;
	__le32 retry_ms;
} __packed;

/* Data of the forward extension (section 8.3) */
struct kdht_forward {
	__le64 tx_id;
	__le64 stamp;
	struct kdht_endpoint origin;
	__u8 hops;
	__u8 reserved;
	__le32 epoch_s;
} __packed;

/* Sizes and offsets as the Rust compiler lays them out */
static_assert(sizeof(struct kdht_id) == 20);
static_assert(sizeof(struct kdht_head) == 72);
static_assert(offsetof(struct kdht_head, magic) == 0);
static_assert(sizeof(((struct kdht_head *)0)->magic) == 2);
static_assert(offsetof(struct kdht_head, version) == 2);
static_assert(sizeof(((struct kdht_head *)0)->version) == 1);
static_assert(offsetof(struct kdht_head, kind) == 3);
static_assert(sizeof(((struct kdht_head *)0)->kind) == 1);
static_assert(offsetof(struct kdht_head, flags) == 4);
static_assert(sizeof(((struct kdht_head *)0)->flags) == 2);
static_assert(offsetof(struct kdht_head, key_id) == 6);
static_assert(sizeof(((struct kdht_head *)0)->key_id) == 1);
static_assert(offsetof(struct kdht_head, arg) == 7);
static_assert(sizeof(((struct kdht_head *)0)->arg) == 1);
static_assert(offsetof(struct kdht_head, body_len) == 8);
static_assert(sizeof(((struct kdht_head *)0)->body_len) == 4);
static_assert(offsetof(struct kdht_head, time_s) == 12);
static_assert(sizeof(((struct kdht_head *)0)->time_s) == 4);
static_assert(offsetof(struct kdht_head, tx_id) == 16);
static_assert(sizeof(((struct kdht_head *)0)->tx_id) == 8);
static_assert(offsetof(struct kdht_head, cookie) == 24);
static_assert(sizeof(((struct kdht_head *)0)->cookie) == 8);
static_assert(offsetof(struct kdht_head, target) == 32);
static_assert(sizeof(((struct kdht_head *)0)->target) == 20);
static_assert(offsetof(struct kdht_head, sender) == 52);
static_assert(sizeof(((struct kdht_head *)0)->sender) == 20);
static_assert(sizeof(struct kdht_endpoint) == 18);
static_assert(offsetof(struct kdht_endpoint, ip) == 0);
static_assert(sizeof(((struct kdht_endpoint *)0)->ip) == 16);
static_assert(offsetof(struct kdht_endpoint, port) == 16);
static_assert(sizeof(((struct kdht_endpoint *)0)->port) == 2);
static_assert(sizeof(struct kdht_contact) == 40);
static_assert(offsetof(struct kdht_contact, id) == 0);
static_assert(sizeof(((struct kdht_contact *)0)->id) == 20);
static_assert(offsetof(struct kdht_contact, endpoint) == 20);
static_assert(sizeof(((struct kdht_contact *)0)->endpoint) == 18);
static_assert(offsetof(struct kdht_contact, flags) == 38);
static_assert(sizeof(((struct kdht_contact *)0)->flags) == 2);
static_assert(sizeof(struct kdht_reply) == 20);
static_assert(offsetof(struct kdht_reply, observed) == 0);
static_assert(sizeof(((struct kdht_reply *)0)->observed) == 18);
static_assert(offsetof(struct kdht_reply, total) == 18);
static_assert(sizeof(((struct kdht_reply *)0)->total) == 2);
static_assert(sizeof(struct kdht_find_value) == 36);
static_assert(offsetof(struct kdht_find_value, cursor) == 0);
static_assert(sizeof(((struct kdht_find_value *)0)->cursor) == 2);
static_assert(offsetof(struct kdht_find_value, filter) == 2);
static_assert(sizeof(((struct kdht_find_value *)0)->filter) == 1);
static_assert(offsetof(struct kdht_find_value, reserved) == 3);
static_assert(sizeof(((struct kdht_find_value *)0)->reserved) == 1);
static_assert(offsetof(struct kdht_find_value, publisher) == 4);
static_assert(sizeof(((struct kdht_find_value *)0)->publisher) == 32);
static_assert(sizeof(struct kdht_store) == 8);
static_assert(offsetof(struct kdht_store, cas) == 0);
static_assert(sizeof(((struct kdht_store *)0)->cas) == 8);
static_assert(sizeof(struct kdht_ext) == 4);
static_assert(offsetof(struct kdht_ext, kind) == 0);
static_assert(sizeof(((struct kdht_ext *)0)->kind) == 2);
static_assert(offsetof(struct kdht_ext, len) == 2);
static_assert(sizeof(((struct kdht_ext *)0)->len) == 2);
static_assert(sizeof(struct kdht_record) == 12);
static_assert(offsetof(struct kdht_record, value_len) == 0);
static_assert(sizeof(((struct kdht_record *)0)->value_len) == 4);
static_assert(offsetof(struct kdht_record, remaining_s) == 4);
static_assert(sizeof(((struct kdht_record *)0)->remaining_s) == 4);
static_assert(offsetof(struct kdht_record, kind) == 8);
static_assert(sizeof(((struct kdht_record *)0)->kind) == 1);
static_assert(offsetof(struct kdht_record, flags) == 9);
static_assert(sizeof(((struct kdht_record *)0)->flags) == 1);
static_assert(offsetof(struct kdht_record, cursor) == 10);
static_assert(sizeof(((struct kdht_record *)0)->cursor) == 2);
static_assert(sizeof(struct kdht_signed) == 120);
static_assert(offsetof(struct kdht_signed, sequence) == 0);
static_assert(sizeof(((struct kdht_signed *)0)->sequence) == 8);
static_assert(offsetof(struct kdht_signed, public_key) == 8);
static_assert(sizeof(((struct kdht_signed *)0)->public_key) == 32);
static_assert(offsetof(struct kdht_signed, signature) == 40);
static_assert(sizeof(((struct kdht_signed *)0)->signature) == 64);
static_assert(offsetof(struct kdht_signed, salt) == 104);
static_assert(sizeof(((struct kdht_signed *)0)->salt) == 16);
static_assert(sizeof(struct kdht_fault_detail) == 20);
static_assert(offsetof(struct kdht_fault_detail, version_min) == 0);
static_assert(sizeof(((struct kdht_fault_detail *)0)->version_min) == 1);
static_assert(offsetof(struct kdht_fault_detail, version_max) == 1);
static_assert(sizeof(((struct kdht_fault_detail *)0)->version_max) == 1);
static_assert(offsetof(struct kdht_fault_detail, kinds) == 2);
static_assert(sizeof(((struct kdht_fault_detail *)0)->kinds) == 2);
static_assert(offsetof(struct kdht_fault_detail, value_len_max) == 4);
static_assert(sizeof(((struct kdht_fault_detail *)0)->value_len_max) == 4);
static_assert(offsetof(struct kdht_fault_detail, sequence) == 8);
static_assert(sizeof(((struct kdht_fault_detail *)0)->sequence) == 8);
static_assert(offsetof(struct kdht_fault_detail, retry_ms) == 16);
static_assert(sizeof(((struct kdht_fault_detail *)0)->retry_ms) == 4);
static_assert(sizeof(struct kdht_forward) == 40);
static_assert(offsetof(struct kdht_forward, tx_id) == 0);
static_assert(sizeof(((struct kdht_forward *)0)->tx_id) == 8);
static_assert(offsetof(struct kdht_forward, stamp) == 8);
static_assert(sizeof(((struct kdht_forward *)0)->stamp) == 8);
static_assert(offsetof(struct kdht_forward, origin) == 16);
static_assert(sizeof(((struct kdht_forward *)0)->origin) == 18);
static_assert(offsetof(struct kdht_forward, hops) == 34);
static_assert(sizeof(((struct kdht_forward *)0)->hops) == 1);
static_assert(offsetof(struct kdht_forward, reserved) == 35);
static_assert(sizeof(((struct kdht_forward *)0)->reserved) == 1);
static_assert(offsetof(struct kdht_forward, epoch_s) == 36);
static_assert(sizeof(((struct kdht_forward *)0)->epoch_s) == 4);

#endif /* KDHT_WIRE_H */
