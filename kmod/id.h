/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Ids and their XOR metric, as wire/src/id.rs has them. */
#ifndef KDHT_ID_H
#define KDHT_ID_H

#include <linux/bitops.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/byteorder.h>

#include "kdht_wire.h"

/* Bits of an id */
#define KDHT_ID_BITS	160

/* First 64 bits, most significant first */
static inline u64 kdht_id_prefix(const struct kdht_id *id)
{
	__be64 first;

	memcpy(&first, id->bytes, sizeof(first));
	return be64_to_cpu(first);
}

/* Three words that order as the bytes do; of the last, only the high half is used */
static inline void kdht_id_words(u64 words[3], const struct kdht_id *id)
{
	__be64 whole[2];
	__be32 rest;

	memcpy(whole, id->bytes, sizeof(whole));
	memcpy(&rest, id->bytes + sizeof(whole), sizeof(rest));
	words[0] = be64_to_cpu(whole[0]);
	words[1] = be64_to_cpu(whole[1]);
	words[2] = (u64)be32_to_cpu(rest) << 32;
}

static inline bool kdht_id_is_same(const struct kdht_id *one, const struct kdht_id *other)
{
	return !memcmp(one->bytes, other->bytes, KDHT_ID_LEN);
}

/* Below, at or above zero: @one comes before @other, is it, or comes after it */
static inline int kdht_id_order(const struct kdht_id *one, const struct kdht_id *other)
{
	return memcmp(one->bytes, other->bytes, KDHT_ID_LEN);
}

static inline bool kdht_id_is_zero(const struct kdht_id *id)
{
	return !memchr_inv(id->bytes, 0, KDHT_ID_LEN);
}

/* Leading bits that two ids share: 0 to 159, or 160 if they are the same */
static inline unsigned int kdht_id_shared(const struct kdht_id *one, const struct kdht_id *other)
{
	u64 differing = kdht_id_prefix(one) ^ kdht_id_prefix(other);
	unsigned int word;
	u64 a[3], b[3];

	/* As good as always */
	if (differing)
		return 64 - fls64(differing);
	kdht_id_words(a, one);
	kdht_id_words(b, other);
	for (word = 1; word < 3; word++)
		if (a[word] != b[word])
			return 64 * word + 64 - fls64(a[word] ^ b[word]);
	return KDHT_ID_BITS;
}

static inline bool kdht_id_bit(const struct kdht_id *id, unsigned int bit)
{
	return id->bytes[bit / 8] & (0x80 >> bit % 8);
}

static inline void kdht_id_set_bit(struct kdht_id *id, unsigned int bit, bool is_set)
{
	u8 mask = 0x80 >> bit % 8;

	if (is_set)
		id->bytes[bit / 8] |= mask;
	else
		id->bytes[bit / 8] &= ~mask;
}

/* Whether @one is nearer to @target than @other */
static inline bool kdht_id_is_nearer(const struct kdht_id *one, const struct kdht_id *other,
				     const struct kdht_id *target)
{
	unsigned int i;

	for (i = 0; i < KDHT_ID_LEN; i++)
		if (one->bytes[i] != other->bytes[i])
			return (one->bytes[i] ^ target->bytes[i]) <
			       (other->bytes[i] ^ target->bytes[i]);
	return false;
}

#endif /* KDHT_ID_H */
