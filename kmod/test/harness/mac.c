// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Record: a ring, the receiver's clock (4 bytes), a datagram. Line: the verdict */
#include "harness.h"

static const char *const names[] = {
	[KDHT_MAC_OK] = "ok",
	[KDHT_MAC_SHORT] = "Short",
	[KDHT_MAC_MISSING] = "Missing",
	[KDHT_MAC_UNEXPECTED] = "Unexpected",
	[KDHT_MAC_UNKNOWN_KEY] = "UnknownKey",
	[KDHT_MAC_WRONG] = "Wrong",
	[KDHT_MAC_STALE] = "Stale",
};

void next_ring(const u8 **at, size_t *left, struct kdht_ring *ring)
{
	u8 i;

	ring->count = next_u8(at, left);
	for (i = 0; i < ring->count && i < KDHT_RING_KEYS_MAX; i++) {
		ring->keys[i].id = next_u8(at, left);
		ring->keys[i].secret = kdht_secret(next(at, left, KDHT_SECRET_LEN));
	}
}

void do_mac(const u8 *record, size_t len)
{
	struct kdht_ring ring;
	u32 now_s;

	next_ring(&record, &len, &ring);
	now_s = next_u32(&record, &len);
	printf("%s\n", names[kdht_ring_verify(&ring, record, len, now_s)]);
}
