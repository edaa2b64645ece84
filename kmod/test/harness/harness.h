/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The module's portable files, driven from outside: records come in at stdin, one line for
 * each goes out at stdout. A record is its length in bytes (32 bits, little-endian), then
 * that many bytes; what they mean is the operation's.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <asm/byteorder.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../mac.h"
#include "../../refusal.h"

/* Steps over @len bytes of a record; one that ends too early is the caller's mistake */
static inline const u8 *next(const u8 **at, size_t *left, size_t len)
{
	const u8 *here = *at;

	if (*left < len) {
		fprintf(stderr, "a record is %zu bytes short\n", len - *left);
		exit(2);
	}
	*at += len;
	*left -= len;
	return here;
}

/* The next eight, four or one bytes of a record, little-endian */
static inline u64 next_u64(const u8 **at, size_t *left)
{
	__le64 raw;

	memcpy(&raw, next(at, left, sizeof(raw)), sizeof(raw));
	return le64_to_cpu(raw);
}

static inline u32 next_u32(const u8 **at, size_t *left)
{
	__le32 raw;

	memcpy(&raw, next(at, left, sizeof(raw)), sizeof(raw));
	return le32_to_cpu(raw);
}

static inline u8 next_u8(const u8 **at, size_t *left)
{
	return *next(at, left, 1);
}

/* The next bytes of a record: a count, then that many keys (id, secret) */
void next_ring(const u8 **at, size_t *left, struct kdht_ring *ring);

/* A name of enum kdht_refusal, as "kdht stat" has it */
const char *refusal_name(enum kdht_refusal refusal);

void do_answer(const u8 *record, size_t len);
void do_buckets(const u8 *record, size_t len);
void do_closest(const u8 *record, size_t len);
void do_cookie(const u8 *record, size_t len);
void do_endpoint(const u8 *record, size_t len);
void do_filter(const u8 *record, size_t len);
void do_lookup(const u8 *record, size_t len);
void do_mac(const u8 *record, size_t len);
void do_parse(const u8 *record, size_t len);
void do_refusals(const u8 *record, size_t len);
void do_throttle(const u8 *record, size_t len);

#endif
