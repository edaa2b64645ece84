/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What a node knows of another, and whether it may be believed alive. */
#ifndef KDHT_PEER_H
#define KDHT_PEER_H

#include <linux/types.h>

#include "kdht_netlink.h"
#include "kdht_wire.h"

/* The numbers are those of engine/core/src/contact.rs */

/* Failures in a row after which a contact is stale */
#define KDHT_STALE_FAILURES	5
/* Failures in a row after which a full bucket may give a contact's place away */
#define KDHT_DISPLACE_FAILURES	2
/* First pause between two probes of a failing contact; it doubles with each failure */
#define KDHT_BACKOFF_S		2
#define KDHT_BACKOFF_S_MAX	3600
/* Seconds that a cookie got from a peer is used: its maker honours it for at least 300 */
#define KDHT_COOKIE_USE_S	270

/**
 * struct kdht_peer - one contact of the routing table
 * @id: its id
 * @endpoint: where it answers
 * @failures: since the last answer
 * @is_verified: it answered a request of ours once
 * @is_held: this place in the table's contacts is taken
 * @seen_s: when it was last heard from, in seconds of monotonic time
 * @probe_after_s: no probe and no further failure before this second
 * @rtt_us: smoothed round trip; zero before the first
 * @rtt_deviation_us: its mean deviation
 * @answered_ds: when it last answered, in tenths of a second of monotonic time
 * @cookie: the one it gave last; zero: none
 */
struct kdht_peer {
	struct kdht_id id;
	struct kdht_endpoint endpoint;
	u8 failures;
	bool is_verified;
	bool is_held;
	u32 seen_s;
	u32 probe_after_s;
	u32 rtt_us;
	u32 rtt_deviation_us;
	u32 answered_ds;
	u64 cookie;
};

/* What an answer tells of its sender */
struct kdht_told {
	u32 rtt_us;
	u64 cookie;
};

u32 kdht_seconds(u64 ns);
u32 kdht_tenths(u64 ns);
void kdht_peer_init(struct kdht_peer *peer, const struct kdht_id *id,
		    const struct kdht_endpoint *endpoint, u64 now_ns);
void kdht_peer_answered(struct kdht_peer *peer, const struct kdht_told *told, u64 now_ns);
void kdht_peer_failed(struct kdht_peer *peer, u64 sent_ns, u64 now_ns);
u64 kdht_peer_cookie(const struct kdht_peer *peer, u64 now_ns);

/* How far it is to be believed: KDHT_UNVERIFIED to KDHT_STALE */
static inline u8 kdht_peer_liveness(const struct kdht_peer *peer)
{
	if (!peer->is_verified)
		return KDHT_UNVERIFIED;
	if (!peer->failures)
		return KDHT_GOOD;
	return peer->failures < KDHT_STALE_FAILURES ? KDHT_DOUBTFUL : KDHT_STALE;
}

/* Whether others may be told of it */
static inline bool kdht_peer_is_good(const struct kdht_peer *peer)
{
	return peer->is_verified && !peer->failures;
}

/* Whether a full bucket may give its place to a verified newcomer */
static inline bool kdht_peer_is_displaceable(const struct kdht_peer *peer)
{
	return !peer->is_verified || peer->failures >= KDHT_DISPLACE_FAILURES;
}

/* The entry that others are told */
static inline struct kdht_contact kdht_peer_contact(const struct kdht_peer *peer)
{
	return (struct kdht_contact) { .id = peer->id, .endpoint = peer->endpoint };
}

#endif /* KDHT_PEER_H */
