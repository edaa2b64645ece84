/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * From bytes to a checked message, without copying (wire/FORMAT.md, sections 2 to 7).
 *
 * Nothing here calls the kernel beyond memory functions, so the same file also builds in
 * user space, where kmod/test holds it against the Rust parser.
 */
#ifndef KDHT_WIRE_PARSE_H
#define KDHT_WIRE_PARSE_H

#include <linux/types.h>
#include <asm/byteorder.h>

#include "kdht_wire.h"

/* What the parser makes of a datagram; the names are those of ParseError in wire/src/parse.rs */
enum kdht_parse {
	KDHT_PARSE_OK,
	KDHT_PARSE_SHORT,
	KDHT_PARSE_OVERSIZE,
	KDHT_PARSE_MAGIC,
	KDHT_PARSE_VERSION,
	KDHT_PARSE_RESERVED,
	KDHT_PARSE_LENGTH,
	KDHT_PARSE_KIND,
	KDHT_PARSE_FAULT_REQUEST,
	KDHT_PARSE_FAULT_CODE,
	KDHT_PARSE_BODY,
	KDHT_PARSE_ITEMS,
	KDHT_PARSE_FILTER,
	KDHT_PARSE_VALUE_KIND,
	KDHT_PARSE_VALUE_LENGTH,
	KDHT_PARSE_STORE,
	KDHT_PARSE_EXTENSION,
	KDHT_PARSE_EXTENSION_COUNT,
	KDHT_PARSE_PADDING,
};

/**
 * struct kdht_message - a message, checked once; every pointer stays within its bytes
 * @head: the head, raw
 * @body: the kind's fixed part; meaningless where the kind has none
 * @items: contacts, or value records, or the one record of a STORE request
 * @items_len: bytes of @items
 * @forward: data of the first forward extension, or NULL
 * @mac: the MAC, or NULL; whether it is right is kdht_ring_verify()'s to say
 * @items_count: contacts or records in @items
 * @extensions_count: extensions behind the items, padding included
 * @has_values: @items are value records, not contacts
 */
struct kdht_message {
	const struct kdht_head *head;
	const void *body;
	const void *items;
	size_t items_len;
	const struct kdht_forward *forward;
	const u8 *mac;
	u8 items_count;
	u8 extensions_count;
	bool has_values;
};

/**
 * kdht_flags() - the flags of a head, in host order
 * @head: any head
 */
static inline u16 kdht_flags(const struct kdht_head *head)
{
	return le16_to_cpu(head->flags);
}

bool kdht_parse_records(const void *data, size_t len, u32 *remaining_s);
enum kdht_parse kdht_parse(const void *data, size_t len, struct kdht_message *message);

#endif /* KDHT_WIRE_PARSE_H */
