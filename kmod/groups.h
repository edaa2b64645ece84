/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* IP groups: how many contacts may stand at addresses that one owner is likely to have. */
#ifndef KDHT_GROUPS_H
#define KDHT_GROUPS_H

#include <linux/types.h>

#include "kdht_wire.h"

/* Counts of groups, by a hash; a power of two */
#define KDHT_GROUP_COUNTS	512

/**
 * struct kdht_caps - contacts of one IP group (an IPv4 /24, an IPv6 /64) that are kept
 * @bucket_max: in one bucket, replacements included
 * @table_max: in one table
 * @is_private_exempt: private addresses count for nothing; loopback never does
 */
struct kdht_caps {
	u16 bucket_max;
	u16 table_max;
	bool is_private_exempt;
};

/**
 * struct kdht_groups - no fewer than each group's contacts, so that the table is searched
 *			only where a cap may be reached
 * @counts: by a hash of the group; one at 255 stays there, and says nothing
 *
 * Collisions cost a search and nothing else, so the hash needs no key.
 */
struct kdht_groups {
	u8 counts[KDHT_GROUP_COUNTS];
};

u64 kdht_group_of(const struct kdht_endpoint *endpoint);
bool kdht_caps_apply(const struct kdht_caps *caps, const struct kdht_endpoint *endpoint);
void kdht_groups_add(struct kdht_groups *groups, u64 group);
void kdht_groups_remove(struct kdht_groups *groups, u64 group);
unsigned int kdht_groups_at_most(const struct kdht_groups *groups, u64 group);

#endif /* KDHT_GROUPS_H */
