// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Who belongs to the network: the same checks as KeyRing::verify() in wire/src/network_key.rs. */
#include <linux/string.h>

#include "mac.h"
#include "wire.h"

/**
 * kdht_secret() - a secret's bytes as SipHash takes them
 * @bytes: KDHT_SECRET_LEN bytes, any alignment
 */
siphash_key_t kdht_secret(const u8 *bytes)
{
	__le64 halves[2];
	siphash_key_t key;

	memcpy(halves, bytes, sizeof(halves));
	key.key[0] = le64_to_cpu(halves[0]);
	key.key[1] = le64_to_cpu(halves[1]);
	return key;
}

/**
 * kdht_mac() - SipHash-2-4 over @data, as it stands on the wire
 * @key: the key
 * @data: what is vouched for
 * @len: its bytes
 */
__le64 kdht_mac(const struct kdht_network_key *key, const void *data, size_t len)
{
	return cpu_to_le64(siphash(data, len, &key->secret));
}

/**
 * kdht_ring_verify() - check that a datagram comes from a member of this network
 * @ring: the network's keys
 * @data: UDP payload, at least @len linear bytes, any alignment
 * @len: payload length in bytes
 * @now_s: seconds since 1970, modulo 2^32
 *
 * In an open network: that it carries no MAC. One pass of SipHash in a keyed one.
 *
 * Context: any; neither sleeps nor allocates.
 * Return: KDHT_MAC_OK, or why the datagram is to be dropped without an answer.
 */
enum kdht_mac kdht_ring_verify(const struct kdht_ring *ring, const void *data, size_t len,
			       u32 now_s)
{
	const struct kdht_network_key *key;
	const struct kdht_head *head = data;
	size_t signed_len;
	bool is_keyed;
	__le64 mac;
	s32 skew_s;

	if (len < sizeof(*head) || head->magic[0] != KDHT_MAGIC_0 ||
	    head->magic[1] != KDHT_MAGIC_1)
		return ring->count ? KDHT_MAC_SHORT : KDHT_MAC_OK;
	is_keyed = kdht_flags(head) & KDHT_FLAG_KEYED;
	if (!ring->count)
		return is_keyed ? KDHT_MAC_UNEXPECTED : KDHT_MAC_OK;
	if (!is_keyed)
		return KDHT_MAC_MISSING;
	if (len < sizeof(*head) + KDHT_MAC_LEN)
		return KDHT_MAC_SHORT;
	key = kdht_ring_named(ring, head->key_id);
	if (!key)
		return KDHT_MAC_UNKNOWN_KEY;
	signed_len = len - KDHT_MAC_LEN;
	memcpy(&mac, (const u8 *)data + signed_len, sizeof(mac));
	/* One comparison of whole registers: its time does not tell where the difference lies */
	if (kdht_mac(key, data, signed_len) != mac)
		return KDHT_MAC_WRONG;
	skew_s = (s32)(le32_to_cpu(head->time_s) - now_s);
	if (skew_s > KDHT_TIME_SKEW_S_MAX || skew_s < -KDHT_TIME_SKEW_S_MAX)
		return KDHT_MAC_STALE;
	return KDHT_MAC_OK;
}
