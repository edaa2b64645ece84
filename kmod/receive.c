// SPDX-License-Identifier: GPL-2.0
/* Each datagram of an attached socket comes here first. */
#include <linux/filter.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/timekeeping.h>
#include <linux/udp.h>
#include <net/ipv6.h>

#include "attach.h"
#include "endpoint.h"
#include "forward.h"
#include "receive.h"
#include "send.h"
#include "trace.h"

/* Where a kernel clears what functions have on the stack: this not */
#if __has_attribute(__uninitialized__)
#define KDHT_UNINITIALIZED	__attribute__((__uninitialized__))
#else
#define KDHT_UNINITIALIZED
#endif

/* Who sent it. False where only the daemon can tell how to answer */
static bool peer_of(const struct sk_buff *skb, struct kdht_endpoint *peer)
{
	peer->port = udp_hdr(skb)->source;
	if (!peer->port)
		return false;
	if (skb->protocol == htons(ETH_P_IP)) {
		memset(peer->ip, 0, 10);
		memset(peer->ip + 10, 0xff, 2);
		memcpy(peer->ip + 12, &ip_hdr(skb)->saddr, 4);
		return true;
	}
	if (skb->protocol != htons(ETH_P_IPV6))
		return false;
	memcpy(peer->ip, &ipv6_hdr(skb)->saddr, sizeof(peer->ip));
	return !(ipv6_addr_type(&ipv6_hdr(skb)->saddr) & IPV6_ADDR_LINKLOCAL);
}

static void count_passed(struct kdht_instance *instance, size_t len)
{
	struct kdht_stats *stats = this_cpu_ptr(instance->stats);

	u64_stats_update_begin(&stats->sync);
	stats->counts.datagrams_in++;
	stats->counts.bytes_in += len;
	stats->counts.passed++;
	u64_stats_update_end(&stats->sync);
}

static __always_inline void count(struct kdht_instance *instance,
				  const struct kdht_answer *answer, size_t in_len,
				  size_t out_len)
{
	struct kdht_stats *stats = this_cpu_ptr(instance->stats);
	struct kdht_counts *counts = &stats->counts;

	u64_stats_update_begin(&stats->sync);
	counts->datagrams_in++;
	counts->bytes_in += in_len;
	if (answer->request_kind)
		counts->requests_in[answer->request_kind - 1]++;
	if (answer->refusal != KDHT_REFUSED_NOT)
		counts->refused[answer->refusal]++;
	if (out_len) {
		counts->datagrams_out++;
		counts->bytes_out += out_len;
		counts->replies_out[answer->head.kind - 1]++;
	} else if (answer->verdict == KDHT_REPLY) {
		counts->refused[KDHT_REFUSED_OUTBOX]++;
	}
	u64_stats_update_end(&stats->sync);
}

/* The same of a request that goes on, of which @answer has no reply */
static void count_forward(struct kdht_instance *instance, const struct kdht_answer *answer,
			  size_t in_len, size_t out_len)
{
	struct kdht_stats *stats = this_cpu_ptr(instance->stats);
	struct kdht_counts *counts = &stats->counts;

	u64_stats_update_begin(&stats->sync);
	counts->datagrams_in++;
	counts->bytes_in += in_len;
	counts->requests_in[answer->request_kind - 1]++;
	if (out_len) {
		counts->datagrams_out++;
		counts->bytes_out += out_len;
		counts->forwarded++;
	} else {
		counts->refused[KDHT_REFUSED_OUTBOX]++;
	}
	u64_stats_update_end(&stats->sync);
}

/* Judges and takes one datagram. Apart, so that what is passed does not pay for its frame */
static noinline void take(struct sock *sk, struct kdht_instance *instance,
			  const struct kdht_config *config, const struct kdht_endpoint *peer,
			  const struct kdht_hot *hot, struct sk_buff *skb)
{
	size_t len = skb->len - sizeof(struct udphdr), out_len = 0;
	struct kdht_now now = {
		.mono_ns = ktime_get_ns(),
		.unix_s = (u32)ktime_get_real_seconds(),
	};
	/* Nothing in it is read that was not written: not worth some seventy words of zeros */
	struct kdht_answer answer KDHT_UNINITIALIZED;

	kdht_answer(&instance->node, config, peer, &now, skb->data + sizeof(struct udphdr), len,
		    hot, &answer);
	if (answer.verdict == KDHT_REPLY)
		out_len = kdht_send_reply(sk, skb, config, &answer);
	else
		consume_skb(skb);
	if (out_len)
		trace_kdht_reply(peer, answer.head.kind, answer.refusal, out_len);
	else
		trace_kdht_drop(peer, answer.verdict == KDHT_REPLY ? KDHT_REFUSED_OUTBOX :
						answer.refusal, len);
	count(instance, &answer, len, out_len);
	if (out_len && kdht_answer_is_sighting(config, &answer, out_len))
		kdht_sighted_add(instance->sighted, &answer.asker, peer, now.mono_ns);
}

