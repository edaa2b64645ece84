/* SPDX-License-Identifier: GPL-2.0 */
/* Control by generic netlink, as kdht.yaml describes it. */
#ifndef KDHT_GENL_H
#define KDHT_GENL_H

int kdht_netlink_init(void);
void kdht_netlink_exit(void);

#endif /* KDHT_GENL_H */
