// SPDX-License-Identifier: GPL-2.0
/* Commands about the routing table where it is the module's, and what is told of it. */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <net/genetlink.h>

#include "attach.h"
#include "endpoint.h"
#include "kdht_netlink.h"
#include "netlink.h"

const struct nla_policy kdht_entry_policy[KDHT_A_ENTRY_MAX + 1] = {
	[KDHT_A_ENTRY_CONTACT] = NLA_POLICY_EXACT_LEN(sizeof(struct kdht_contact)),
	[KDHT_A_ENTRY_RTT_US] = { .type = NLA_U32 },
	[KDHT_A_ENTRY_COOKIE] = { .type = NLA_U64 },
	[KDHT_A_ENTRY_AGE_MS] = { .type = NLA_U32 },
};

/*
 * As kdht_command_begin(), for a node whose table is the module's. Holds kdht_lock and the
 * discovery's lock on success.
 */
static struct kdht_discovery *begin(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	struct kdht_discovery *discovery;

	if (IS_ERR(instance))
		return ERR_CAST(instance);
	discovery = instance->discovery;
	mutex_lock(&discovery->lock);
	if (discovery->is_on) {
		discovery->heard = kdht_stats_heard(instance->stats);
		return discovery;
	}
	mutex_unlock(&discovery->lock);
	mutex_unlock(&kdht_lock);
	NL_SET_ERR_MSG(info->extack, "the routing table is the daemon's: set routing to 1");
	return ERR_PTR(-EBUSY);
}

static void end(struct kdht_discovery *discovery)
{
	mutex_unlock(&discovery->lock);
	mutex_unlock(&kdht_lock);
}

int kdht_handle_join(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_discovery *discovery = begin(skb, info);
	struct kdht_endpoint seeds[KDHT_SEEDS_MAX];
	const struct nlattr *attr;
	int left, err = 0;
	u16 count = 0;

	if (IS_ERR(discovery))
		return PTR_ERR(discovery);
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left) {
		if (nla_type(attr) != KDHT_A_NODE_SEED)
			continue;
		if (count == KDHT_SEEDS_MAX) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "too many seeds: at most 64");
			err = -ENOSPC;
			goto end;
		}
		memcpy(&seeds[count++], nla_data(attr), sizeof(*seeds));
	}
	err = kdht_join_begin(discovery, seeds, count);
	kdht_discovery_settle(discovery);
end:
	end(discovery);
	return err;
}

/* Puts one entry; all of it or nothing */
static int put_entry(struct sk_buff *msg, const struct kdht_peer *peer, u64 now_ns, bool is_asked,
		     bool is_replacement, u8 depth)
{
	struct kdht_contact contact = kdht_peer_contact(peer);
	struct nlattr *nest = nla_nest_start(msg, KDHT_A_NODE_ENTRY);
	u32 now_s = kdht_seconds(now_ns);

	if (!nest)
		return -EMSGSIZE;
	if (nla_put(msg, KDHT_A_ENTRY_CONTACT, sizeof(contact), &contact) ||
	    nla_put_u8(msg, KDHT_A_ENTRY_LIVENESS, kdht_peer_liveness(peer)) ||
	    nla_put_u8(msg, KDHT_A_ENTRY_FAILURES, peer->failures) ||
	    nla_put_u32(msg, KDHT_A_ENTRY_SILENT_S, now_s - min(now_s, peer->seen_s)) ||
	    nla_put_u32(msg, KDHT_A_ENTRY_RTT_US, peer->rtt_us) ||
	    nla_put_u32(msg, KDHT_A_ENTRY_RTT_DEVIATION_US, peer->rtt_deviation_us))
		goto cancel;
	if (is_asked) {
		if (nla_put_u64_64bit(msg, KDHT_A_ENTRY_COOKIE, kdht_peer_cookie(peer, now_ns),
				      KDHT_A_ENTRY_PAD))
			goto cancel;
	} else if (nla_put_u8(msg, KDHT_A_ENTRY_IS_REPLACEMENT, is_replacement) ||
		   nla_put_u8(msg, KDHT_A_ENTRY_DEPTH, depth)) {
		goto cancel;
	}
	nla_nest_end(msg, nest);
	return 0;

cancel:
	nla_nest_cancel(msg, nest);
	return -EMSGSIZE;
}

