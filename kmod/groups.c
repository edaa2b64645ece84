// SPDX-License-Identifier: GPL-2.0 OR MIT
/* IP groups and their caps, by the rules of engine/core/src/groups.rs. */
#include <linux/limits.h>
#include <linux/string.h>

#include "endpoint.h"
#include "groups.h"

/**
 * kdht_group_of() - the IP group that an endpoint is in
 * @endpoint: an endpoint; families have tables of their own, so none is mistaken for another
 */
u64 kdht_group_of(const struct kdht_endpoint *endpoint)
{
	u64 group = 0;

	if (kdht_is_v4(endpoint))
		memcpy(&group, endpoint->ip + 12, 3);
	else
		memcpy(&group, endpoint->ip, sizeof(group));
	return group;
}

/**
 * kdht_caps_apply() - whether an endpoint counts for its IP group
 * @caps: the node's
 * @endpoint: an endpoint
 */
bool kdht_caps_apply(const struct kdht_caps *caps, const struct kdht_endpoint *endpoint)
{
	if (kdht_is_loopback(endpoint))
		return false;
	return !caps->is_private_exempt || !kdht_is_private(endpoint);
}

static u8 *count_of(struct kdht_groups *groups, u64 group)
{
	return &groups->counts[(u32)(group * 0x9e3779b97f4a7c15ULL >> 32) % KDHT_GROUP_COUNTS];
}

void kdht_groups_add(struct kdht_groups *groups, u64 group)
{
	u8 *count = count_of(groups, group);

	if (*count < U8_MAX)
		(*count)++;
}

void kdht_groups_remove(struct kdht_groups *groups, u64 group)
{
	u8 *count = count_of(groups, group);

	if (*count && *count < U8_MAX)
		(*count)--;
}

/**
 * kdht_groups_at_most() - no fewer than the group's contacts
 * @groups: the table's
 * @group: a group
 */
unsigned int kdht_groups_at_most(const struct kdht_groups *groups, u64 group)
{
	u8 count = *count_of((struct kdht_groups *)groups, group);

	return count == U8_MAX ? UINT_MAX : count;
}
