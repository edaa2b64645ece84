/* SPDX-License-Identifier: GPL-2.0 */
/* Control by generic netlink, as kdht.yaml describes it. */
#ifndef KDHT_GENL_H
#define KDHT_GENL_H

#include <linux/types.h>

#include "kdht_wire.h"

struct net;

int kdht_netlink_tell_sighted(struct net *net, const struct kdht_id *id,
			      const struct kdht_contact *contacts, u16 count);
int kdht_netlink_init(void);
void kdht_netlink_exit(void);

#endif /* KDHT_GENL_H */
