// SPDX-License-Identifier: GPL-2.0
/*
 * Commands are for whoever may administer the network; in a user namespace only where the
 * module's parameter allow_userns says so. Secrets go in and never come out.
 */
#include <linux/capability.h>
#include <linux/moduleparam.h>
#include <linux/net.h>
#include <linux/random.h>
#include <net/genetlink.h>
#include <net/netlink.h>

#include "attach.h"
#include "endpoint.h"
#include "kdht_netlink.h"
#include "netlink.h"

static bool allow_userns;
module_param(allow_userns, bool, 0644);
MODULE_PARM_DESC(allow_userns, "Whether CAP_NET_ADMIN of a user namespace suffices");

/* Places in the family's groups */
enum {
	GROUP_SIGHTED,
};

static struct genl_family family;

static const struct nla_policy key_policy[] = {
	[KDHT_A_KEY_ID] = NLA_POLICY_MIN(NLA_U8, 1),
	[KDHT_A_KEY_SECRET] = NLA_POLICY_EXACT_LEN(KDHT_SECRET_LEN),
};

static const struct nla_policy keys_policy[] = {
	[KDHT_A_KEYS_KEY] = NLA_POLICY_NESTED(key_policy),
};

/* Not const, as 6.1 points to them by pointers to what may be changed */
static struct netlink_range_validation value_len_range = { .max = KDHT_VALUE_LEN_MAX };
static struct netlink_range_validation slots_range = { .max = KDHT_THROTTLE_SLOTS_MAX };
static struct netlink_range_validation filter_range = {
	.min = KDHT_FILTER_BITS_MIN,
	.max = KDHT_FILTER_BITS_MAX,
};

static const struct nla_policy policy[] = {
	[KDHT_A_NODE_ID] = NLA_POLICY_EXACT_LEN(KDHT_ID_LEN),
	[KDHT_A_NODE_FD] = { .type = NLA_U32 },
	[KDHT_A_NODE_ANSWER] = NLA_POLICY_MAX(NLA_U8, 1),
	[KDHT_A_NODE_K] = NLA_POLICY_RANGE(NLA_U8, 1, KDHT_K_MAX),
	[KDHT_A_NODE_VALUE_LEN_MAX] = NLA_POLICY_FULL_RANGE(NLA_U32, &value_len_range),
	[KDHT_A_NODE_COOKIE_SECRET] = NLA_POLICY_EXACT_LEN(KDHT_SECRET_LEN),
	[KDHT_A_NODE_KEYS] = NLA_POLICY_NESTED(keys_policy),
	[KDHT_A_NODE_THROTTLE_SLOTS] = NLA_POLICY_FULL_RANGE(NLA_U32, &slots_range),
	[KDHT_A_NODE_THROTTLE_RATE] = NLA_POLICY_MIN(NLA_U32, 1),
	[KDHT_A_NODE_THROTTLE_BURST] = { .type = NLA_U32 },
	[KDHT_A_NODE_CONTACT] = NLA_POLICY_EXACT_LEN(sizeof(struct kdht_contact)),
	[KDHT_A_NODE_TARGET] = NLA_POLICY_EXACT_LEN(KDHT_ID_LEN),
	[KDHT_A_NODE_FAMILY] = { .type = NLA_U16 },
	[KDHT_A_NODE_RECORDS] = { .type = NLA_BINARY, .len = KDHT_RECORDS_LEN_MAX },
	[KDHT_A_NODE_PUBLISHED_S] = { .type = NLA_U32 },
	[KDHT_A_NODE_FILTER_BITS] = NLA_POLICY_FULL_RANGE(NLA_U32, &filter_range),
};

/* Whether the sender may: the family's flag asked for CAP_NET_ADMIN in its own namespace */
static bool is_allowed(const struct sk_buff *skb)
{
	return READ_ONCE(allow_userns) || netlink_capable(skb, CAP_NET_ADMIN);
}

/*
 * What every command but a dump begins with: the right to give it, and the node it names.
 * Holds kdht_lock on success.
 */
static struct kdht_instance *begin(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance;

	if (!is_allowed(skb))
		return ERR_PTR(-EPERM);
	if (GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_ID))
		return ERR_PTR(-EINVAL);
	mutex_lock(&kdht_lock);
	instance = kdht_instance_find(genl_info_net(info), nla_data(info->attrs[KDHT_A_NODE_ID]));
	if (instance)
		return instance;
	mutex_unlock(&kdht_lock);
	NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[KDHT_A_NODE_ID], "no such node");
	return ERR_PTR(-ENOENT);
}

