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

/* A way back for a datagram; one of the two */
struct way {
	bool is_v4;
	struct flowi4 fl4;
	struct rtable *rt;
#if IS_ENABLED(CONFIG_IPV6)
	struct flowi6 fl6;
	struct dst_entry *dst;
#endif
};

static int find_way4(struct sock *sk, const struct sk_buff *skb, struct way *way)
{
	const struct udphdr *udp = udp_hdr(skb);
	const struct iphdr *ip = ip_hdr(skb);

	flowi4_init_output(&way->fl4, sk->sk_bound_dev_if, sk->sk_mark, RT_TOS(inet_sk(sk)->tos),
			   RT_SCOPE_UNIVERSE, IPPROTO_UDP, inet_sk_flowi_flags(sk), ip->saddr,
			   ip->daddr, udp->source, udp->dest, sk->sk_uid);
	security_sk_classify_flow(sk, flowi4_to_flowi_common(&way->fl4));
	way->rt = ip_route_output_flow(sock_net(sk), &way->fl4, sk);
	return PTR_ERR_OR_ZERO(way->rt);
}

#if IS_ENABLED(CONFIG_IPV6)
static int find_way6(struct sock *sk, const struct sk_buff *skb, struct way *way)
{
	const struct udphdr *udp = udp_hdr(skb);

	memset(&way->fl6, 0, sizeof(way->fl6));
	way->fl6.flowi6_oif = sk->sk_bound_dev_if;
	way->fl6.flowi6_mark = sk->sk_mark;
	way->fl6.flowi6_proto = IPPROTO_UDP;
	way->fl6.flowi6_uid = sk->sk_uid;
	way->fl6.daddr = ipv6_hdr(skb)->saddr;
	way->fl6.saddr = ipv6_hdr(skb)->daddr;
	way->fl6.fl6_dport = udp->source;
	way->fl6.fl6_sport = udp->dest;
	security_sk_classify_flow(sk, flowi6_to_flowi_common(&way->fl6));
	way->dst = ipv6_stub->ipv6_dst_lookup_flow(sock_net(sk), sk, &way->fl6, NULL);
	return PTR_ERR_OR_ZERO(way->dst);
}
#else
static int find_way6(struct sock *sk, const struct sk_buff *skb, struct way *way)
{
	return -EAFNOSUPPORT;
}
#endif

static void leave_way(struct way *way)
{
	if (way->is_v4)
		ip_rt_put(way->rt);
#if IS_ENABLED(CONFIG_IPV6)
	else
		dst_release(way->dst);
#endif
}

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

static void transmit(struct sock *sk, struct sk_buff *skb, struct way *way)
{
	if (way->is_v4) {
		int ttl = inet_sk(sk)->uc_ttl;

		udp_tunnel_xmit_skb(way->rt, sk, skb, way->fl4.saddr, way->fl4.daddr,
				    inet_sk(sk)->tos, ttl < 0 ? ip4_dst_hoplimit(&way->rt->dst) : ttl,
				    ip_dont_fragment(sk, &way->rt->dst) ? htons(IP_DF) : 0,
				    way->fl4.fl4_sport, way->fl4.fl4_dport, false, false);
		return;
	}
#if IS_ENABLED(CONFIG_IPV6)
	udp_tunnel6_xmit_skb(way->dst, sk, skb, NULL, &way->fl6.saddr, &way->fl6.daddr, 0,
			     ip6_dst_hoplimit(way->dst), 0, way->fl6.fl6_sport,
			     way->fl6.fl6_dport, false);
#endif
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
	size_t len = kdht_answer_len_max(config, answer);
	struct way way = { .is_v4 = skb->protocol == htons(ETH_P_IP) };

	if (way.is_v4 ? find_way4(sk, skb, &way) : find_way6(sk, skb, &way))
		goto free;
	__skb_pull(skb, sizeof(struct udphdr));
	if (make_room(skb, len))
		goto leave;
	__skb_trim(skb, 0);
	__skb_put(skb, len);
	len = kdht_answer_emit(config, answer, skb->data);
	__skb_trim(skb, len);
	forget_request(skb, sk);
	transmit(sk, skb, &way);
	return len;

leave:
	leave_way(&way);
free:
	kfree_skb(skb);
	return 0;
}
