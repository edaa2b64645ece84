/* SPDX-License-Identifier: GPL-2.0 */
/* Control by generic netlink: what the files of its commands share. */
#ifndef KDHT_GENL_H
#define KDHT_GENL_H

#include <net/genetlink.h>

#include "attach.h"
#include "kdht_netlink.h"
#include "kdht_wire.h"

/* Places in the family's groups */
enum {
	KDHT_GROUP_SIGHTED,
	KDHT_GROUP_ROUTING,
};

extern struct genl_family kdht_family;
extern const struct nla_policy kdht_key_policy[KDHT_A_KEY_MAX + 1];

/* The configuration as it stands; under kdht_lock */
static inline struct kdht_config *kdht_config_of(struct kdht_instance *instance)
{
	return rcu_dereference_protected(instance->config, lockdep_is_held(&kdht_lock));
}

/* The filter, if it was begun; under kdht_lock */
static inline struct kdht_filter *kdht_filter_of(struct kdht_instance *instance)
{
	return rcu_dereference_protected(instance->node.filter, lockdep_is_held(&kdht_lock));
}

bool kdht_is_allowed(const struct sk_buff *skb);
struct kdht_instance *kdht_command_begin(struct sk_buff *skb, struct genl_info *info);

/* Nodes and sockets (netlink_node.c) */
int kdht_handle_node_get(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_node_dump(struct sk_buff *msg, struct netlink_callback *cb);
int kdht_handle_node_set(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_attach(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_detach(struct sk_buff *skb, struct genl_info *info);

/* Contacts (netlink_contacts.c) */
int kdht_handle_contact_add(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_contact_del(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_closest(struct sk_buff *skb, struct genl_info *info);
int kdht_family_asked(struct genl_info *info, bool *is_v4);

/* Keys and values (netlink_values.c) */
int kdht_handle_filter_begin(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_filter_add(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_filter_complete(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_publish(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_unpublish(struct sk_buff *skb, struct genl_info *info);

/* Routing by the module (netlink_routing.c) */
extern const struct nla_policy kdht_entry_policy[KDHT_A_ENTRY_MAX + 1];
int kdht_handle_join(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_candidates(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_seen(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_failed(struct sk_buff *skb, struct genl_info *info);
int kdht_handle_table_dump(struct sk_buff *msg, struct netlink_callback *cb);
int kdht_netlink_put_routing(struct sk_buff *msg, struct kdht_discovery *discovery);
int kdht_netlink_check_routing(struct genl_info *info, struct kdht_discovery *discovery, u8 k);
void kdht_netlink_set_routing(struct genl_info *info, struct kdht_discovery *discovery);

/* What is told of it (netlink_events.c) */
void kdht_netlink_tell_learned(struct net *net, const struct kdht_id *id,
			       const struct kdht_contact *contacts, u16 count);
void kdht_netlink_tell_joined(struct net *net, const struct kdht_id *id, u32 v4, u32 v6);
void kdht_netlink_tell_join_failed(struct net *net, const struct kdht_id *id, u32 retry_ms);

int kdht_netlink_tell_sighted(struct net *net, const struct kdht_id *id,
			      const struct kdht_contact *contacts, u16 count);
int kdht_netlink_init(void);
void kdht_netlink_exit(void);

#endif /* KDHT_GENL_H */
