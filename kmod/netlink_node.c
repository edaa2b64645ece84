// SPDX-License-Identifier: GPL-2.0
/* Commands about nodes and their sockets. */
#include <linux/net.h>
#include <net/genetlink.h>

#include "attach.h"
#include "kdht_netlink.h"
#include "netlink.h"

static int put_node(struct sk_buff *msg, u32 portid, u32 seq, int flags,
		    struct kdht_instance *instance)
{
	const struct kdht_config *config = kdht_config_of(instance);
	u32 counts_of[KDHT_FAMILY_COUNT];
	struct kdht_discovered discovered;
	struct kdht_counts counts;
	void *head;
	int i;

	head = genlmsg_put(msg, portid, seq, &kdht_family, flags, KDHT_CMD_NODE_GET);
	if (!head)
		return -EMSGSIZE;
	kdht_stats_sum(instance->stats, &counts);
	mutex_lock(&instance->discovery->lock);
	discovered = instance->discovery->counts;
	mutex_unlock(&instance->discovery->lock);
	counts.datagrams_out += discovered.datagrams_out;
	counts.bytes_out += discovered.bytes_out;
	rcu_read_lock();
	for (i = 0; i < KDHT_FAMILY_COUNT; i++)
		counts_of[i] = kdht_table_count(&instance->node.tables[i]);
	rcu_read_unlock();
	if (nla_put(msg, KDHT_A_NODE_ID, KDHT_ID_LEN, &instance->node.id) ||
	    nla_put_u8(msg, KDHT_A_NODE_ANSWER, config->does_answer) ||
	    nla_put_u8(msg, KDHT_A_NODE_K, config->k) ||
	    nla_put_u32(msg, KDHT_A_NODE_VALUE_LEN_MAX, config->value_len_max) ||
	    nla_put_u32(msg, KDHT_A_NODE_THROTTLE_SLOTS, instance->node.throttle.slot_count) ||
	    nla_put_u32(msg, KDHT_A_NODE_SOCKETS, instance->socket_count) ||
	    nla_put_u32(msg, KDHT_A_NODE_CONTACTS_V4, counts_of[KDHT_FAMILY_V4]) ||
	    nla_put_u32(msg, KDHT_A_NODE_CONTACTS_V6, counts_of[KDHT_FAMILY_V6]) ||
	    nla_put_u8(msg, KDHT_A_NODE_FILTER, kdht_filter_state(kdht_filter_of(instance))) ||
	    nla_put_u64_64bit(msg, KDHT_A_NODE_SIGHTED_LOST, READ_ONCE(instance->sighted->lost),
			      KDHT_A_NODE_PAD) ||
	    nla_put_u32(msg, KDHT_A_NODE_VALUES_BYTES, READ_ONCE(instance->node.values.bytes)) ||
	    kdht_netlink_put_routing(msg, instance->discovery) ||
	    kdht_stats_put(msg, &counts, &discovered)) {
		genlmsg_cancel(msg, head);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, head);
	return 0;
}

int kdht_handle_node_get(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
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

int kdht_handle_node_dump(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct kdht_instance *instance;
	long number = 0;
	int err = 0;

	if (!kdht_is_allowed(cb->skb))
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
		if (nla_parse_nested(of_key, KDHT_A_KEY_MAX, attr, kdht_key_policy, extack))
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
	kdht_cookies_replace(&instance->node.cookies, &master, ktime_get_ns());
	memzero_explicit(&master, sizeof(master));
	instance->has_cookie_secret = true;
	return 0;
}

int kdht_handle_node_set(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	struct nlattr **attrs = info->attrs;
	struct kdht_config *config;
	int err;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	err = -ENOMEM;
	config = kmemdup(kdht_config_of(instance), sizeof(*config), GFP_KERNEL_ACCOUNT);
	if (!config)
		goto unlock;
	err = read_config(info, config);
	if (err)
		goto free;
	err = kdht_netlink_check_routing(info, instance->discovery, kdht_config_of(instance)->k);
	if (err)
		goto free;
	if (config->does_answer && !instance->has_cookie_secret &&
	    !attrs[KDHT_A_NODE_COOKIE_SECRET]) {
		NL_SET_ERR_MSG(info->extack, "who answers needs the daemon's cookie secret");
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
	kdht_netlink_set_routing(info, instance->discovery);
	mutex_unlock(&kdht_lock);
	return 0;

free:
	kfree_sensitive(config);
unlock:
	mutex_unlock(&kdht_lock);
	return err;
}

int kdht_handle_attach(struct sk_buff *skb, struct genl_info *info)
{
	u32 slots = KDHT_THROTTLE_SLOTS_DEFAULT;
	struct nlattr **attrs = info->attrs;
	struct socket *sock;
	int err;

	if (!kdht_is_allowed(skb))
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

int kdht_handle_detach(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
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

