/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The module's portable files, driven from outside: records come in at stdin, one line for
 * each goes out at stdout. A record is its length in bytes (32 bits, little-endian), then
 * that many bytes; what they mean is the operation's.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>

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

void do_parse(const u8 *record, size_t len);

#endif