/* Where it came to */
static void own_of(const struct sk_buff *skb, struct kdht_endpoint *own)
{
	own->port = udp_hdr(skb)->dest;
	if (skb->protocol == htons(ETH_P_IP)) {
		memset(own->ip, 0, 10);
		memset(own->ip + 10, 0xff, 2);
		memcpy(own->ip + 12, &ip_hdr(skb)->daddr, 4);
	} else {
		memcpy(own->ip, &ipv6_hdr(skb)->daddr, sizeof(own->ip));
	}
}

/* Takes one that may be forwarded, as take() does others */
static noinline void take_forward(struct sock *sk, struct kdht_instance *instance,
				  const struct kdht_config *config,
				  const struct kdht_endpoint *peer, const struct kdht_hot *hot,
				  struct sk_buff *skb)
{
	size_t len = skb->len - sizeof(struct udphdr), out_len = 0;
	struct kdht_now now = {
		.mono_ns = ktime_get_ns(),
		.unix_s = (u32)ktime_get_real_seconds(),
	};
	struct kdht_answer answer KDHT_UNINITIALIZED;
	struct kdht_hop hop KDHT_UNINITIALIZED;
	struct kdht_endpoint own;
	bool is_for_peer;

	own_of(skb, &own);
	kdht_forward(&instance->node, config, peer, &own, &now,
		     skb->data + sizeof(struct udphdr), len, hot, &answer, &hop);
	is_for_peer = answer.verdict == KDHT_REPLY &&
		      !memcmp(&answer.observed, peer, sizeof(*peer));
	if (answer.verdict == KDHT_DROP)
		consume_skb(skb);
	else if (is_for_peer)
		out_len = kdht_send_reply(sk, skb, config, &answer);
	else
		out_len = kdht_send_on(sk, skb, &instance->node, config, &answer, &hop,
				       now.unix_s);
	if (out_len && answer.verdict == KDHT_FORWARD)
		trace_kdht_forward(peer, &hop.next, answer.request_kind, hop.forward.hops,
				   out_len);
	else if (out_len)
		trace_kdht_reply(&answer.observed, answer.head.kind, answer.refusal, out_len);
	else
		trace_kdht_drop(peer, answer.verdict == KDHT_DROP ? answer.refusal :
						KDHT_REFUSED_OUTBOX, len);
	if (answer.verdict == KDHT_FORWARD)
		count_forward(instance, &answer, len, out_len);
	else
		count(instance, &answer, len, out_len);
	if (!out_len || (is_for_peer && !kdht_answer_is_sighting(config, &answer, out_len)))
		return;
	/* What is not for the sender it did not draw: it paid for pings */
	if (answer.request_kind && !answer.is_client && kdht_is_reachable(peer))
		kdht_sighted_add(instance->sighted, &answer.asker, peer, now.mono_ns);
}

/* Whether a datagram looks like a reply to a transaction of the module's */
static bool is_own_reply(const struct kdht_head *head, size_t len)
{
	return len >= sizeof(*head) && head->magic[0] == KDHT_MAGIC_0 &&
	       (kdht_flags(head) & KDHT_FLAG_REPLY) &&
	       le64_to_cpu(head->tx_id) >> 56 == KDHT_TX_KERNEL;
}

/* Takes a reply to a transaction of the module's, if it is one */
static noinline void take_reply(struct kdht_instance *instance, const struct kdht_config *config,
				struct sk_buff *skb)
{
	const struct kdht_head *head = (void *)(skb->data + sizeof(struct udphdr));
	size_t len = skb->len - sizeof(struct udphdr);
	struct kdht_stats *stats = this_cpu_ptr(instance->stats);
	struct kdht_endpoint peer = { 0 };
	struct kdht_message message;
	enum kdht_refusal refusal;

	refusal = kdht_check_sound(config, (u32)ktime_get_real_seconds(), head, len, &message);
	/* It may wait longer than what it came by is there */
	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	if (refusal == KDHT_REFUSED_NOT && kdht_id_is_same(&head->sender, &instance->node.id))
		refusal = KDHT_REFUSED_OWN_ID;
	if (refusal == KDHT_REFUSED_NOT &&
	    (!peer_of(skb, &peer) ||
	     !kdht_discovery_reply(instance->discovery, head, &peer, skb, ktime_get_ns())))
		refusal = KDHT_REFUSED_UNMATCHED;
	u64_stats_update_begin(&stats->sync);
	stats->counts.datagrams_in++;
	stats->counts.bytes_in += len;
	if (refusal != KDHT_REFUSED_NOT)
		stats->counts.refused[refusal]++;
	u64_stats_update_end(&stats->sync);
	if (refusal == KDHT_REFUSED_NOT)
		return;
	trace_kdht_drop(&peer, refusal, len);
	kfree_skb(skb);
}

