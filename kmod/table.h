/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The contacts of one address family that others may be told of. */
#ifndef KDHT_TABLE_H
#define KDHT_TABLE_H

#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* Most contacts in a reply: the largest k */
#define KDHT_K_MAX		20
/* Classes of ids: one for each number of leading bits shared with the own id */
#define KDHT_CLASSES		160
/* Most contacts of one table; 40 bytes each */
#define KDHT_CONTACTS_MAX	2048

/**
 * struct kdht_class - the contacts that share just as many leading bits with the own id
 * @rcu: for whoever frees it
 * @count: how many
 * @contacts: sorted by id; never changed once readers can see them
 */
struct kdht_class {
	struct rcu_head rcu;
	u16 count;
	struct kdht_contact contacts[];
};

/**
 * struct kdht_table - contacts, read without locks and replaced class by class
 * @own: the own id, which is never in it
 * @lock: held by whoever changes it
 * @count: contacts in all classes; under @lock
 * @filled: bit set: the class has contacts. Class 0 is the highest bit of the first word
 * @classes: by shared bits; NULL: none
 */
struct kdht_table {
	struct kdht_id own;
	spinlock_t lock;
	u16 count;
	u64 filled[3];
	struct kdht_class __rcu *classes[KDHT_CLASSES];
};

/**
 * struct kdht_closest - the answer to "which contacts are closest"
 * @count: how many
 * @distances: first 64 bits of each one's distance
 * @contacts: nearest first; valid within the read-side section they were found in
 */
struct kdht_closest {
	u8 count;
	u64 distances[KDHT_K_MAX];
	const struct kdht_contact *contacts[KDHT_K_MAX];
};

void kdht_table_init(struct kdht_table *table, const struct kdht_id *own);
void kdht_table_free(struct kdht_table *table);
int kdht_table_add(struct kdht_table *table, const struct kdht_contact *contact);
int kdht_table_remove(struct kdht_table *table, const struct kdht_id *id);
void kdht_table_closest(const struct kdht_table *table, const struct kdht_id *target, u8 k,
			const struct kdht_id *asker, struct kdht_closest *out);
void kdht_closest_merge(const struct kdht_closest *one, const struct kdht_closest *other,
			const struct kdht_id *target, u8 k, struct kdht_closest *out);

#endif /* KDHT_TABLE_H */
