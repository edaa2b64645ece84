/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The MAC of private networks (wire/FORMAT.md, section 8.1). */
#ifndef KDHT_MAC_H
#define KDHT_MAC_H

#include <linux/siphash.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* What a datagram's MAC is worth; the names are those of MacError in wire/src/network_key.rs */
enum kdht_mac {
	KDHT_MAC_OK,
	KDHT_MAC_SHORT,
	KDHT_MAC_MISSING,
	KDHT_MAC_UNEXPECTED,
	KDHT_MAC_UNKNOWN_KEY,
	KDHT_MAC_WRONG,
	KDHT_MAC_STALE,
};

/* Bytes of a secret; SipHash's key */
#define KDHT_SECRET_LEN		16

/* Most keys of one network: the first signs, both verify */
#define KDHT_RING_KEYS_MAX	2

/**
 * struct kdht_network_key - one shared key of a private network
 * @secret: what SipHash-2-4 is keyed with
 * @id: its number on the wire, 1 to 255
 */
struct kdht_network_key {
	siphash_key_t secret;
	u8 id;
};

/**
 * struct kdht_ring - the keys of one node's network
 * @keys: the first signs, all verify
 * @count: how many there are; none in an open network
 */
struct kdht_ring {
	struct kdht_network_key keys[KDHT_RING_KEYS_MAX];
	u8 count;
};

/* The key that a message names; NULL if it is not in the ring */
static inline const struct kdht_network_key *kdht_ring_named(const struct kdht_ring *ring, u8 id)
{
	u8 i;

	for (i = 0; i < ring->count; i++)
		if (ring->keys[i].id == id)
			return &ring->keys[i];
	return NULL;
}

siphash_key_t kdht_secret(const u8 *bytes);
__le64 kdht_mac(const struct kdht_network_key *key, const void *data, size_t len);
enum kdht_mac kdht_ring_verify(const struct kdht_ring *ring, const void *data, size_t len,
			       u32 now_s);

#endif /* KDHT_MAC_H */
