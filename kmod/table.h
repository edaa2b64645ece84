/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The contacts of one address family that others may be told of. */
#ifndef KDHT_TABLE_H
#define KDHT_TABLE_H

#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

#include "id.h"
#include "kdht_wire.h"

/* Most contacts in a reply: the largest k */
#define KDHT_K_MAX		20
/* Most contacts of one table; 40 bytes each */
#define KDHT_CONTACTS_MAX	2048

/* First bytes that an id may have */
#define KDHT_FIRST_BYTES	256

/**
 * struct kdht_view - what readers see of a table; never changed
 * @rcu: for whoever frees it
 * @count: how many contacts
 * @starts: by first byte, and one beyond: contacts whose ids begin with less
 * @contacts: sorted by id
 */
struct kdht_view {
	struct rcu_head rcu;
	u16 count;
	u16 starts[KDHT_FIRST_BYTES + 1];
	struct kdht_contact contacts[];
};

/**
 * struct kdht_table - contacts, read without locks and replaced as a whole
 * @own: the own id, which is never in it
 * @lock: held by whoever changes it
 * @view: what readers see; NULL: no contacts
 */
struct kdht_table {
	struct kdht_id own;
	struct mutex lock;
	struct kdht_view __rcu *view;
};

/* Contacts that lie side by side in a table */
struct kdht_run {
	const struct kdht_contact *contacts;
	u16 count;
};

/**
 * struct kdht_closest - the answer to "which contacts are closest"
 * @count: contacts in all runs
 * @run_count: how many runs
 * @known: how many contacts there were to be chosen from, without the asker, as far as k
 * @runs: in the order of their ids, none empty; valid within the read-side section they were
 *	  found in
 */
struct kdht_closest {
	u8 count;
	u8 run_count;
	u8 known;
	/* One more, for the asker, who is taken out again */
	struct kdht_run runs[KDHT_K_MAX + 1];
};

void kdht_table_init(struct kdht_table *table, const struct kdht_id *own);
void kdht_table_free(struct kdht_table *table);
u16 kdht_table_count(const struct kdht_table *table);
int kdht_table_add(struct kdht_table *table, const struct kdht_contact *contacts, u16 count);
int kdht_table_remove(struct kdht_table *table, const struct kdht_id *id);
struct kdht_view *kdht_view_new(u16 count);
void kdht_table_replace(struct kdht_table *table, struct kdht_view *view);
void kdht_table_closest(const struct kdht_table *table, const struct kdht_id *target, u8 k,
			u8 fits, const struct kdht_id *asker, struct kdht_closest *out);
void kdht_closest_merge(const struct kdht_closest *one, const struct kdht_closest *other,
			const struct kdht_id *target, u8 k, u8 fits, struct kdht_closest *out);

#endif /* KDHT_TABLE_H */
