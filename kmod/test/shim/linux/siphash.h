/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* SipHash-2-4 by the names of the kernel's <linux/siphash.h> */
#ifndef SHIM_LINUX_SIPHASH_H
#define SHIM_LINUX_SIPHASH_H

#include <endian.h>
#include <linux/types.h>
#include <string.h>

typedef struct {
	u64 key[2];
} siphash_key_t;

static inline u64 shim_rotate(u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void shim_sip_rounds(u64 v[4], int rounds)
{
	while (rounds--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = shim_rotate(v[1], 13) ^ v[0];
		v[3] = shim_rotate(v[3], 16) ^ v[2];
		v[0] = shim_rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = shim_rotate(v[3], 21) ^ v[0];
		v[1] = shim_rotate(v[1], 17) ^ v[2];
		v[2] = shim_rotate(v[2], 32);
	}
}

static inline u64 siphash(const void *data, size_t len, const siphash_key_t *key)
{
	u64 v[4] = {
		key->key[0] ^ 0x736f6d6570736575ULL,
		key->key[1] ^ 0x646f72616e646f6dULL,
		key->key[0] ^ 0x6c7967656e657261ULL,
		key->key[1] ^ 0x7465646279746573ULL,
	};
	const u8 *at = data;
	size_t left = len;
	u64 word = 0;

	for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		v[3] ^= le64toh(word);
		shim_sip_rounds(v, 2);
		v[0] ^= le64toh(word);
	}
	word = 0;
	memcpy(&word, at, left);
	word = le64toh(word) | (u64)len << 56;
	v[3] ^= word;
	shim_sip_rounds(v, 2);
	v[0] ^= word;
	v[2] ^= 0xff;
	shim_sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
