// SPDX-License-Identifier: GPL-2.0
/*
 * A reply leaves from the address that was asked, in the buffer that the request came in; so does
 * a request that goes on, from whatever address leads there.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/dst_metadata.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/ipv6_stubs.h>
#include <net/route.h>
#include <net/udp_tunnel.h>

#include "send.h"

/* What may be pushed in front of the payload: link, IPv6 and UDP */
#define HEADROOM (LL_MAX_HEADER + sizeof(struct ipv6hdr) + sizeof(struct udphdr))

/* Makes the buffer the module's alone, with room for @len bytes and for headers before them */
static __always_inline int make_room(struct sk_buff *skb, size_t len)
{
	size_t have = skb->len + skb_tailroom(skb);
	unsigned int headroom = skb_headroom(skb);

	if (!skb_cloned(skb) && have >= len && headroom >= HEADROOM)
		return 0;
	return pskb_expand_head(skb, headroom < HEADROOM ? HEADROOM - headroom : 0,
				have < len ? len - have : 0, GFP_ATOMIC);
}

/* Forgets what the network told of the request */
static __always_inline void forget_request(struct sk_buff *skb, const struct sock *sk)
{
	skb_orphan(skb);
	skb_scrub_packet(skb, false);
	skb_clear_tstamp(skb);
	skb_clear_hash(skb);
	skb->ip_summed = CHECKSUM_NONE;
	skb->encapsulation = 0;
	skb->mark = sk->sk_mark;
	skb->priority = sk->sk_priority;
	/* Tunnels count into the statistics of a device, which lo and veth do not have */
	skb->dev = NULL;
}

/* Puts the reply where the request stands. Bytes of the reply, or 0 if there is no memory */
static size_t lay_out(const struct sock *sk, struct sk_buff *skb,
		      const struct kdht_config *config, const struct kdht_answer *answer)
{
	size_t len = kdht_answer_len_max(config, answer);

	__skb_pull(skb, sizeof(struct udphdr));
	if (make_room(skb, len))
		return 0;
	__skb_trim(skb, 0);
	__skb_put(skb, len);
	len = kdht_answer_emit(config, answer, skb->data);
	__skb_trim(skb, len);
	forget_request(skb, sk);
	return len;
}

/* A route that the daemon's socket could send by */
static __always_inline struct rtable *find_route4(struct sock *sk, struct flowi4 *fl4, __be32 daddr,
						  __be32 saddr, __be16 dport, __be16 sport)
{
	struct rtable *rt;

	flowi4_init_output(fl4, sk->sk_bound_dev_if, sk->sk_mark, RT_TOS(inet_sk(sk)->tos),
			   RT_SCOPE_UNIVERSE, IPPROTO_UDP, inet_sk_flowi_flags(sk), daddr,
			   saddr, dport, sport, sk->sk_uid);
	security_sk_classify_flow(sk, flowi4_to_flowi_common(fl4));
	rt = ip_route_output_flow(sock_net(sk), fl4, sk);
	if (IS_ERR(rt))
		return NULL;
	/* The daemon's socket may not send there, either */
	if (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST)) {
		ip_rt_put(rt);
		return NULL;
	}
	return rt;
}

static __always_inline void transmit4(struct sock *sk, struct sk_buff *skb, struct rtable *rt,
				      const struct flowi4 *fl4)
{
	int ttl = inet_sk(sk)->uc_ttl;

	udp_tunnel_xmit_skb(rt, sk, skb, fl4->saddr, fl4->daddr, inet_sk(sk)->tos,
			    ttl < 0 ? ip4_dst_hoplimit(&rt->dst) : ttl,
			    ip_dont_fragment(sk, &rt->dst) ? htons(IP_DF) : 0, fl4->fl4_sport,
			    fl4->fl4_dport, false, false);
}

static size_t send4(struct sock *sk, struct sk_buff *skb, const struct kdht_config *config,
		    const struct kdht_answer *answer)
{
	const struct udphdr *udp = udp_hdr(skb);
	const struct iphdr *ip = ip_hdr(skb);
	struct flowi4 fl4;
	struct rtable *rt;
	size_t len;

	rt = find_route4(sk, &fl4, ip->saddr, ip->daddr, udp->source, udp->dest);
	if (!rt)
		goto free;
	len = lay_out(sk, skb, config, answer);
	if (!len)
		goto put;
	transmit4(sk, skb, rt, &fl4);
	return len;

put:
	ip_rt_put(rt);
free:
	kfree_skb(skb);
	return 0;
}

/* Sends what is laid out, from whatever address the host chooses, as what the daemon asks */
static bool send_on4(struct sock *sk, struct sk_buff *skb, const struct kdht_endpoint *to,
		     __be16 sport)
{
	struct flowi4 fl4;
	struct rtable *rt;
	__be32 daddr;

	memcpy(&daddr, to->ip + 12, sizeof(daddr));
	rt = find_route4(sk, &fl4, daddr, inet_sk(sk)->inet_saddr, to->port, sport);
	if (!rt)
		return false;
	transmit4(sk, skb, rt, &fl4);
	return true;
}

#if IS_ENABLED(CONFIG_IPV6)
static struct dst_entry *find_route6(struct sock *sk, struct flowi6 *fl6)
{
	struct dst_entry *dst;

	security_sk_classify_flow(sk, flowi6_to_flowi_common(fl6));
	dst = ipv6_stub->ipv6_dst_lookup_flow(sock_net(sk), sk, fl6, NULL);
	return IS_ERR(dst) ? NULL : dst;
}