/* The configuration as it stands; under kdht_lock */
static struct kdht_config *config_of(struct kdht_instance *instance)
{
	return rcu_dereference_protected(instance->config, lockdep_is_held(&kdht_lock));
}

/* The filter, if it was begun; under kdht_lock */
static struct kdht_filter *filter_of(struct kdht_instance *instance)
{
	return rcu_dereference_protected(instance->node.filter, lockdep_is_held(&kdht_lock));
}

static int put_node(struct sk_buff *msg, u32 portid, u32 seq, int flags,
		    struct kdht_instance *instance)
{
	const struct kdht_config *config = config_of(instance);
	struct kdht_table *tables = instance->node.tables;
	struct kdht_counts counts;
	void *head;

	head = genlmsg_put(msg, portid, seq, &family, flags, KDHT_CMD_NODE_GET);
	if (!head)
		return -EMSGSIZE;
	kdht_stats_sum(instance->stats, &counts);
	if (nla_put(msg, KDHT_A_NODE_ID, KDHT_ID_LEN, &instance->node.id) ||
	    nla_put_u8(msg, KDHT_A_NODE_ANSWER, config->does_answer) ||
	    nla_put_u8(msg, KDHT_A_NODE_K, config->k) ||
	    nla_put_u32(msg, KDHT_A_NODE_VALUE_LEN_MAX, config->value_len_max) ||
	    nla_put_u32(msg, KDHT_A_NODE_THROTTLE_SLOTS, instance->node.throttle.slot_count) ||
	    nla_put_u32(msg, KDHT_A_NODE_SOCKETS, instance->socket_count) ||
	    nla_put_u32(msg, KDHT_A_NODE_CONTACTS_V4,
			READ_ONCE(tables[KDHT_FAMILY_V4].count)) ||
	    nla_put_u32(msg, KDHT_A_NODE_CONTACTS_V6,
			READ_ONCE(tables[KDHT_FAMILY_V6].count)) ||
	    nla_put_u8(msg, KDHT_A_NODE_FILTER, kdht_filter_state(filter_of(instance))) ||
	    nla_put_u64_64bit(msg, KDHT_A_NODE_SIGHTED_LOST, READ_ONCE(instance->sighted->lost),
			      KDHT_A_NODE_PAD) ||
	    nla_put_u32(msg, KDHT_A_NODE_VALUES_BYTES, READ_ONCE(instance->node.values.bytes)) ||
	    kdht_stats_put(msg, &counts)) {
		genlmsg_cancel(msg, head);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, head);
	return 0;
}

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

	if (!genl_has_listeners(&family, net, GROUP_SIGHTED))
		return 0;
	msg = genlmsg_new(nla_total_size(sizeof(*id)) +
			  count * nla_total_size(sizeof(*contacts)), GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	head = genlmsg_put(msg, 0, 0, &family, 0, KDHT_CMD_SIGHTED);
	err = head ? nla_put(msg, KDHT_A_NODE_ID, sizeof(*id), id) : -EMSGSIZE;
	for (i = 0; i < count && !err; i++)
		err = nla_put(msg, KDHT_A_NODE_CONTACT, sizeof(*contacts), &contacts[i]);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, head);
	err = genlmsg_multicast_netns(&family, net, msg, 0, GROUP_SIGHTED, GFP_KERNEL);
	/* Whoever listened has gone meanwhile */
	return err == -ESRCH ? 0 : err;
}

