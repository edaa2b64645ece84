// SPDX-License-Identifier: GPL-2.0
/*
 * Requests of the module's own: how they leave, and what their answers lead to, by the rules of
 * engine/core/src/ask.rs.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/udp.h>
#include <net/sock.h>

#include "attach.h"
#include "discovery.h"
#include "emit.h"
#include "endpoint.h"
#include "netlink.h"
#include "wire.h"

/* Bytes that draw a PING reply without a cookie, and two pings */
#define PING_LEN_MIN		88
/* Bytes that draw a whole FIND_NODE reply and two pings without a cookie */
#define FIND_NODE_LEN_MIN	352

/**
 * kdht_family_of() - which table an endpoint belongs to
 * @endpoint: the endpoint
 */
enum kdht_family kdht_family_of(const struct kdht_endpoint *endpoint)
{
	return kdht_is_v4(endpoint) ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6;
}

/* Hands a request to the network, by the daemon's socket, so that it looks like one of its own */
static bool transmit(struct kdht_discovery *discovery, const struct kdht_endpoint *endpoint,
		     void *data, size_t len)
{
	struct sock *sk = discovery->socks[kdht_family_of(endpoint)];
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	struct kvec vec = { .iov_base = data, .iov_len = len };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = endpoint->port };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = endpoint->port };

	if (sk->sk_family == AF_INET) {
		memcpy(&v4.sin_addr, endpoint->ip + 12, sizeof(v4.sin_addr));
		msg.msg_name = &v4;
		msg.msg_namelen = sizeof(v4);
	} else {
		memcpy(&v6.sin6_addr, endpoint->ip, sizeof(v6.sin6_addr));
		msg.msg_name = &v6;
		msg.msg_namelen = sizeof(v6);
	}
	iov_iter_kvec(&msg.msg_iter, WRITE, &vec, 1, len);
	return sk->sk_prot->sendmsg(sk, &msg, len) == len;
}

/* Which contacts a lookup can use, as flags of its requests */
static u16 families_wanted(const struct kdht_discovery *discovery)
{
	if (discovery->socks[KDHT_FAMILY_V4] && discovery->socks[KDHT_FAMILY_V6])
		return KDHT_FLAG_WANT4 | KDHT_FLAG_WANT6;
	return 0;
}

static size_t emit_request(struct kdht_discovery *discovery, const struct kdht_request *request,
			   const struct kdht_id *target, u64 cookie, void *buf, size_t room)
{
	struct kdht_instance *instance = discovery->instance;
	const struct kdht_config *config;
	struct kdht_emit emit;
	struct kdht_head head;
	size_t len = 0;

	kdht_head_init(&head, request->kind, request->kind == KDHT_KIND_FIND_NODE ?
			      families_wanted(discovery) : 0);
	head.time_s = cpu_to_le32((u32)ktime_get_real_seconds());
	head.tx_id = cpu_to_le64(request->tx_id);
	head.cookie = cpu_to_le64(cookie);
	head.target = *target;
	head.sender = instance->node.id;
	rcu_read_lock();
	config = rcu_dereference(instance->config);
	if (kdht_emit_begin(&emit, &head, kdht_signing(&config->ring), buf, room)) {
		if (request->purpose == KDHT_SEEDING)
			kdht_emit_pad_to(&emit, PING_LEN_MIN);
		else if (request->kind == KDHT_KIND_FIND_NODE && !cookie)
			kdht_emit_pad_to(&emit, FIND_NODE_LEN_MIN);
		len = kdht_emit_finish(&emit);
	}
	rcu_read_unlock();
	return len;
}

/**
 * kdht_discovery_ask() - send a request
 * @discovery: the node's
 * @intent: endpoint, expected, kind, purpose and search of it
 * @target: what it asks about
 *
 * Context: process; under the lock.
 * Return: false if no more can be in flight, or there is no socket of the family. What cannot be
 * sent fails by its timeout, like a datagram lost on the way.
 */