int kdht_handle_candidates(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_discovery *discovery = begin(skb, info);
	const struct kdht_peer *nearest[KDHT_K_MAX];
	const struct kdht_id *target;
	struct kdht_buckets *buckets;
	u64 now_ns = ktime_get_ns();
	struct sk_buff *msg;
	bool is_v4;
	void *head;
	u8 count, i;
	int err;

	if (IS_ERR(discovery))
		return PTR_ERR(discovery);
	err = kdht_family_asked(info, &is_v4);
	if (err)
		goto end;
	err = -ENOMEM;
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		goto end;
	target = nla_data(info->attrs[KDHT_A_NODE_TARGET]);
	buckets = &discovery->buckets[is_v4 ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6];
	count = kdht_buckets_candidates(buckets, target, buckets->bucket_size, nearest);
	kdht_buckets_touch(buckets, target, now_ns);
	head = genlmsg_put_reply(msg, info, &kdht_family, 0, KDHT_CMD_CANDIDATES);
	err = head ? 0 : -EMSGSIZE;
	for (i = 0; i < count && !err; i++)
		err = put_entry(msg, nearest[i], now_ns, true, false, 0);
	if (err) {
		nlmsg_free(msg);
		goto end;
	}
	genlmsg_end(msg, head);
	err = genlmsg_reply(msg, info);
end:
	end(discovery);
	return err;
}

/* Hands each entry of a command to @take, and lets others be told of what follows */
static int each_entry(struct sk_buff *skb, struct genl_info *info,
		      void (*take)(struct kdht_discovery *discovery,
				   const struct kdht_contact *contact,
				   const struct kdht_told *told, u64 at_ns))
{
	struct kdht_discovery *discovery = begin(skb, info);
	struct nlattr *of_entry[KDHT_A_ENTRY_MAX + 1];
	const struct nlattr *attr;
	u64 now_ns = ktime_get_ns();
	int left, err = 0;

	if (IS_ERR(discovery))
		return PTR_ERR(discovery);
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, left) {
		struct kdht_told told = { 0 };
		struct kdht_contact contact;
		u64 age_ns = 0;

		if (nla_type(attr) != KDHT_A_NODE_ENTRY)
			continue;
		err = nla_parse_nested(of_entry, KDHT_A_ENTRY_MAX, attr, kdht_entry_policy,
				       info->extack);
		if (err)
			break;
		if (!of_entry[KDHT_A_ENTRY_CONTACT]) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr, "an entry has a contact");
			err = -EINVAL;
			break;
		}
		memcpy(&contact, nla_data(of_entry[KDHT_A_ENTRY_CONTACT]), sizeof(contact));
		if (of_entry[KDHT_A_ENTRY_RTT_US])
			told.rtt_us = nla_get_u32(of_entry[KDHT_A_ENTRY_RTT_US]);
		if (of_entry[KDHT_A_ENTRY_COOKIE])
			told.cookie = nla_get_u64(of_entry[KDHT_A_ENTRY_COOKIE]);
		if (of_entry[KDHT_A_ENTRY_AGE_MS])
			age_ns = (u64)nla_get_u32(of_entry[KDHT_A_ENTRY_AGE_MS]) * NSEC_PER_MSEC;
		if (kdht_is_reachable(&contact.endpoint))
			take(discovery, &contact, &told, now_ns - min(now_ns, age_ns));
	}
	kdht_discovery_settle(discovery);
	end(discovery);
	return err;
}

static void take_seen(struct kdht_discovery *discovery, const struct kdht_contact *contact,
		      const struct kdht_told *told, u64 at_ns)
{
	kdht_discovery_answered(discovery, &contact->id, &contact->endpoint, told, at_ns);
}

static void take_failed(struct kdht_discovery *discovery, const struct kdht_contact *contact,
			const struct kdht_told *told, u64 at_ns)
{
	kdht_discovery_failed(discovery, &contact->id, &contact->endpoint, at_ns);
}

int kdht_handle_seen(struct sk_buff *skb, struct genl_info *info)
{
	return each_entry(skb, info, take_seen);
}

int kdht_handle_failed(struct sk_buff *skb, struct genl_info *info)
{
	return each_entry(skb, info, take_failed);
}