static int handle_node_get(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	struct sk_buff *msg;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = -ENOMEM;
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		goto unlock;
	err = put_node(msg, info->snd_portid, info->snd_seq, 0, instance);
	if (err)
		nlmsg_free(msg);
	else
		err = genlmsg_reply(msg, info);
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

static int handle_node_dump(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct kdht_instance *instance;
	long number = 0;
	int err = 0;

	if (!is_allowed(cb->skb))
		return -EPERM;
	mutex_lock(&kdht_lock);
	list_for_each_entry(instance, kdht_instances(sock_net(cb->skb->sk)), list) {
		if (number++ < cb->args[0])
			continue;
		err = put_node(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, NLM_F_MULTI,
			       instance);
		if (err)
			break;
		cb->args[0] = number;
	}
	mutex_unlock(&kdht_lock);
	return msg->len ? msg->len : err;
}

/* Reads a ring from its nest; an empty one is an open network */
static int read_ring(const struct nlattr *nest, struct kdht_ring *ring,
		     struct netlink_ext_ack *extack)
{
	struct nlattr *of_key[KDHT_A_KEY_MAX + 1];
	const struct nlattr *attr;
	int left;

	memset(ring, 0, sizeof(*ring));
	nla_for_each_nested(attr, nest, left) {
		struct kdht_network_key *key = &ring->keys[ring->count];

		if (nla_type(attr) != KDHT_A_KEYS_KEY || ring->count == KDHT_RING_KEYS_MAX) {
			NL_SET_ERR_MSG_ATTR(extack, attr, "a network has one or two keys");
			return -EINVAL;
		}
		if (nla_parse_nested(of_key, KDHT_A_KEY_MAX, attr, key_policy, extack))
			return -EINVAL;
		if (!of_key[KDHT_A_KEY_ID] || !of_key[KDHT_A_KEY_SECRET]) {
			NL_SET_ERR_MSG_ATTR(extack, attr, "a key has an id and a secret");
			return -EINVAL;
		}
		key->id = nla_get_u8(of_key[KDHT_A_KEY_ID]);
		key->secret = kdht_secret(nla_data(of_key[KDHT_A_KEY_SECRET]));
		ring->count++;
	}
	return 0;
}

/* Makes of @config what the attributes say; what they leave out stays */
static int read_config(struct genl_info *info, struct kdht_config *config)
{
	struct nlattr **attrs = info->attrs;

	if (attrs[KDHT_A_NODE_ANSWER])
		config->does_answer = nla_get_u8(attrs[KDHT_A_NODE_ANSWER]);
	if (attrs[KDHT_A_NODE_K])
		config->k = nla_get_u8(attrs[KDHT_A_NODE_K]);
	if (attrs[KDHT_A_NODE_VALUE_LEN_MAX])
		config->value_len_max = nla_get_u32(attrs[KDHT_A_NODE_VALUE_LEN_MAX]);
	if (attrs[KDHT_A_NODE_KEYS])
		return read_ring(attrs[KDHT_A_NODE_KEYS], &config->ring, info->extack);
	return 0;
}

/* Cookies by another secret: those made before are worth nothing. Before any answer only */
static int set_cookie_secret(struct kdht_instance *instance, struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[KDHT_A_NODE_COOKIE_SECRET];
	siphash_key_t master;

	if (instance->has_cookie_secret) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "the node has its cookie secret already");
		return -EBUSY;
	}
	master = kdht_secret(nla_data(attr));
	kdht_cookies_init(&instance->node.cookies, &master, ktime_get_ns());
	memzero_explicit(&master, sizeof(master));
	instance->has_cookie_secret = true;
	return 0;
}

static int handle_node_set(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	struct nlattr **attrs = info->attrs;
	struct kdht_config *config;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = -ENOMEM;
	config = kmemdup(config_of(instance), sizeof(*config), GFP_KERNEL_ACCOUNT);
	if (!config)
		goto unlock;
	err = read_config(info, config);
	if (err)
		goto free;
	if (config->does_answer && !instance->has_cookie_secret &&
	    !attrs[KDHT_A_NODE_COOKIE_SECRET]) {
		NL_SET_ERR_MSG(info->extack, "a node that answers needs the daemon's cookie secret");
		err = -EINVAL;
		goto free;
	}
	if (!attrs[KDHT_A_NODE_THROTTLE_RATE] != !attrs[KDHT_A_NODE_THROTTLE_BURST]) {
		NL_SET_ERR_MSG(info->extack, "rate and burst are set together");
		err = -EINVAL;
		goto free;
	}
	if (attrs[KDHT_A_NODE_COOKIE_SECRET]) {
		err = set_cookie_secret(instance, info);
		if (err)
			goto free;
	}
	if (attrs[KDHT_A_NODE_THROTTLE_RATE])
		kdht_throttle_set_allowance(&instance->node.throttle,
					    nla_get_u32(attrs[KDHT_A_NODE_THROTTLE_RATE]),
					    nla_get_u32(attrs[KDHT_A_NODE_THROTTLE_BURST]));
	kdht_config_replace(instance, config);
	mutex_unlock(&kdht_lock);
	return 0;

free:
	kfree_sensitive(config);
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

static int handle_attach(struct sk_buff *skb, struct genl_info *info)
{
	u32 slots = KDHT_THROTTLE_SLOTS_DEFAULT;
	struct nlattr **attrs = info->attrs;
	struct socket *sock;
	int err;

	if (!is_allowed(skb))
		return -EPERM;
	if (GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_ID) ||
	    GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_FD))
		return -EINVAL;
	if (attrs[KDHT_A_NODE_THROTTLE_SLOTS])
		slots = nla_get_u32(attrs[KDHT_A_NODE_THROTTLE_SLOTS]);
	/* A command runs in its sender's context, whose descriptors these are */
	sock = sockfd_lookup(nla_get_u32(attrs[KDHT_A_NODE_FD]), &err);
	if (!sock) {
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[KDHT_A_NODE_FD], "not a socket");
		return err;
	}
	mutex_lock(&kdht_lock);
	err = kdht_attach(genl_info_net(info), nla_data(attrs[KDHT_A_NODE_ID]), sock, slots);
	mutex_unlock(&kdht_lock);
	sockfd_put(sock);
	if (err == -EXDEV)
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[KDHT_A_NODE_FD],
				    "the socket is of another network namespace");
	return err;
}

