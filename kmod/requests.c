// SPDX-License-Identifier: GPL-2.0
/*
 * A reply is matched where it comes in, by transaction, endpoint, sender and kind, and left with
 * its request for the work to find; so that whatever answers nothing is dropped at once, and
 * replies need no queue of their own.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/random.h>
#include <linux/time64.h>

#include "id.h"
#include "requests.h"

/* Never, in monotonic time */
#define NEVER	U64_MAX

/**
 * kdht_requests_init() - no requests, and no replies are taken
 * @requests: to be filled in
 */
void kdht_requests_init(struct kdht_requests *requests)
{
	memset(requests, 0, sizeof(*requests));
	spin_lock_init(&requests->lock);
}

/**
 * kdht_requests_open() - take replies from now on
 * @requests: under the discovery's mutex
 */
void kdht_requests_open(struct kdht_requests *requests)
{
	spin_lock_bh(&requests->lock);
	requests->is_open = true;
	spin_unlock_bh(&requests->lock);
}

/**
 * kdht_requests_close() - forget all requests, and take no more replies
 * @requests: under the discovery's mutex
 *
 * Context: process. No reply plans the work any more when it returns.
 */
void kdht_requests_close(struct kdht_requests *requests)
{
	unsigned int place;

	spin_lock_bh(&requests->lock);
	requests->is_open = false;
	for (place = 0; place < KDHT_REQUESTS_MAX; place++) {
		requests->places[place].tx_id = 0;
		kfree_skb(requests->places[place].reply);
		requests->places[place].reply = NULL;
	}
	spin_unlock_bh(&requests->lock);
	requests->probes = 0;
}

/**
 * kdht_requests_take() - a reply came to a transaction of the module's
 * @requests: the node's
 * @reply: its head, checked
 * @peer: where it came from
 * @skb: the reply; taken if it is matched
 * @now_ns: monotonic time
 * @work: to find the reply
 *
 * Transaction, endpoint, sender and kind must all be as asked; a FAULT answers every kind.
 *
 * Context: softirq, or with softirqs off; neither sleeps nor allocates.
 * Return: whether it answers a request, and the first time so.
 */
bool kdht_requests_take(struct kdht_requests *requests, const struct kdht_head *reply,
			const struct kdht_endpoint *peer, struct sk_buff *skb, u64 now_ns,
			struct delayed_work *work)
{
	u64 tx_id = le64_to_cpu(reply->tx_id);
	unsigned int place = tx_id & 0xffff;
	struct kdht_request *request;
	bool is_taken = false;

	if (place >= KDHT_REQUESTS_MAX)
		return false;
	request = &requests->places[place];
	spin_lock(&requests->lock);
	if (requests->is_open && request->tx_id == tx_id && !request->reply &&
	    !memcmp(&request->endpoint, peer, sizeof(*peer)) &&
	    (kdht_id_is_zero(&request->expected) ||
	     kdht_id_is_same(&request->expected, &reply->sender)) &&
	    (reply->kind == request->kind || reply->kind == KDHT_KIND_FAULT)) {
		request->reply = skb;
		request->replied_ns = now_ns;
		is_taken = true;
		mod_delayed_work(system_wq, work, 0);
	}
	spin_unlock(&requests->lock);
	return is_taken;
}

/**
 * kdht_requests_have_reply() - whether a reply waits to be found
 * @requests: the node's
 *
 * Context: process; under the discovery's mutex.
 */
bool kdht_requests_have_reply(struct kdht_requests *requests)
{
	bool have_reply = false;
	unsigned int place;

	spin_lock_bh(&requests->lock);
	for (place = 0; place < KDHT_REQUESTS_MAX && !have_reply; place++)
		have_reply = requests->places[place].reply;
	spin_unlock_bh(&requests->lock);
	return have_reply;
}

/* How long to wait for @peer, or for somebody unknown (NULL) */
static void set_patience(const struct kdht_requests *requests, struct kdht_request *request,
			 const struct kdht_peer *peer)
{
	u64 measured_us = (u64)KDHT_SLOW_MS_INITIAL * USEC_PER_MSEC, slow_ns, fail_ns;

	if (peer && peer->rtt_us)
		measured_us = peer->rtt_us + 4ULL * peer->rtt_deviation_us;
	else if (requests->rtt_us)
		measured_us = requests->rtt_us + 4 * requests->rtt_deviation_us;
	slow_ns = clamp_t(u64, measured_us * NSEC_PER_USEC, (u64)KDHT_SLOW_MS_MIN * NSEC_PER_MSEC,
			  (u64)KDHT_SLOW_MS_MAX * NSEC_PER_MSEC);
	fail_ns = clamp_t(u64, slow_ns * KDHT_FAIL_FACTOR, (u64)KDHT_FAIL_MS_MIN * NSEC_PER_MSEC,
			  (u64)KDHT_FAIL_MS_MAX * NSEC_PER_MSEC);
	request->slow_at_ns = request->sent_ns + slow_ns;
	request->fail_at_ns = request->sent_ns + fail_ns;
}

