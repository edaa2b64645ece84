// SPDX-License-Identifier: GPL-2.0
/* Commands about the contacts that others are told of, and who asked. */
#include <net/genetlink.h>

#include "attach.h"
#include "endpoint.h"
#include "kdht_netlink.h"
#include "netlink.h"

/**
 * kdht_netlink_tell_sighted() - tell whoever listens in a namespace who asked
 * @net: the namespace
 * @id: the node that was asked
 * @contacts: who asked
 * @count: how many, at most KDHT_SIGHTED_MAX
 *
 * Context: process; may sleep.
 * Return: 0, also if nobody listens; -ENOMEM or -EMSGSIZE, or -ENOBUFS if a listener is late.
 */
int kdht_netlink_tell_sighted(struct net *net, const struct kdht_id *id,
			      const struct kdht_contact *contacts, u16 count)
{
	struct sk_buff *msg;
	void *head;
	int err;
	u16 i;

	if (!genl_has_listeners(&kdht_family, net, KDHT_GROUP_SIGHTED))
		return 0;
	msg = genlmsg_new(nla_total_size(sizeof(*id)) +
			  count * nla_total_size(sizeof(*contacts)), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	head = genlmsg_put(msg, 0, 0, &kdht_family, 0, KDHT_CMD_SIGHTED);
	err = head ? nla_put(msg, KDHT_A_NODE_ID, sizeof(*id), id) : -EMSGSIZE;
	for (i = 0; i < count && !err; i++)
		err = nla_put(msg, KDHT_A_NODE_CONTACT, sizeof(*contacts), &contacts[i]);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, head);
	err = genlmsg_multicast_netns(&kdht_family, net, msg, 0, KDHT_GROUP_SIGHTED, GFP_KERNEL);
	/* Whoever listened has gone meanwhile */
	return err == -ESRCH ? 0 : err;
}

static struct kdht_table *table_for(struct kdht_instance *instance, bool is_v4)
{
	return &instance->node.tables[is_v4 ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6];
}

/* Whether the module itself finds whom others are told of; then the daemon has no say in it */
static bool is_routed_here(struct kdht_instance *instance, struct genl_info *info)
{
	bool is_on = READ_ONCE(instance->discovery->is_on);

	if (is_on)
		NL_SET_ERR_MSG(info->extack, "the routing table is the module's: set routing to 0");
	return is_on;
}

int kdht_handle_contact_add(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	struct kdht_contact *contacts;
	const struct nlattr *attr;
	int left, err, family;
	u32 room, counts[KDHT_FAMILY_COUNT] = { 0 };

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	if (is_routed_here(instance, info)) {
		mutex_unlock(&kdht_lock);
		return -EBUSY;
	}
	/* Those of either family, in their order */
	room = info->nlhdr->nlmsg_len / sizeof(*contacts);
	contacts = kvmalloc_array(KDHT_FAMILY_COUNT * room, sizeof(*contacts), GFP_KERNEL);
	if (!contacts) {
		mutex_unlock(&kdht_lock);
		return -ENOMEM;
	}
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left) {
		const struct kdht_contact *told = nla_data(attr);

		if (nla_type(attr) != KDHT_A_NODE_CONTACT)
			continue;
		family = kdht_is_v4(&told->endpoint) ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6;
		/* Others are told what the wire defines, which is no flag */
		contacts[family * room + counts[family]] = (struct kdht_contact) {
			.id = told->id,
			.endpoint = told->endpoint,
		};
		counts[family]++;
	}
	err = 0;
	for (family = 0; family < KDHT_FAMILY_COUNT && !err; family++)
		if (counts[family])
			err = kdht_table_add(&instance->node.tables[family],
					     contacts + family * room, counts[family]);
	mutex_unlock(&kdht_lock);
	kvfree(contacts);
	if (err)
		NL_SET_ERR_MSG(info->extack, "not all of the contacts are held");
	return err;
}

/**
 * kdht_family_asked() - which table a command is about
 * @info: the command, which must have a target, too
 * @is_v4: set to whether it is that of IPv4
 *
 * Return: 0, -EINVAL without a family or a target, or -EAFNOSUPPORT.
 */
int kdht_family_asked(struct genl_info *info, bool *is_v4)
{
	u16 family_number;

	if (GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_FAMILY) ||
	    GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_TARGET))
		return -EINVAL;
	family_number = nla_get_u16(info->attrs[KDHT_A_NODE_FAMILY]);
	*is_v4 = family_number == AF_INET;
	return *is_v4 || family_number == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

int kdht_handle_contact_del(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	bool is_v4;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = is_routed_here(instance, info) ? -EBUSY : kdht_family_asked(info, &is_v4);
	if (!err)
		err = kdht_table_remove(table_for(instance, is_v4),
					nla_data(info->attrs[KDHT_A_NODE_TARGET]));
	mutex_unlock(&kdht_lock);
	return err;
}

static int put_closest(struct sk_buff *msg, struct genl_info *info, struct kdht_table *table,
		       u8 k)
{
	struct kdht_closest closest;
	int err = 0;
	void *head;
	u16 at;
	u8 i;

	head = genlmsg_put_reply(msg, info, &kdht_family, 0, KDHT_CMD_CLOSEST);
	if (!head)
		return -EMSGSIZE;
	rcu_read_lock();
	kdht_table_closest(table, nla_data(info->attrs[KDHT_A_NODE_TARGET]), k, k, &table->own,
			   &closest);
	for (i = 0; i < closest.run_count; i++)
		for (at = 0; at < closest.runs[i].count && !err; at++)
			err = nla_put(msg, KDHT_A_NODE_CONTACT, sizeof(struct kdht_contact),
				      closest.runs[i].contacts + at);
	rcu_read_unlock();
	genlmsg_end(msg, head);
	return err;
}

int kdht_handle_closest(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	struct sk_buff *msg;
	bool is_v4;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = kdht_family_asked(info, &is_v4);
	if (err)
		goto unlock;
	err = -ENOMEM;
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		goto unlock;
	err = put_closest(msg, info, table_for(instance, is_v4), kdht_config_of(instance)->k);
	if (err)
		nlmsg_free(msg);
	else
		err = genlmsg_reply(msg, info);
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