static int handle_detach(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	struct socket *sock;
	int err = 0;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	if (!info->attrs[KDHT_A_NODE_FD]) {
		kdht_detach_all(instance);
		goto unlock;
	}
	sock = sockfd_lookup(nla_get_u32(info->attrs[KDHT_A_NODE_FD]), &err);
	if (!sock)
		goto unlock;
	err = kdht_detach(genl_info_net(info), sock);
	sockfd_put(sock);
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

static struct kdht_table *table_for(struct kdht_instance *instance, bool is_v4)
{
	return &instance->node.tables[is_v4 ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6];
}

static int handle_contact_add(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	const struct nlattr *attr;
	int left, err = 0;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left) {
		struct kdht_contact contact;

		if (nla_type(attr) != KDHT_A_NODE_CONTACT)
			continue;
		memcpy(&contact, nla_data(attr), sizeof(contact));
		/* Others are told what the wire defines, which is no flag */
		contact.flags = 0;
		err = kdht_table_add(table_for(instance, kdht_is_v4(&contact.endpoint)), &contact);
		if (err) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "this and later contacts are not held");
			break;
		}
	}
	mutex_unlock(&kdht_lock);
	return err;
}

/* Reads whether a command about one table means that of IPv4, and that it has a target */
static int family_of(struct genl_info *info, bool *is_v4)
{
	u16 family_number;

	if (GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_FAMILY) ||
	    GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_TARGET))
		return -EINVAL;
	family_number = nla_get_u16(info->attrs[KDHT_A_NODE_FAMILY]);
	*is_v4 = family_number == AF_INET;
	return *is_v4 || family_number == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

static int handle_contact_del(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	bool is_v4;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = family_of(info, &is_v4);
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
	u8 i;

	head = genlmsg_put_reply(msg, info, &family, 0, KDHT_CMD_CLOSEST);
	if (!head)
		return -EMSGSIZE;
	rcu_read_lock();
	kdht_table_closest(table, nla_data(info->attrs[KDHT_A_NODE_TARGET]), k, &table->own,
			   &closest);
	for (i = 0; i < closest.count && !err; i++)
		err = nla_put(msg, KDHT_A_NODE_CONTACT, sizeof(struct kdht_contact),
			      closest.contacts[i]);
	rcu_read_unlock();
	genlmsg_end(msg, head);
	return err;
}