static void transmit6(struct sock *sk, struct sk_buff *skb, struct dst_entry *dst,
		      struct flowi6 *fl6)
{
	udp_tunnel6_xmit_skb(dst, sk, skb, NULL, &fl6->saddr, &fl6->daddr, 0,
			     ip6_dst_hoplimit(dst), 0, fl6->fl6_sport, fl6->fl6_dport, false);
}

/* Apart, so that IPv4 does not pay for its frame */
static noinline size_t send6(struct sock *sk, struct sk_buff *skb,
			     const struct kdht_config *config, const struct kdht_answer *answer)
{
	const struct udphdr *udp = udp_hdr(skb);
	struct flowi6 fl6 = {
		.flowi6_oif = sk->sk_bound_dev_if,
		.flowi6_mark = sk->sk_mark,
		.flowi6_proto = IPPROTO_UDP,
		.flowi6_uid = sk->sk_uid,
		.daddr = ipv6_hdr(skb)->saddr,
		.saddr = ipv6_hdr(skb)->daddr,
		.fl6_dport = udp->source,
		.fl6_sport = udp->dest,
	};
	struct dst_entry *dst = find_route6(sk, &fl6);
	size_t len;

	if (!dst)
		goto free;
	len = lay_out(sk, skb, config, answer);
	if (!len)
		goto put;
	transmit6(sk, skb, dst, &fl6);
	return len;

put:
	dst_release(dst);
free:
	kfree_skb(skb);
	return 0;
}

static noinline bool send_on6(struct sock *sk, struct sk_buff *skb,
			      const struct kdht_endpoint *to, __be16 sport)
{
	struct flowi6 fl6 = {
		.flowi6_oif = sk->sk_bound_dev_if,
		.flowi6_mark = sk->sk_mark,
		.flowi6_proto = IPPROTO_UDP,
		.flowi6_uid = sk->sk_uid,
		.saddr = sk->sk_v6_rcv_saddr,
		.fl6_dport = to->port,
		.fl6_sport = sport,
	};
	struct dst_entry *dst;

	memcpy(&fl6.daddr, to->ip, sizeof(fl6.daddr));
	dst = find_route6(sk, &fl6);
	if (!dst)
		return false;
	transmit6(sk, skb, dst, &fl6);
	return true;
}
#else
static size_t send6(struct sock *sk, struct sk_buff *skb, const struct kdht_config *config,
		    const struct kdht_answer *answer)
{
	kfree_skb(skb);
	return 0;
}

static bool send_on6(struct sock *sk, struct sk_buff *skb, const struct kdht_endpoint *to,
		     __be16 sport)
{
	return false;
}
#endif

/* Makes the next hop's request of the one that came. Its bytes, or 0 if there is no memory */
static size_t lay_out_on(const struct sock *sk, struct sk_buff *skb, const struct kdht_node *node,
			 const struct kdht_config *config, const struct kdht_hop *hop, u32 unix_s)
{
	size_t came, len;

	__skb_pull(skb, sizeof(struct udphdr));
	came = skb->len;
	len = kdht_forward_len(hop, came);
	if (make_room(skb, len))
		return 0;
	__skb_put(skb, len - came);
	len = kdht_forward_emit(node, config, unix_s, hop, skb->data, came);
	forget_request(skb, sk);
	return len;
}

/**
 * kdht_send_on() - send what a request leads to, but to another than who sent it
 * @sk: the socket it came to
 * @skb: the request from its UDP header on, linear; taken
 * @node: the node that got it
 * @config: as it was judged by
 * @answer: a verdict of KDHT_FORWARD, or a reply for the origin
 * @hop: where it goes on to, for the former
 * @unix_s: seconds since 1970, modulo 2^32
 *
 * It leaves from whatever address the host chooses: its receiver did not ask any.
 *
 * Context: softirq, or with softirqs off, in the read-side section of kdht_forward().
 * Return: bytes of UDP payload handed to the network, or 0 if there is no memory or no route.
 */
size_t kdht_send_on(struct sock *sk, struct sk_buff *skb, const struct kdht_node *node,
		    const struct kdht_config *config, const struct kdht_answer *answer,
		    const struct kdht_hop *hop, u32 unix_s)
{
	bool is_v4 = skb->protocol == htons(ETH_P_IP), is_sent = false;
	bool goes_on = answer->verdict == KDHT_FORWARD;
	const struct kdht_endpoint *to = goes_on ? &hop->next : &answer->observed;
	__be16 sport = udp_hdr(skb)->dest;
	size_t len;

	if (goes_on)
		len = lay_out_on(sk, skb, node, config, hop, unix_s);
	else
		len = lay_out(sk, skb, config, answer);
	if (len)
		is_sent = is_v4 ? send_on4(sk, skb, to, sport) : send_on6(sk, skb, to, sport);
	if (is_sent)
		return len;
	kfree_skb(skb);
	return 0;
}

/**
 * kdht_send_reply() - answer a request
 * @sk: the socket it came to
 * @skb: the request from its UDP header on, linear; taken
 * @config: as it was judged by
 * @answer: a verdict of KDHT_REPLY
 *
 * Context: softirq, or with softirqs off, in the read-side section of kdht_answer().
 * Return: bytes of UDP payload handed to the network, or 0 if there is no memory or no route.
 */
size_t kdht_send_reply(struct sock *sk, struct sk_buff *skb, const struct kdht_config *config,
		       const struct kdht_answer *answer)
{
	if (skb->protocol == htons(ETH_P_IP))
		return send4(sk, skb, config, answer);
	return send6(sk, skb, config, answer);
}
