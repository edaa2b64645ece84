/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Values that the daemon lets the module answer with. */
#ifndef KDHT_VALUES_H
#define KDHT_VALUES_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/siphash.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* Lists that keys are shared out to, by a hash that strangers cannot choose */
#define KDHT_VALUES_LISTS	256
/* Bytes of all published values of a node, their bookkeeping included */
#define KDHT_VALUES_BYTES_MAX	(4 << 20)
/* Bytes of all records under one key: they come in one message, and a refusal echoes it */
#define KDHT_RECORDS_LEN_MAX	16000

/**
 * struct kdht_hot - all values that are held under one key; never changed
 * @rcu: for whoever frees it
 * @node: in its list
 * @key: the key
 * @published_s: monotonic second that the records' remaining_s count from
 * @expires_s: monotonic second at which the first of them is gone, and so all of this
 * @len: bytes of @records
 * @records: as on the wire, cursors rising
 */
struct kdht_hot {
	struct rcu_head rcu;
	struct hlist_node node;
	struct kdht_id key;
	u32 published_s;
	u32 expires_s;
	u32 len;
	u8 records[];
};

/**
 * struct kdht_values - published values, read without locks
 * @key: what hashes are keyed with
 * @lock: held by whoever changes it
 * @bytes: of all that is published; under @lock
 * @lists: by the key's hash
 */
struct kdht_values {
	siphash_key_t key;
	spinlock_t lock;
	u32 bytes;
	struct hlist_head lists[KDHT_VALUES_LISTS];
};

void kdht_values_init(struct kdht_values *values, const siphash_key_t *key);
void kdht_values_free(struct kdht_values *values);
int kdht_values_publish(struct kdht_values *values, const struct kdht_id *key,
			const void *records, size_t len, u32 now_s);
bool kdht_values_drop(struct kdht_values *values, const struct kdht_id *key);
const struct kdht_hot *kdht_values_find(struct kdht_values *values, const struct kdht_id *key,
					u32 now_s);
bool kdht_record_passes(const struct kdht_record *record, const struct kdht_find_value *asked);
size_t kdht_record_len(const struct kdht_record *record);

#endif /* KDHT_VALUES_H */