static int handle_closest(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	struct sk_buff *msg;
	bool is_v4;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = family_of(info, &is_v4);
	if (err)
		goto unlock;
	err = -ENOMEM;
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		goto unlock;
	err = put_closest(msg, info, table_for(instance, is_v4), config_of(instance)->k);
	if (err)
		nlmsg_free(msg);
	else
		err = genlmsg_reply(msg, info);
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

static int handle_filter_begin(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	u32 bits = KDHT_FILTER_BITS_DEFAULT;
	struct kdht_filter *filter;
	siphash_key_t key;
	int err = 0;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	filter = filter_of(instance);
	if (filter) {
		kdht_filter_begin(filter);
	} else {
		if (info->attrs[KDHT_A_NODE_FILTER_BITS])
			bits = nla_get_u32(info->attrs[KDHT_A_NODE_FILTER_BITS]);
		get_random_bytes(&key, sizeof(key));
		filter = kdht_filter_new(&key, bits);
		if (!filter)
			err = -ENOMEM;
		else
			rcu_assign_pointer(instance->node.filter, filter);
	}
	/* A STORE whose key is not in it was passed before this returns, to be served by then */
	synchronize_net();
	mutex_unlock(&kdht_lock);
	return err;
}

/* The node's filter where it was begun, for a command; under kdht_lock */
static struct kdht_filter *begun_filter(struct kdht_instance *instance, struct genl_info *info)
{
	struct kdht_filter *filter = filter_of(instance);

	if (!filter)
		NL_SET_ERR_MSG(info->extack, "the filter was not begun");
	return filter;
}

static int handle_filter_add(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	struct kdht_filter *filter;
	const struct nlattr *attr;
	int left;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	filter = begun_filter(instance, info);
	if (filter) {
		nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left)
			if (nla_type(attr) == KDHT_A_NODE_TARGET)
				kdht_filter_add(filter, nla_data(attr));
	}
	mutex_unlock(&kdht_lock);
	return filter ? 0 : -ENOENT;
}

static int handle_filter_complete(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	struct kdht_filter *filter;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	filter = begun_filter(instance, info);
	if (filter)
		kdht_filter_complete(filter);
	mutex_unlock(&kdht_lock);
	return filter ? 0 : -ENOENT;
}

static int handle_publish(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	const struct nlattr *records;
	int err = -EINVAL;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	if (GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_TARGET) ||
	    GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_RECORDS) ||
	    GENL_REQ_ATTR_CHECK(info, KDHT_A_NODE_PUBLISHED_S))
		goto unlock;
	records = info->attrs[KDHT_A_NODE_RECORDS];
	err = kdht_values_publish(&instance->node.values,
				  nla_data(info->attrs[KDHT_A_NODE_TARGET]), nla_data(records),
				  nla_len(records),
				  nla_get_u32(info->attrs[KDHT_A_NODE_PUBLISHED_S]));
	if (err)
		NL_SET_ERR_MSG_ATTR(info->extack, records, "the records are not held");
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

static int handle_unpublish(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = begin(skb, info);
	const struct nlattr *attr;
	int left;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	rcu_read_lock();
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left)
		if (nla_type(attr) == KDHT_A_NODE_TARGET)
			kdht_values_drop(&instance->node.values, nla_data(attr));
	rcu_read_unlock();
	mutex_unlock(&kdht_lock);
	return 0;
}

#define COMMAND(number, function) \
	{ .cmd = (number), .doit = (function), .flags = GENL_UNS_ADMIN_PERM }

static const struct genl_ops ops[] = {
	{
		.cmd = KDHT_CMD_NODE_GET,
		.doit = handle_node_get,
		.dumpit = handle_node_dump,
		.flags = GENL_UNS_ADMIN_PERM,
	},
	COMMAND(KDHT_CMD_NODE_SET, handle_node_set),
	COMMAND(KDHT_CMD_ATTACH, handle_attach),
	COMMAND(KDHT_CMD_DETACH, handle_detach),
	COMMAND(KDHT_CMD_CONTACT_ADD, handle_contact_add),
	COMMAND(KDHT_CMD_CONTACT_DEL, handle_contact_del),
	COMMAND(KDHT_CMD_CLOSEST, handle_closest),
	COMMAND(KDHT_CMD_FILTER_BEGIN, handle_filter_begin),
	COMMAND(KDHT_CMD_FILTER_ADD, handle_filter_add),
	COMMAND(KDHT_CMD_FILTER_COMPLETE, handle_filter_complete),
	COMMAND(KDHT_CMD_PUBLISH, handle_publish),
	COMMAND(KDHT_CMD_UNPUBLISH, handle_unpublish),
};

static const struct genl_multicast_group groups[] = {
	[GROUP_SIGHTED] = { .name = KDHT_MCGRP_SIGHTED, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

static struct genl_family family __ro_after_init = {
	.name = KDHT_FAMILY_NAME,
	.version = KDHT_FAMILY_VERSION,
	.maxattr = KDHT_A_NODE_MAX,
	.policy = policy,
	.netnsok = true,
	.module = THIS_MODULE,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
	.resv_start_op = KDHT_CMD_NODE_GET,
};

int __init kdht_netlink_init(void)
{
	return genl_register_family(&family);
}

void kdht_netlink_exit(void)
{
	genl_unregister_family(&family);
}