bool kdht_discovery_ask(struct kdht_discovery *discovery, const struct kdht_request *intent,
			const struct kdht_id *target)
{
	enum kdht_family family = kdht_family_of(&intent->endpoint);
	struct kdht_request wanted = *intent;
	const struct kdht_request *request;
	u8 buf[FIND_NODE_LEN_MIN + 16];
	const struct kdht_peer *peer;
	u64 now_ns = ktime_get_ns();
	size_t len;

	if (!discovery->socks[family])
		return false;
	peer = kdht_buckets_peer(&discovery->buckets[family], &intent->expected);
	if (peer && memcmp(&peer->endpoint, &intent->endpoint, sizeof(peer->endpoint)))
		peer = NULL;
	wanted.heard = discovery->heard;
	request = kdht_requests_begin(&discovery->requests, &wanted, peer, now_ns);
	if (!request)
		return false;
	len = emit_request(discovery, request, target,
			   peer ? kdht_peer_cookie(peer, now_ns) : 0, buf, sizeof(buf));
	if (transmit(discovery, &intent->endpoint, buf, len)) {
		discovery->counts.requests_out[intent->kind - 1]++;
		discovery->counts.datagrams_out++;
		discovery->counts.bytes_out += len;
	}
	return true;
}

/**
 * kdht_discovery_probe() - ping a contact to see whether it is alive
 * @discovery: the node's
 * @contact: the contact
 *
 * Unless enough probes are in flight, or its endpoint is being asked something already.
 *
 * Context: process; under the lock.
 */
void kdht_discovery_probe(struct kdht_discovery *discovery, const struct kdht_contact *contact)
{
	const struct kdht_request ping = {
		.endpoint = contact->endpoint,
		.expected = contact->id,
		.kind = KDHT_KIND_PING,
		.purpose = KDHT_PROBE,
	};

	if (discovery->requests.probes >= KDHT_PROBES_MAX ||
	    !kdht_is_reachable(&contact->endpoint) ||
	    kdht_requests_wait_for(&discovery->requests, &contact->endpoint))
		return;
	kdht_discovery_ask(discovery, &ping, &discovery->instance->node.id);
}

/**
 * kdht_discovery_follow() - do what a table advised
 * @discovery: the node's
 * @advice: whom to ping
 *
 * Context: process; under the lock.
 */
void kdht_discovery_follow(struct kdht_discovery *discovery, const struct kdht_advice *advice)
{
	u8 i;

	for (i = 0; i < advice->count; i++)
		kdht_discovery_probe(discovery, &advice->probes[i]);
	if (advice->count)
		kdht_upkeep_look_over_soon(discovery, ktime_get_ns());
}

/**
 * kdht_discovery_tell_learned() - tell whoever listens who answered for the first time
 * @discovery: the node's
 *
 * Context: process; under the lock.
 */
void kdht_discovery_tell_learned(struct kdht_discovery *discovery)
{
	if (discovery->learned_count)
		kdht_netlink_tell_learned(discovery->net, &discovery->instance->node.id,
					  discovery->learned, discovery->learned_count);
	discovery->learned_count = 0;
}

/**
 * kdht_discovery_answered() - somebody answered a request of the node's, the daemon's too
 * @discovery: the node's
 * @id: who
 * @endpoint: from where
 * @told: what the answer tells
 * @now_ns: when it came
 *
 * Context: process; under the lock.
 */
void kdht_discovery_answered(struct kdht_discovery *discovery, const struct kdht_id *id,
			     const struct kdht_endpoint *endpoint, const struct kdht_told *told,
			     u64 now_ns)
{
	struct kdht_buckets *buckets = &discovery->buckets[kdht_family_of(endpoint)];

	if (kdht_buckets_answered(buckets, id, endpoint, told, now_ns)) {
		if (discovery->learned_count == KDHT_LEARNED_MAX)
			kdht_discovery_tell_learned(discovery);
		discovery->learned[discovery->learned_count++] = (struct kdht_contact) {
			.id = *id,
			.endpoint = *endpoint,
		};
	}
	kdht_upkeep_plan_refresh(discovery, now_ns);
}

/**
 * kdht_discovery_failed() - somebody left a request of the node's unanswered, the daemon's too
 * @discovery: the node's
 * @id: who
 * @endpoint: where it was asked
 * @sent_ns: when
 *
 * Context: process; under the lock.
 */
void kdht_discovery_failed(struct kdht_discovery *discovery, const struct kdht_id *id,
			   const struct kdht_endpoint *endpoint, u64 sent_ns)
{
	u64 now_ns = ktime_get_ns();
	struct kdht_advice advice;

	kdht_buckets_failed(&discovery->buckets[kdht_family_of(endpoint)], id, endpoint, sent_ns,
			    now_ns, &advice);
	kdht_discovery_follow(discovery, &advice);
	kdht_upkeep_look_over_soon(discovery, now_ns);
}

/**
 * kdht_discovery_good() - the good contacts nearest to a target, of both families
 * @discovery: the node's
 * @target: any id
 * @k: how many, at most KDHT_K_MAX
 * @but: left out
 * @out: room for @k; filled in the order of their ids
 * @count: set to how many
 *
 * Context: process; under the lock. As others were told of them when that was published last.
 */
