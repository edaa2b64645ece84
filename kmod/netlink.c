// SPDX-License-Identifier: GPL-2.0
/*
 * Commands are for whoever may administer the network; in a user namespace only where the
 * module's parameter allow_userns says so. Secrets go in and never come out.
 */
#include <linux/capability.h>
#include <linux/moduleparam.h>
#include <net/genetlink.h>

#include "attach.h"
#include "kdht_netlink.h"
#include "netlink.h"

static bool allow_userns;
module_param(allow_userns, bool, 0644);
MODULE_PARM_DESC(allow_userns, "Whether CAP_NET_ADMIN of a user namespace suffices");

const struct nla_policy kdht_key_policy[KDHT_A_KEY_MAX + 1] = {
	[KDHT_A_KEY_ID] = NLA_POLICY_MIN(NLA_U8, 1),
	[KDHT_A_KEY_SECRET] = NLA_POLICY_EXACT_LEN(KDHT_SECRET_LEN),
};

static const struct nla_policy keys_policy[] = {
	[KDHT_A_KEYS_KEY] = NLA_POLICY_NESTED(kdht_key_policy),
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
	[KDHT_A_NODE_ROUTING] = NLA_POLICY_MAX(NLA_U8, 1),
	[KDHT_A_NODE_ALPHA] = NLA_POLICY_RANGE(NLA_U8, 1, KDHT_K_MAX),
	[KDHT_A_NODE_B] = NLA_POLICY_RANGE(NLA_U8, 1, KDHT_SPLIT_BITS_MAX),
	[KDHT_A_NODE_BUCKET_GROUP_MAX] = { .type = NLA_U16 },
	[KDHT_A_NODE_TABLE_GROUP_MAX] = { .type = NLA_U16 },
	[KDHT_A_NODE_CAPS_PRIVATE] = NLA_POLICY_MAX(NLA_U8, 1),
	[KDHT_A_NODE_REFRESH_S] = { .type = NLA_U32 },
	[KDHT_A_NODE_SEED] = NLA_POLICY_EXACT_LEN(sizeof(struct kdht_endpoint)),
	[KDHT_A_NODE_ENTRY] = NLA_POLICY_NESTED(kdht_entry_policy),
};

/**
 * kdht_is_allowed() - whether the sender of a command may give it
 * @skb: the command
 *
 * The family's flag asked for CAP_NET_ADMIN in its own namespace.
 */
bool kdht_is_allowed(const struct sk_buff *skb)
{
	return READ_ONCE(allow_userns) || netlink_capable(skb, CAP_NET_ADMIN);
}

/**
 * kdht_command_begin() - what every command but a dump begins with
 * @skb: the command
 * @info: its attributes
 *
 * Context: process. Holds kdht_lock on success.
 * Return: the node it names; -EPERM without the right, -EINVAL without an id, or -ENOENT.
 */
struct kdht_instance *kdht_command_begin(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance;

	if (!kdht_is_allowed(skb))
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

#define COMMAND(number, function) \
	{ .cmd = (number), .doit = (function), .flags = GENL_UNS_ADMIN_PERM }

static const struct genl_ops ops[] = {
	{
		.cmd = KDHT_CMD_NODE_GET,
		.doit = kdht_handle_node_get,
		.dumpit = kdht_handle_node_dump,
		.flags = GENL_UNS_ADMIN_PERM,
	},
	COMMAND(KDHT_CMD_NODE_SET, kdht_handle_node_set),
	COMMAND(KDHT_CMD_ATTACH, kdht_handle_attach),
	COMMAND(KDHT_CMD_DETACH, kdht_handle_detach),
	COMMAND(KDHT_CMD_CONTACT_ADD, kdht_handle_contact_add),
	COMMAND(KDHT_CMD_CONTACT_DEL, kdht_handle_contact_del),
	COMMAND(KDHT_CMD_CLOSEST, kdht_handle_closest),
	COMMAND(KDHT_CMD_FILTER_BEGIN, kdht_handle_filter_begin),
	COMMAND(KDHT_CMD_FILTER_ADD, kdht_handle_filter_add),
	COMMAND(KDHT_CMD_FILTER_COMPLETE, kdht_handle_filter_complete),
	COMMAND(KDHT_CMD_PUBLISH, kdht_handle_publish),
	COMMAND(KDHT_CMD_UNPUBLISH, kdht_handle_unpublish),
	COMMAND(KDHT_CMD_JOIN, kdht_handle_join),
	COMMAND(KDHT_CMD_CANDIDATES, kdht_handle_candidates),
	COMMAND(KDHT_CMD_SEEN, kdht_handle_seen),
	COMMAND(KDHT_CMD_FAILED, kdht_handle_failed),
	{
		.cmd = KDHT_CMD_TABLE_GET,
		.dumpit = kdht_handle_table_dump,
		.flags = GENL_UNS_ADMIN_PERM,
	},
};

static const struct genl_multicast_group groups[] = {
	[KDHT_GROUP_SIGHTED] = { .name = KDHT_MCGRP_SIGHTED, .flags = GENL_MCAST_CAP_NET_ADMIN },
	[KDHT_GROUP_ROUTING] = { .name = KDHT_MCGRP_ROUTING, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

struct genl_family kdht_family __ro_after_init = {
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
	return genl_register_family(&kdht_family);
}

void kdht_netlink_exit(void)
{
	genl_unregister_family(&kdht_family);
}
