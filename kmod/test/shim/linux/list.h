/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/list.h> and <linux/rculist.h> the portable files use */
#ifndef SHIM_LINUX_LIST_H
#define SHIM_LINUX_LIST_H

#include <stddef.h>

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

#define INIT_HLIST_HEAD(head) ((head)->first = NULL)
#define shim_entry(at, type, member) \
	((at) ? (type *)((char *)(at) - offsetof(type, member)) : NULL)
#define hlist_for_each_entry_rcu(pos, head, member, condition) \
	for (pos = shim_entry((head)->first, __typeof__(*pos), member); pos; \
	     pos = shim_entry(pos->member.next, __typeof__(*pos), member))
#define hlist_for_each_entry_safe(pos, after, head, member) \
	for (pos = shim_entry((head)->first, __typeof__(*pos), member); \
	     pos && ((after = pos->member.next), 1); \
	     pos = shim_entry(after, __typeof__(*pos), member))

static inline void hlist_add_head_rcu(struct hlist_node *node, struct hlist_head *head)
{
	node->next = head->first;
	node->pprev = &head->first;
	if (node->next)
		node->next->pprev = &node->next;
	head->first = node;
}

static inline void hlist_del_rcu(struct hlist_node *node)
{
	*node->pprev = node->next;
	if (node->next)
		node->next->pprev = node->pprev;
}

#endif
