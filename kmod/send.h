/* SPDX-License-Identifier: GPL-2.0 */
/* Replies and forwarded requests out, in the buffer that the request came in. */
#ifndef KDHT_SEND_H
#define KDHT_SEND_H

#include <linux/skbuff.h>
#include <net/sock.h>

#include "answer.h"
#include "forward.h"

size_t kdht_send_on(struct sock *sk, struct sk_buff *skb, const struct kdht_node *node,
		    const struct kdht_config *config, const struct kdht_answer *answer,
		    const struct kdht_hop *hop, u32 unix_s);
size_t kdht_send_reply(struct sock *sk, struct sk_buff *skb, const struct kdht_config *config,
		       const struct kdht_answer *answer);

#endif /* KDHT_SEND_H */
