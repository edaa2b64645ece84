// SPDX-License-Identifier: GPL-2.0
/* Commands about keys and values. */
#include <linux/random.h>
#include <net/genetlink.h>

#include "attach.h"
#include "kdht_netlink.h"
#include "netlink.h"

int kdht_handle_filter_begin(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	u32 bits = KDHT_FILTER_BITS_DEFAULT;
	struct kdht_filter *filter;
	siphash_key_t key;
	int err = 0;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	filter = kdht_filter_of(instance);
	if (filter) {
		kdht_filter_retire(filter);
		synchronize_net();
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
	struct kdht_filter *filter = kdht_filter_of(instance);

	if (!filter)
		NL_SET_ERR_MSG(info->extack, "the filter was not begun");
	return filter;
}

int kdht_handle_filter_add(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
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

int kdht_handle_filter_complete(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
	struct kdht_filter *filter;

	if (IS_ERR(instance))
		return PTR_ERR(instance);
	filter = begun_filter(instance, info);
	if (filter)
		kdht_filter_complete(filter);
	mutex_unlock(&kdht_lock);
	return filter ? 0 : -ENOENT;
}

int kdht_handle_publish(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
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

int kdht_handle_unpublish(struct sk_buff *skb, struct genl_info *info)
{
	struct kdht_instance *instance = kdht_command_begin(skb, info);
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

