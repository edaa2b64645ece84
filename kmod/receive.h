/* SPDX-License-Identifier: GPL-2.0 */
/* Datagrams in, before the daemon's socket takes them. */
#ifndef KDHT_RECEIVE_H
#define KDHT_RECEIVE_H

#include <linux/skbuff.h>
#include <net/sock.h>

int kdht_receive(struct sock *sk, struct sk_buff *skb);

#endif /* KDHT_RECEIVE_H */