/* Puts what of a table stands behind the first @skip contacts; counts those put */
static int put_table(struct sk_buff *msg, const struct kdht_buckets *table, u64 now_ns,
		     long *skip, long *put)
{
	u16 at;
	u8 i;

	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];
		u8 count = bucket->member_count + bucket->waiting_count;

		for (i = 0; i < count; i++) {
			bool is_member = i < bucket->member_count;
			u16 place = is_member ? bucket->members[i] :
						bucket->waiting[i - bucket->member_count];

			if (*skip) {
				(*skip)--;
				continue;
			}
			if (put_entry(msg, &table->peers[place], now_ns, false, !is_member,
				      bucket->depth))
				return -EMSGSIZE;
			(*put)++;
		}
	}
	return 0;
}

int kdht_handle_table_dump(struct sk_buff *msg, struct netlink_callback *cb)
{
	const struct nlattr *attr = nlmsg_find_attr(cb->nlh, GENL_HDRLEN, KDHT_A_NODE_ID);
	long skip = cb->args[0], put = 0;
	struct kdht_instance *instance;
	u64 now_ns = ktime_get_ns();
	int family, err = -ENOENT;
	void *head;

	if (!kdht_is_allowed(cb->skb))
		return -EPERM;
	if (!attr || nla_len(attr) != KDHT_ID_LEN)
		return -EINVAL;
	mutex_lock(&kdht_lock);
	instance = kdht_instance_find(sock_net(cb->skb->sk), nla_data(attr));
	if (!instance)
		goto unlock;
	head = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &kdht_family,
			   NLM_F_MULTI, KDHT_CMD_TABLE_GET);
	err = -EMSGSIZE;
	if (!head || nla_put(msg, KDHT_A_NODE_ID, KDHT_ID_LEN, &instance->node.id))
		goto unlock;
	err = 0;
	mutex_lock(&instance->discovery->lock);
	for (family = 0; family < KDHT_FAMILY_COUNT && !err; family++)
		err = put_table(msg, &instance->discovery->buckets[family], now_ns, &skip, &put);
	mutex_unlock(&instance->discovery->lock);
	if (put) {
		genlmsg_end(msg, head);
		cb->args[0] += put;
		err = 0;
	} else {
		genlmsg_cancel(msg, head);
	}
unlock:
	mutex_unlock(&kdht_lock);
	return put ? msg->len : err;
}

