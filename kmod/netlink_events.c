// SPDX-License-Identifier: GPL-2.0
/* What is told of a node's routing to whoever listens. */
#include <net/genetlink.h>

#include "kdht_netlink.h"
#include "netlink.h"

/* A message to whoever listens to routing, about node @id; NULL if nobody does */
static struct sk_buff *begin_event(struct net *net, const struct kdht_id *id, u8 command,
				   size_t len, void **head)
{
	struct sk_buff *msg;

	if (!genl_has_listeners(&kdht_family, net, KDHT_GROUP_ROUTING))
		return NULL;
	msg = genlmsg_new(nla_total_size(sizeof(*id)) + len, GFP_KERNEL);
	if (!msg)
		return NULL;
	*head = genlmsg_put(msg, 0, 0, &kdht_family, 0, command);
	if (*head && !nla_put(msg, KDHT_A_NODE_ID, sizeof(*id), id))
		return msg;
	nlmsg_free(msg);
	return NULL;
}

/* What is told may be lost, as a table-get tells all of it */
static void end_event(struct net *net, struct sk_buff *msg, void *head)
{
	genlmsg_end(msg, head);
	genlmsg_multicast_netns(&kdht_family, net, msg, 0, KDHT_GROUP_ROUTING, GFP_KERNEL);
}

/**
 * kdht_netlink_tell_learned() - tell who answered for the first time
 * @net: the node's namespace
 * @id: the node
 * @contacts: who
 * @count: how many
 *
 * Context: process; may sleep.
 */
void kdht_netlink_tell_learned(struct net *net, const struct kdht_id *id,
			       const struct kdht_contact *contacts, u16 count)
{
	struct sk_buff *msg;
	void *head;
	u16 i;

	msg = begin_event(net, id, KDHT_CMD_LEARNED, count * nla_total_size(sizeof(*contacts)),
			  &head);
	if (!msg)
		return;
	for (i = 0; i < count; i++) {
		if (nla_put(msg, KDHT_A_NODE_CONTACT, sizeof(*contacts), &contacts[i])) {
			nlmsg_free(msg);
			return;
		}
	}
	end_event(net, msg, head);
}

/**
 * kdht_netlink_tell_joined() - tell that a node has joined
 * @net: the node's namespace
 * @id: the node
 * @v4: good IPv4 contacts
 * @v6: good IPv6 contacts
 *
 * Context: process; may sleep.
 */
void kdht_netlink_tell_joined(struct net *net, const struct kdht_id *id, u32 v4, u32 v6)
{
	struct sk_buff *msg;
	void *head;

	msg = begin_event(net, id, KDHT_CMD_JOINED, 2 * nla_total_size(sizeof(u32)), &head);
	if (!msg)
		return;
	if (nla_put_u32(msg, KDHT_A_NODE_CONTACTS_V4, v4) ||
	    nla_put_u32(msg, KDHT_A_NODE_CONTACTS_V6, v6))
		nlmsg_free(msg);
	else
		end_event(net, msg, head);
}

/**
 * kdht_netlink_tell_join_failed() - tell that no seed answered
 * @net: the node's namespace
 * @id: the node
 * @retry_ms: when the next attempt is
 *
 * Context: process; may sleep.
 */
void kdht_netlink_tell_join_failed(struct net *net, const struct kdht_id *id, u32 retry_ms)
{
	struct sk_buff *msg;
	void *head;

	msg = begin_event(net, id, KDHT_CMD_JOIN_FAILED, nla_total_size(sizeof(u32)), &head);
	if (!msg)
		return;
	if (nla_put_u32(msg, KDHT_A_NODE_RETRY_MS, retry_ms))
		nlmsg_free(msg);
	else
		end_event(net, msg, head);
}
