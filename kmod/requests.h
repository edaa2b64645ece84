/* SPDX-License-Identifier: GPL-2.0 */
/* Requests of the module's own that wait for an answer. */
#ifndef KDHT_REQUESTS_H
#define KDHT_REQUESTS_H

#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "kdht_wire.h"
#include "peer.h"

/* Requests in flight at once */
#define KDHT_REQUESTS_MAX	256
/* The top byte of the module's transaction ids, where the engine's have the asking shard */
#define KDHT_TX_KERNEL		0xff

/* When a request is overdue and when it has failed; as engine/core/src/config.rs has them */
#define KDHT_SLOW_MS_MIN	50
#define KDHT_SLOW_MS_MAX	1000
#define KDHT_SLOW_MS_INITIAL	300
#define KDHT_FAIL_FACTOR	4
#define KDHT_FAIL_MS_MIN	1500
#define KDHT_FAIL_MS_MAX	4000

/* Why a request was sent */
enum kdht_purpose {
	/* To see whether a contact is alive */
	KDHT_PROBE,
	/* To enter the network */
	KDHT_SEEDING,
	/* For a lookup */
	KDHT_SEARCH,
};

/**
 * struct kdht_request - a request in flight
 * @tx_id: its transaction id; zero: the place is free
 * @endpoint: where it went
 * @expected: who must answer; zero: whoever is there
 * @kind: its kind
 * @purpose: enum kdht_purpose
 * @is_slow: it is overdue, which was told already
 * @search: the number of the lookup, or of the join, that it was sent for
 * @sent_ns: when, in monotonic time
 * @slow_at_ns: when it is overdue
 * @fail_at_ns: when it has failed
 * @heard: messages that had come in when it was sent
 * @reply: the reply from its UDP header on, once it is there
 * @replied_ns: when that came
 */
struct kdht_request {
	u64 tx_id;
	struct kdht_endpoint endpoint;
	struct kdht_id expected;
	u8 kind;
	u8 purpose;
	bool is_slow;
	u32 search;
	u64 sent_ns;
	u64 slow_at_ns;
	u64 fail_at_ns;
	u64 heard;
	struct sk_buff *reply;
	u64 replied_ns;
};

/**
 * struct kdht_requests - requests in a fixed number of places
 * @lock: guards tx_id, reply and replied_ns of the places, which softirq looks at; all else is
 *	  under the discovery's mutex
 * @is_open: whether replies are taken; under @lock
 * @probes: pings in flight that see whether a contact is alive
 * @rtt_us: smoothed round trip of all, for peers whose own is not known yet; zero: none so far
 * @rtt_deviation_us: its mean deviation
 * @places: a transaction id is the top byte, 40 random bits and the place, so that an answer
 *	    finds its request without a search, and a stranger cannot guess one
 */
struct kdht_requests {
	spinlock_t lock;
	bool is_open;
	u16 probes;
	u64 rtt_us;
	u64 rtt_deviation_us;
	struct kdht_request places[KDHT_REQUESTS_MAX];
};

/* What became of a request */
enum kdht_became {
	/* It was answered, or has failed, and is forgotten */
	KDHT_BECAME_ANSWERED,
	KDHT_BECAME_FAILED,
	/* It is overdue, and still waited for */
	KDHT_BECAME_SLOW,
};

void kdht_requests_init(struct kdht_requests *requests);
void kdht_requests_open(struct kdht_requests *requests);
void kdht_requests_close(struct kdht_requests *requests);
bool kdht_requests_take(struct kdht_requests *requests, const struct kdht_head *reply,
			const struct kdht_endpoint *peer, struct sk_buff *skb, u64 now_ns,
			struct delayed_work *work);
bool kdht_requests_have_reply(struct kdht_requests *requests);
const struct kdht_request *kdht_requests_begin(struct kdht_requests *requests,
					       const struct kdht_request *intent,
					       const struct kdht_peer *peer, u64 now_ns);
bool kdht_requests_next(struct kdht_requests *requests, unsigned int *from, u64 now_ns,
			struct kdht_request *out, enum kdht_became *became);
bool kdht_requests_wait_for(const struct kdht_requests *requests,
			    const struct kdht_endpoint *endpoint);
void kdht_requests_measured(struct kdht_requests *requests, u32 rtt_us);
u64 kdht_requests_next_due(const struct kdht_requests *requests);

#endif /* KDHT_REQUESTS_H */