static int put_fill(struct sk_buff *msg, int attr, const struct kdht_buckets *table)
{
	struct nlattr *nest = nla_nest_start(msg, attr);
	struct kdht_fill fill;

	kdht_buckets_fill(table, &fill);
	if (!nest || nla_put_u32(msg, KDHT_A_FILL_BUCKETS, fill.buckets) ||
	    nla_put_u32(msg, KDHT_A_FILL_UNVERIFIED, fill.of_liveness[KDHT_UNVERIFIED]) ||
	    nla_put_u32(msg, KDHT_A_FILL_GOOD, fill.of_liveness[KDHT_GOOD]) ||
	    nla_put_u32(msg, KDHT_A_FILL_DOUBTFUL, fill.of_liveness[KDHT_DOUBTFUL]) ||
	    nla_put_u32(msg, KDHT_A_FILL_STALE, fill.of_liveness[KDHT_STALE]) ||
	    nla_put_u32(msg, KDHT_A_FILL_REPLACEMENTS, fill.replacements) ||
	    nla_put_u64_64bit(msg, KDHT_A_FILL_REFUSED_BUCKET_GROUP, table->unkept.bucket_group,
			      KDHT_A_FILL_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_FILL_REFUSED_TABLE_GROUP, table->unkept.table_group,
			      KDHT_A_FILL_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_FILL_REFUSED_FULL, table->unkept.full,
			      KDHT_A_FILL_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_FILL_EVICTED, table->evicted, KDHT_A_FILL_PAD))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/**
 * kdht_netlink_put_routing() - put what is told of a node's routing into a message
 * @msg: the message
 * @discovery: the node's
 *
 * Context: process. Takes the discovery's lock.
 * Return: 0, or -EMSGSIZE if it does not fit.
 */
int kdht_netlink_put_routing(struct sk_buff *msg, struct kdht_discovery *discovery)
{
	int err = 0;

	mutex_lock(&discovery->lock);
	if (nla_put_u8(msg, KDHT_A_NODE_ROUTING, discovery->is_on) ||
	    nla_put_u8(msg, KDHT_A_NODE_ALPHA, discovery->alpha) ||
	    nla_put_u8(msg, KDHT_A_NODE_B, discovery->b) ||
	    nla_put_u16(msg, KDHT_A_NODE_BUCKET_GROUP_MAX, discovery->caps.bucket_max) ||
	    nla_put_u16(msg, KDHT_A_NODE_TABLE_GROUP_MAX, discovery->caps.table_max) ||
	    nla_put_u8(msg, KDHT_A_NODE_CAPS_PRIVATE, discovery->do_caps_private) ||
	    nla_put_u32(msg, KDHT_A_NODE_REFRESH_S, discovery->refresh_s) ||
	    nla_put_u8(msg, KDHT_A_NODE_JOIN, discovery->join.state))
		err = -EMSGSIZE;
	if (!err && discovery->is_on)
		err = put_fill(msg, KDHT_A_NODE_FILL_V4, &discovery->buckets[KDHT_FAMILY_V4]) ?:
		      put_fill(msg, KDHT_A_NODE_FILL_V6, &discovery->buckets[KDHT_FAMILY_V6]);
	mutex_unlock(&discovery->lock);
	return err;
}

/**
 * kdht_netlink_check_routing() - whether a node's routing can be set as a command says
 * @info: the command
 * @discovery: the node's
 * @k: as it is now
 *
 * Return: 0, or -EBUSY for k or b of a table that is in use.
 */
int kdht_netlink_check_routing(struct genl_info *info, struct kdht_discovery *discovery, u8 k)
{
	struct nlattr **attrs = info->attrs;
	bool stays_on = discovery->is_on && !(attrs[KDHT_A_NODE_ROUTING] &&
					      !nla_get_u8(attrs[KDHT_A_NODE_ROUTING]));

	if (!stays_on ||
	    ((!attrs[KDHT_A_NODE_B] || nla_get_u8(attrs[KDHT_A_NODE_B]) == discovery->b) &&
	     (!attrs[KDHT_A_NODE_K] || nla_get_u8(attrs[KDHT_A_NODE_K]) == k)))
		return 0;
	NL_SET_ERR_MSG(info->extack, "k and b of a table in use cannot change");
	return -EBUSY;
}

/**
 * kdht_netlink_set_routing() - set a node's routing as a command says
 * @info: the command, checked
 * @discovery: the node's, whose configuration is set already
 *
 * Context: process; may sleep. Takes the discovery's lock.
 */
void kdht_netlink_set_routing(struct genl_info *info, struct kdht_discovery *discovery)
{
	struct nlattr **attrs = info->attrs;

	mutex_lock(&discovery->lock);
	if (attrs[KDHT_A_NODE_ALPHA])
		discovery->alpha = nla_get_u8(attrs[KDHT_A_NODE_ALPHA]);
	if (attrs[KDHT_A_NODE_B])
		discovery->b = nla_get_u8(attrs[KDHT_A_NODE_B]);
	if (attrs[KDHT_A_NODE_BUCKET_GROUP_MAX])
		discovery->caps.bucket_max = nla_get_u16(attrs[KDHT_A_NODE_BUCKET_GROUP_MAX]);
	if (attrs[KDHT_A_NODE_TABLE_GROUP_MAX])
		discovery->caps.table_max = nla_get_u16(attrs[KDHT_A_NODE_TABLE_GROUP_MAX]);
	if (attrs[KDHT_A_NODE_CAPS_PRIVATE])
		discovery->do_caps_private = nla_get_u8(attrs[KDHT_A_NODE_CAPS_PRIVATE]);
	if (attrs[KDHT_A_NODE_REFRESH_S]) {
		discovery->refresh_s = nla_get_u32(attrs[KDHT_A_NODE_REFRESH_S]);
		discovery->refresh_at_ns = U64_MAX;
		kdht_upkeep_plan_refresh(discovery, ktime_get_ns());
	}
	if (attrs[KDHT_A_NODE_ROUTING])
		kdht_discovery_switch(discovery, nla_get_u8(attrs[KDHT_A_NODE_ROUTING]));
	if (discovery->is_on)
		kdht_discovery_settle(discovery);
	mutex_unlock(&discovery->lock);
}