void kdht_discovery_good(struct kdht_discovery *discovery, const struct kdht_id *target, u8 k,
			 const struct kdht_id *but, struct kdht_contact *out, u8 *count)
{
	struct kdht_table *tables = discovery->instance->node.tables;
	struct kdht_closest of_v4, of_v6, closest;
	u8 i;

	rcu_read_lock();
	kdht_table_closest(&tables[KDHT_FAMILY_V4], target, k, k, but, &of_v4);
	kdht_table_closest(&tables[KDHT_FAMILY_V6], target, k, k, but, &of_v6);
	kdht_closest_merge(&of_v4, &of_v6, target, k, k, &closest);
	for (i = 0; i < closest.run_count; i++)
		out[i] = *closest.runs[i].contacts;
	rcu_read_unlock();
	*count = closest.count;
}

/* Whom a reply names that can be asked, at most KDHT_K_MAX of them */
static u8 usable(struct kdht_discovery *discovery, const struct kdht_message *message,
		 struct kdht_contact *out)
{
	const struct kdht_contact *named = message->items;
	u8 taken = 0, count = 0, i;

	if (message->has_values)
		return 0;
	/* No reply may flood a lookup */
	for (i = 0; i < message->items_count && taken < KDHT_K_MAX; i++) {
		if (!discovery->socks[kdht_family_of(&named[i].endpoint)])
			continue;
		taken++;
		if (kdht_is_reachable(&named[i].endpoint))
			out[count++] = named[i];
		else
			discovery->counts.contacts_unreachable++;
	}
	return count;
}

static void handle_reply(struct kdht_discovery *discovery, const struct kdht_request *request)
{
	struct sk_buff *skb = request->reply;
	struct kdht_contact named[KDHT_K_MAX], by;
	struct kdht_message message;
	struct kdht_told told;
	u8 count;

	/* It parsed when it came */
	if (kdht_parse(skb->data + sizeof(struct udphdr), skb->len - sizeof(struct udphdr),
		       &message))
		goto free;
	by.id = message.head->sender;
	by.endpoint = request->endpoint;
	by.flags = 0;
	told.rtt_us = (u32)min_t(u64, div_u64(request->replied_ns - request->sent_ns,
					      NSEC_PER_USEC), U32_MAX);
	told.cookie = le64_to_cpu(message.head->cookie);
	discovery->counts.replies_in[message.head->kind - 1]++;
	kdht_requests_measured(&discovery->requests, told.rtt_us);
	kdht_discovery_answered(discovery, &by.id, &by.endpoint, &told, request->replied_ns);
	if (request->purpose == KDHT_SEEDING) {
		kdht_join_seed_answered(discovery, request->search, &by);
	} else if (request->purpose == KDHT_SEARCH) {
		if (message.head->kind == KDHT_KIND_FIND_NODE) {
			count = usable(discovery, &message, named);
			kdht_search_answered(discovery, request, named, count);
		} else {
			kdht_search_failed(discovery, request);
		}
	}
free:
	consume_skb(skb);
}

static void handle_failure(struct kdht_discovery *discovery, const struct kdht_request *request)
{
	discovery->counts.timeouts++;
	if (!kdht_id_is_zero(&request->expected) &&
	    !kdht_upkeep_is_own_outage(discovery, request, ktime_get_ns()))
		kdht_discovery_failed(discovery, &request->expected, &request->endpoint,
				      request->sent_ns);
	if (request->purpose == KDHT_SEEDING)
		kdht_join_seed_failed(discovery, request->search);
	else if (request->purpose == KDHT_SEARCH)
		kdht_search_failed(discovery, request);
}

/**
 * kdht_discovery_handle_requests() - take replies in, and give up what has failed
 * @discovery: the node's
 *
 * Context: process; under the lock.
 */
void kdht_discovery_handle_requests(struct kdht_discovery *discovery)
{
	struct kdht_request request;
	enum kdht_became became;
	unsigned int from = 0;

	while (kdht_requests_next(&discovery->requests, &from, ktime_get_ns(), &request,
				  &became)) {
		if (became == KDHT_BECAME_ANSWERED)
			handle_reply(discovery, &request);
		else if (became == KDHT_BECAME_FAILED)
			handle_failure(discovery, &request);
		else if (request.purpose == KDHT_SEARCH)
			kdht_search_slow(discovery, &request);
	}
}
