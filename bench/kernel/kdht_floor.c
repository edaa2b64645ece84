// SPDX-License-Identifier: GPL-2.0
/*
 * The floor under the kernel path, and marks for whoever counts instructions. For measuring
 * only: whoever may write the parameters may make any UDP socket of theirs an echo, which
 * parses nothing and looks nothing up but the way back.
 *
 *	echo "FD BYTES" >/sys/module/kdht_floor/parameters/echo	answer on socket FD by BYTES
 *	echo 1 >/sys/module/kdht_floor/parameters/mark		run the marking instruction
 */
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/ip.h>
#include <net/route.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

/* Any value but zero makes UDP look at encap_rcv */
#define ENCAP_TYPE	1
/* What may be pushed in front of the payload: link, IPv6 and UDP, as kdht.ko reckons */
#define HEADROOM	(LL_MAX_HEADER + sizeof(struct ipv6hdr) + sizeof(struct udphdr))
/* Longest reply */
#define REPLY_LEN_MAX	1232

/**
 * struct floor - what a socket is answered by
 * @rcu: for whoever frees it
 * @reply_len: bytes of every reply
 */
struct floor {
	struct rcu_head rcu;
	unsigned int reply_len;
};

static int make_room(struct sk_buff *skb, size_t len)
{
	size_t have = skb->len + skb_tailroom(skb);
	unsigned int headroom = skb_headroom(skb);

	if (!skb_cloned(skb) && have >= len && headroom >= HEADROOM)
		return 0;
	return pskb_expand_head(skb, headroom < HEADROOM ? HEADROOM - headroom : 0,
				have < len ? len - have : 0, GFP_ATOMIC);
}

/* As long as the reply: the request, or as much of it, and zeros */
static void lay_out(struct sk_buff *skb, unsigned int len)
{
	if (skb->len >= len)
		__skb_trim(skb, len);
	else
		__skb_put_zero(skb, len - skb->len);
}

/* Context: softirq, or with softirqs off, within rcu_read_lock() */
static int floor_receive(struct sock *sk, struct sk_buff *skb)
{
	const struct floor *floor = rcu_dereference_sk_user_data(sk);
	const struct udphdr *udp = udp_hdr(skb);
	struct flowi4 fl4 = {
		.flowi4_proto = IPPROTO_UDP,
		.daddr = ip_hdr(skb)->saddr,
		.saddr = ip_hdr(skb)->daddr,
		.fl4_dport = udp->source,
		.fl4_sport = udp->dest,
	};
	struct rtable *rt;

	if (!floor || skb->protocol != htons(ETH_P_IP) || skb_linearize(skb))
		return 1;
	rt = ip_route_output_key(sock_net(sk), &fl4);
	if (IS_ERR(rt))
		goto free;
	__skb_pull(skb, sizeof(struct udphdr));
	if (make_room(skb, floor->reply_len))
		goto put;
	lay_out(skb, floor->reply_len);
	skb_orphan(skb);
	skb_scrub_packet(skb, false);
	skb->ip_summed = CHECKSUM_NONE;
	/* Tunnels count into the statistics of a device, which lo and veth do not have */
	skb->dev = NULL;
	udp_tunnel_xmit_skb(rt, sk, skb, fl4.saddr, fl4.daddr, 0, ip4_dst_hoplimit(&rt->dst),
			    htons(IP_DF), fl4.fl4_sport, fl4.fl4_dport, false, false);
	return 0;

put:
	ip_rt_put(rt);
free:
	kfree_skb(skb);
	return 0;
}

static void socket_destroyed(struct sock *sk)
{
	/* Nobody else changes it, and this is called once */
	struct floor *floor = rcu_dereference_protected(__sk_user_data(sk), true);

	lock_sock(sk);
	udp_sk(sk)->encap_type = 0;
	WRITE_ONCE(udp_sk(sk)->encap_rcv, NULL);
	udp_sk(sk)->encap_destroy = NULL;
	rcu_assign_sk_user_data(sk, NULL);
	release_sock(sk);
	kfree_rcu(floor, rcu);
	module_put(THIS_MODULE);
}

static int attach(struct socket *sock, unsigned int reply_len)
{
	struct udp_tunnel_sock_cfg tunnel = {
		.encap_type = ENCAP_TYPE,
		.encap_rcv = floor_receive,
		.encap_destroy = socket_destroyed,
	};
	struct floor *floor;
	int err = -EBUSY;

	if (sock->sk->sk_type != SOCK_DGRAM || sock->sk->sk_protocol != IPPROTO_UDP)
		return -EPROTONOSUPPORT;
	floor = kzalloc(sizeof(*floor), GFP_KERNEL);
	if (!floor)
		return -ENOMEM;
	floor->reply_len = reply_len;
	lock_sock(sock->sk);
	if (!__sk_user_data(sock->sk) && !udp_sk(sock->sk)->encap_type) {
		tunnel.sk_user_data = floor;
		setup_udp_tunnel_sock(sock_net(sock->sk), sock, &tunnel);
		/* Somebody is writing the parameter, so the module is there */
		__module_get(THIS_MODULE);
		err = 0;
	}
	release_sock(sock->sk);
	if (err)
		kfree(floor);
	return err;
}

static int echo_set(const char *text, const struct kernel_param *param)
{
	unsigned int fd, reply_len;
	struct socket *sock;
	int err = 0;

	if (sscanf(text, "%u %u", &fd, &reply_len) != 2 || reply_len > REPLY_LEN_MAX)
		return -EINVAL;
	sock = sockfd_lookup(fd, &err);
	if (!sock)
		return err;
	err = attach(sock, reply_len);
	sockfd_put(sock);
	return err;
}

/* By which the counting plugin knows where a count begins and ends; it changes nothing */
static int mark_set(const char *text, const struct kernel_param *param)
{
	asm volatile(".byte 0x66, 0x87, 0xdb" : : : "memory");
	return 0;
}

static const struct kernel_param_ops echo_ops = { .set = echo_set };
static const struct kernel_param_ops mark_ops = { .set = mark_set };

module_param_cb(echo, &echo_ops, NULL, 0200);
module_param_cb(mark, &mark_ops, NULL, 0200);

MODULE_DESCRIPTION("Bare echo in softirq: the floor that kdht.ko is held against");
MODULE_LICENSE("GPL");