/**
 * kdht_requests_begin() - take a place for a request that is about to be sent
 * @requests: the node's
 * @intent: endpoint, expected, kind, purpose, search and heard of it
 * @peer: what is known of whom it goes to, or NULL
 * @now_ns: monotonic time
 *
 * Context: process; under the discovery's mutex.
 * Return: the request, with its transaction id; NULL if all places are taken.
 */
const struct kdht_request *kdht_requests_begin(struct kdht_requests *requests,
					       const struct kdht_request *intent,
					       const struct kdht_peer *peer, u64 now_ns)
{
	struct kdht_request new = *intent;
	unsigned int place;
	u64 nonce;

	for (place = 0; place < KDHT_REQUESTS_MAX; place++)
		if (!requests->places[place].tx_id)
			break;
	if (place == KDHT_REQUESTS_MAX)
		return NULL;
	get_random_bytes(&nonce, sizeof(nonce));
	new.tx_id = (u64)KDHT_TX_KERNEL << 56 | (nonce & 0x00ffffffffff0000ULL) | place;
	new.is_slow = false;
	new.reply = NULL;
	new.replied_ns = 0;
	new.sent_ns = now_ns;
	set_patience(requests, &new, peer);
	requests->probes += new.purpose == KDHT_PROBE;
	spin_lock_bh(&requests->lock);
	requests->places[place] = new;
	spin_unlock_bh(&requests->lock);
	return &requests->places[place];
}

/**
 * kdht_requests_next() - the next request that was answered, or is due
 * @requests: the node's
 * @from: the place to go on at; zero to begin with
 * @now_ns: monotonic time
 * @out: set to it; its reply is the caller's
 * @became: set to what became of it
 *
 * Context: process; under the discovery's mutex.
 * Return: false if there is none from there on.
 */
bool kdht_requests_next(struct kdht_requests *requests, unsigned int *from, u64 now_ns,
			struct kdht_request *out, enum kdht_became *became)
{
	while (*from < KDHT_REQUESTS_MAX) {
		struct kdht_request *request = &requests->places[(*from)++];
		bool is_over;

		if (!request->tx_id)
			continue;
		spin_lock_bh(&requests->lock);
		is_over = request->reply || now_ns >= request->fail_at_ns;
		*out = *request;
		if (is_over) {
			request->tx_id = 0;
			request->reply = NULL;
		}
		spin_unlock_bh(&requests->lock);
		if (is_over) {
			requests->probes -= out->purpose == KDHT_PROBE;
			*became = out->reply ? KDHT_BECAME_ANSWERED : KDHT_BECAME_FAILED;
			return true;
		}
		if (now_ns >= request->slow_at_ns && !request->is_slow) {
			request->is_slow = true;
			*became = KDHT_BECAME_SLOW;
			return true;
		}
	}
	return false;
}

/**
 * kdht_requests_wait_for() - whether anything sent to an endpoint waits for its answer
 * @requests: the node's
 * @endpoint: the endpoint
 *
 * Context: process; under the discovery's mutex.
 */
bool kdht_requests_wait_for(const struct kdht_requests *requests,
			    const struct kdht_endpoint *endpoint)
{
	unsigned int place;

	for (place = 0; place < KDHT_REQUESTS_MAX; place++)
		if (requests->places[place].tx_id &&
		    !memcmp(&requests->places[place].endpoint, endpoint, sizeof(*endpoint)))
			return true;
	return false;
}

/**
 * kdht_requests_measured() - a request was answered after so long (RFC 6298, section 2.3)
 * @requests: the node's
 * @rtt_us: microseconds
 */
void kdht_requests_measured(struct kdht_requests *requests, u32 rtt_us)
{
	u64 mean_us = requests->rtt_us;

	if (!mean_us) {
		requests->rtt_us = max_t(u32, rtt_us, 1);
		requests->rtt_deviation_us = rtt_us / 2;
		return;
	}
	requests->rtt_deviation_us = (3 * requests->rtt_deviation_us +
				      (mean_us > rtt_us ? mean_us - rtt_us : rtt_us - mean_us)) / 4;
	requests->rtt_us = max_t(u64, (7 * mean_us + rtt_us) / 8, 1);
}

/**
 * kdht_requests_next_due() - when kdht_requests_next() has something at the latest
 * @requests: the node's
 *
 * Context: process; under the discovery's mutex.
 * Return: monotonic time; U64_MAX: never.
 */
u64 kdht_requests_next_due(const struct kdht_requests *requests)
{
	u64 next_ns = NEVER;
	unsigned int place;

	for (place = 0; place < KDHT_REQUESTS_MAX; place++) {
		const struct kdht_request *request = &requests->places[place];

		if (request->tx_id)
			next_ns = min(next_ns, request->is_slow ? request->fail_at_ns :
							request->slow_at_ns);
	}
	return next_ns;
}
