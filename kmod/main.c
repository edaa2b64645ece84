// SPDX-License-Identifier: GPL-2.0
/* The module: a Kademlia node's datagrams, answered where they come in. */
#include <linux/module.h>
#include <net/genetlink.h>

#include "attach.h"
#include "buckets.h"
#include "kdht_netlink.h"
#include "netlink.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/**
 * kdht_trace_evict() - a member of the routing table loses its place
 * @peer: what was known of it
 */
void kdht_trace_evict(const struct kdht_peer *peer)
{
	trace_kdht_evict(peer);
}

static int __init kdht_init(void)
{
	int err;

	err = kdht_attach_init();
	if (err)
		return err;
	err = kdht_netlink_init();
	if (err)
		kdht_attach_exit();
	return err;
}

static void __exit kdht_exit(void)
{
	kdht_netlink_exit();
	kdht_attach_exit();
}

module_init(kdht_init);
module_exit(kdht_exit);
MODULE_DESCRIPTION("Kademlia node: answers the kdht wire in softirq");
MODULE_LICENSE("GPL");
MODULE_ALIAS_GENL_FAMILY(KDHT_FAMILY_NAME);
