// SPDX-License-Identifier: GPL-2.0
/* A reply leaves from the address that was asked, in the buffer that the request came in. */
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
static int make_room(struct sk_buff *skb, size_t len)
{
	size_t have = skb->len + skb_tailroom(skb);
	unsigned int headroom = skb_headroom(skb);

	if (!skb_cloned(skb) && have >= len && headroom >= HEADROOM)
		return 0;
	return pskb_expand_head(skb, headroom < HEADROOM ? HEADROOM - headroom : 0,
				have < len ? len - have : 0, GFP_ATOMIC);
}

/* Forgets what the network told of the request */
static void forget_request(struct sk_buff *skb, const struct sock *sk)
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

static size_t send4(struct sock *sk, struct sk_buff *skb, const struct kdht_config *config,
		    const struct kdht_answer *answer)
{
	const struct udphdr *udp = udp_hdr(skb);
	const struct iphdr *ip = ip_hdr(skb);
	int ttl = inet_sk(sk)->uc_ttl;
	struct flowi4 fl4;
	struct rtable *rt;
	size_t len;

	flowi4_init_output(&fl4, sk->sk_bound_dev_if, sk->sk_mark, RT_TOS(inet_sk(sk)->tos),
			   RT_SCOPE_UNIVERSE, IPPROTO_UDP, inet_sk_flowi_flags(sk), ip->saddr,
			   ip->daddr, udp->source, udp->dest, sk->sk_uid);
	security_sk_classify_flow(sk, flowi4_to_flowi_common(&fl4));
	rt = ip_route_output_flow(sock_net(sk), &fl4, sk);
	if (IS_ERR(rt))
		goto free;
	/* The daemon's socket may not send there, either */
	if (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST))
		goto put;
	len = lay_out(sk, skb, config, answer);
	if (!len)
		goto put;
	udp_tunnel_xmit_skb(rt, sk, skb, fl4.saddr, fl4.daddr, inet_sk(sk)->tos,
			    ttl < 0 ? ip4_dst_hoplimit(&rt->dst) : ttl,
			    ip_dont_fragment(sk, &rt->dst) ? htons(IP_DF) : 0, fl4.fl4_sport,
			    fl4.fl4_dport, false, false);
	return len;

put:
	ip_rt_put(rt);
free:
	kfree_skb(skb);
	return 0;
}

#if IS_ENABLED(CONFIG_IPV6)
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
	struct dst_entry *dst;
	size_t len;

	security_sk_classify_flow(sk, flowi6_to_flowi_common(&fl6));
	dst = ipv6_stub->ipv6_dst_lookup_flow(sock_net(sk), sk, &fl6, NULL);
	if (IS_ERR(dst))
		goto free;
	len = lay_out(sk, skb, config, answer);
	if (!len)
		goto put;
	udp_tunnel6_xmit_skb(dst, sk, skb, NULL, &fl6.saddr, &fl6.daddr, 0,
			     ip6_dst_hoplimit(dst), 0, fl6.fl6_sport, fl6.fl6_dport, false);
	return len;

put:
	dst_release(dst);
free:
	kfree_skb(skb);
	return 0;
}
#else
static size_t send6(struct sock *sk, struct sk_buff *skb, const struct kdht_config *config,
		    const struct kdht_answer *answer)
{
	kfree_skb(skb);
	return 0;
}
#endif

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