/*
 * Learns of a node from a request that the daemon answers, as it would from one that is answered
 * here: no client, and nobody who did not pay for the pings that it may get, whatever the reply
 */
static noinline void learn(struct kdht_instance *instance, const struct kdht_config *config,
			   const struct sk_buff *skb)
{
	const struct kdht_head *head = (void *)(skb->data + sizeof(struct udphdr));
	size_t len = skb->len - sizeof(struct udphdr);
	size_t drawn = KDHT_DATAGRAM_LEN_MAX + 2 * (sizeof(*head) + kdht_mac_len(&config->ring));
	struct kdht_message message;
	struct kdht_endpoint peer;
	u64 now_ns, fresh;

	if (len < sizeof(*head) || head->magic[0] != KDHT_MAGIC_0 ||
	    (kdht_flags(head) & (KDHT_FLAG_REPLY | KDHT_FLAG_CLIENT)) ||
	    skb->pkt_type != PACKET_HOST || !peer_of(skb, &peer) || !kdht_is_reachable(&peer))
		return;
	now_ns = ktime_get_ns();
	if (!kdht_sighted_is_due(instance->sighted, &head->sender, &peer, now_ns) ||
	    kdht_check_sound(config, (u32)ktime_get_real_seconds(), head, len, &message) !=
	    KDHT_REFUSED_NOT)
		return;
	if (len * KDHT_UNPROVEN_FACTOR >= drawn ||
	    kdht_cookie_check(&instance->node.cookies, &peer, le64_to_cpu(head->cookie), now_ns,
			      &fresh))
		kdht_sighted_add(instance->sighted, &head->sender, &peer, now_ns);
}

/*
 * Whether socket filter, cgroup and security module let a datagram in: what is passed they are
 * asked about later, what is taken here and now
 */
static bool is_let_in(struct sock *sk, struct sk_buff *skb)
{
	unsigned int len = skb->len;

	/* What a filter would shorten is the daemon's to read */
	return !sk_filter_trim_cap(sk, skb, len);
}

/**
 * kdht_receive() - judge one datagram, and answer it or leave it to the daemon
 * @sk: the attached socket
 * @skb: the datagram from its UDP header on, its checksum verified
 *
 * Context: softirq, or with softirqs off, within rcu_read_lock(). Neither sleeps nor waits.
 * Return: 0 if @skb was taken, 1 if it is the daemon's.
 */
int kdht_receive(struct sock *sk, struct sk_buff *skb)
{
	struct kdht_socket *socket = rcu_dereference_sk_user_data(sk);
	size_t len = skb->len - sizeof(struct udphdr);
	struct kdht_instance *instance;
	const struct kdht_hot *hot;
	struct kdht_config *config;
	struct kdht_endpoint peer;
	bool is_routing;

	/* It was detached just now */
	if (!socket)
		return 1;
	instance = socket->instance;
	config = rcu_dereference(instance->config);
	/* Several datagrams in one, or no memory to read one in a piece */
	if (skb_is_gso(skb) || skb_linearize(skb)) {
		kdht_pass_unread(&instance->node);
		goto pass;
	}
	is_routing = READ_ONCE(instance->discovery->is_on);
	if (is_routing && is_own_reply((void *)(skb->data + sizeof(struct udphdr)), len)) {
		if (!is_let_in(sk, skb))
			goto drop;
		take_reply(instance, config, skb);
		return 0;
	}
	if (kdht_is_for_daemon(&instance->node, config, (u32)ktime_get_seconds(),
			       skb->data + sizeof(struct udphdr), len, &hot)) {
		if (unlikely(kdht_is_forward(skb->data + sizeof(struct udphdr), len)))
			goto forward;
		goto learn;
	}
	/* What went to many hosts, or came from where no address leads, is the daemon's, too */
	if (skb->pkt_type != PACKET_HOST || !peer_of(skb, &peer))
		goto pass;
	if (!is_let_in(sk, skb))
		goto drop;
	take(sk, instance, config, &peer, hot, skb);
	return 0;

forward:
	if (skb->pkt_type != PACKET_HOST ||
	    !kdht_forward_is_here(&instance->node, config, (u32)ktime_get_seconds(),
				  skb->data + sizeof(struct udphdr), len, &hot) ||
	    !peer_of(skb, &peer))
		goto learn;
	if (!is_let_in(sk, skb))
		goto drop;
	take_forward(sk, instance, config, &peer, hot, skb);
	return 0;

drop:
	kfree_skb(skb);
	return 0;
learn:
	if (is_routing)
		learn(instance, config, skb);
pass:
	trace_kdht_pass(len);
	count_passed(instance, len);
	return 1;
}
