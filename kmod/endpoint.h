/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What an address says of itself, as wire/src/endpoint.rs reads it. */
#ifndef KDHT_ENDPOINT_H
#define KDHT_ENDPOINT_H

#include <linux/string.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* Whether the address is IPv4, v4-mapped */
static inline bool kdht_is_v4(const struct kdht_endpoint *endpoint)
{
	static const u8 v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(endpoint->ip, v4_mapped, sizeof(v4_mapped));
}

/* Whether the address means something on this host only */
static inline bool kdht_is_loopback(const struct kdht_endpoint *endpoint)
{
	static const u8 v6_loopback[16] = { [15] = 1 };

	if (kdht_is_v4(endpoint))
		return endpoint->ip[12] == 127;
	return !memcmp(endpoint->ip, v6_loopback, sizeof(v6_loopback));
}

/* Whether the address is of a private network (RFC 1918, RFC 4193) */
static inline bool kdht_is_private(const struct kdht_endpoint *endpoint)
{
	const u8 *v4 = endpoint->ip + 12;

	if (kdht_is_v4(endpoint))
		return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
		       (v4[0] == 192 && v4[1] == 168);
	return (endpoint->ip[0] & 0xfe) == 0xfc;
}

/*
 * Whether a datagram can be sent there: the port is not zero and the address is neither
 * unspecified, multicast, broadcast nor link-local
 */
static inline bool kdht_is_reachable(const struct kdht_endpoint *endpoint)
{
	static const u8 unspecified[16];
	static const u8 broadcast[4] = { 255, 255, 255, 255 };
	const u8 *v4 = endpoint->ip + 12;

	if (!endpoint->port)
		return false;
	if (kdht_is_v4(endpoint))
		return v4[0] && (v4[0] & 0xf0) != 224 && memcmp(v4, broadcast, 4) &&
		       !(v4[0] == 169 && v4[1] == 254);
	return memcmp(endpoint->ip, unspecified, 16) && endpoint->ip[0] != 0xff &&
	       !(endpoint->ip[0] == 0xfe && (endpoint->ip[1] & 0xc0) == 0x80);
}

#endif /* KDHT_ENDPOINT_H */
