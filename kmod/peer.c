// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Liveness of one contact, by the rules of engine/core/src/contact.rs. */
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "peer.h"

/**
 * kdht_seconds() - whole seconds of a monotonic time; 136 years of them
 * @ns: nanoseconds
 */
u32 kdht_seconds(u64 ns)
{
	return (u32)min_t(u64, div_u64(ns, NSEC_PER_SEC), U32_MAX);
}

/**
 * kdht_tenths() - whole tenths of a second of a monotonic time; 13 years of them
 * @ns: nanoseconds
 */
u32 kdht_tenths(u64 ns)
{
	return (u32)min_t(u64, div_u64(ns, NSEC_PER_SEC / 10), U32_MAX);
}

/**
 * kdht_peer_init() - a contact that was heard of just now and has not answered yet
 * @peer: to be filled in
 * @id: its id
 * @endpoint: where it is said to answer
 * @now_ns: monotonic time
 */
void kdht_peer_init(struct kdht_peer *peer, const struct kdht_id *id,
		    const struct kdht_endpoint *endpoint, u64 now_ns)
{
	memset(peer, 0, sizeof(*peer));
	peer->id = *id;
	peer->endpoint = *endpoint;
	peer->is_held = true;
	peer->seen_s = kdht_seconds(now_ns);
}

/**
 * kdht_peer_answered() - it answered a request of ours
 * @peer: the contact
 * @told: what the answer tells
 * @now_ns: monotonic time
 */
void kdht_peer_answered(struct kdht_peer *peer, const struct kdht_told *told, u64 now_ns)
{
	u32 rtt_us = told->rtt_us, deviation_us = peer->rtt_deviation_us, difference_us;

	peer->is_verified = true;
	peer->failures = 0;
	peer->probe_after_s = 0;
	peer->seen_s = kdht_seconds(now_ns);
	peer->cookie = told->cookie;
	peer->answered_ds = kdht_tenths(now_ns);
	if (!peer->rtt_us) {
		peer->rtt_us = max_t(u32, rtt_us, 1);
		peer->rtt_deviation_us = rtt_us / 2;
		return;
	}
	/* RFC 6298, section 2.3: gains of 1/8 and 1/4; quarters first, so that nothing wraps */
	difference_us = peer->rtt_us > rtt_us ? peer->rtt_us - rtt_us : rtt_us - peer->rtt_us;
	peer->rtt_deviation_us = deviation_us - deviation_us / 4 + difference_us / 4;
	peer->rtt_us = max_t(u32, peer->rtt_us - peer->rtt_us / 8 + rtt_us / 8, 1);
}

/**
 * kdht_peer_failed() - it left a request unanswered until the final timeout
 * @peer: the contact
 * @sent_ns: when the request was sent
 * @now_ns: monotonic time
 *
 * Requests sent within the back-off do not count, so that a burst of lost datagrams is one
 * failure; nor does one that was sent before the last answer.
 */
void kdht_peer_failed(struct kdht_peer *peer, u64 sent_ns, u64 now_ns)
{
	u32 now_s = kdht_seconds(now_ns), pause_s;

	if (kdht_seconds(sent_ns) < peer->probe_after_s ||
	    kdht_tenths(sent_ns) < peer->answered_ds)
		return;
	if (peer->failures < U8_MAX)
		peer->failures++;
	pause_s = min_t(u32, KDHT_BACKOFF_S << min(peer->failures - 1, 11), KDHT_BACKOFF_S_MAX);
	/* The second that has begun is not counted, so that the pause is never shorter */
	pause_s++;
	peer->probe_after_s = now_s > U32_MAX - pause_s ? U32_MAX : now_s + pause_s;
}

/**
 * kdht_peer_cookie() - the cookie to ask it with
 * @peer: the contact
 * @now_ns: monotonic time
 *
 * Return: zero where there is none, or it may have run out.
 */
u64 kdht_peer_cookie(const struct kdht_peer *peer, u64 now_ns)
{
	u32 now_ds = kdht_tenths(now_ns);

	if (now_ds > peer->answered_ds && now_ds - peer->answered_ds > KDHT_COOKIE_USE_S * 10)
		return 0;
	return peer->cookie;
}
