// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What is published for a key is all that is held under it: the daemon publishes it anew, or
 * takes it back, before it acknowledges a change, and a STORE takes it back before it is passed.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "values.h"
#include "wire.h"

/**
 * kdht_values_init() - nothing is published
 * @values: to be filled in
 * @key: a secret of its own
 */
void kdht_values_init(struct kdht_values *values, const siphash_key_t *key)
{
	memset(values, 0, sizeof(*values));
	values->key = *key;
	spin_lock_init(&values->lock);
}

/**
 * kdht_values_free() - give back all memory
 * @values: not in use by anybody any more
 */
void kdht_values_free(struct kdht_values *values)
{
	struct hlist_node *next;
	struct kdht_hot *hot;
	unsigned int i;

	for (i = 0; i < KDHT_VALUES_LISTS; i++) {
		hlist_for_each_entry_safe(hot, next, &values->lists[i], node)
			kfree(hot);
		INIT_HLIST_HEAD(&values->lists[i]);
	}
	values->bytes = 0;
}

static struct hlist_head *list_of(struct kdht_values *values, const struct kdht_id *key)
{
	u64 hash = siphash(key, sizeof(*key), &values->key);

	return &values->lists[hash % KDHT_VALUES_LISTS];
}

static size_t cost(const struct kdht_hot *hot)
{
	return sizeof(*hot) + hot->len;
}

/* What is published under @key; under the lock, or within rcu_read_lock() */
static struct kdht_hot *find(struct hlist_head *list, const struct kdht_id *key)
{
	struct kdht_hot *hot;

	hlist_for_each_entry_rcu(hot, list, node, true)
		if (!memcmp(&hot->key, key, sizeof(*key)))
			return hot;
	return NULL;
}

/* Takes @hot back; under the lock */
static void unlink(struct kdht_values *values, struct kdht_hot *hot)
{
	hlist_del_rcu(&hot->node);
	values->bytes -= cost(hot);
	kfree_rcu(hot, rcu);
}

/**
 * kdht_values_publish() - let all values under @key be answered
 * @values: the node's
 * @key: the key
 * @records: records as on the wire, one after another, cursors rising
 * @len: their bytes
 * @now_s: monotonic second that their remaining_s count from
 *
 * Context: process; may sleep. Takes @values->lock.
 * Return: 0, -EINVAL for what are no records or have no life left, -ENOSPC if
 * KDHT_VALUES_BYTES_MAX would be passed, or -ENOMEM; what was published under the key is taken
 * back in any case.
 */
int kdht_values_publish(struct kdht_values *values, const struct kdht_id *key,
			const void *records, size_t len, u32 now_s)
{
	struct hlist_head *list = list_of(values, key);
	struct kdht_hot *new = NULL, *old;
	u32 remaining_s;
	int err = 0;

	if (len > KDHT_RECORDS_LEN_MAX || !kdht_parse_records(records, len, &remaining_s) ||
	    !remaining_s)
		err = -EINVAL;
	if (!err) {
		new = kmalloc(struct_size(new, records, len), GFP_KERNEL_ACCOUNT);
		err = new ? 0 : -ENOMEM;
	}
	if (new) {
		new->key = *key;
		new->published_s = now_s;
		new->expires_s = now_s + remaining_s;
		new->len = len;
		memcpy(new->records, records, len);
	}
	spin_lock_bh(&values->lock);
	old = find(list, key);
	if (old)
		unlink(values, old);
	if (new && values->bytes + cost(new) > KDHT_VALUES_BYTES_MAX)
		err = -ENOSPC;
	if (!err) {
		values->bytes += cost(new);
		hlist_add_head_rcu(&new->node, list);
	}
	spin_unlock_bh(&values->lock);
	if (err)
		kfree(new);
	return err;
}

/**
 * kdht_values_drop() - take back what was published under @key
 * @values: the node's
 * @key: the key
 *
 * Context: within rcu_read_lock(); does not sleep. Takes @values->lock if there is something.
 * Return: whether there was.
 */
bool kdht_values_drop(struct kdht_values *values, const struct kdht_id *key)
{
	struct hlist_head *list = list_of(values, key);
	struct kdht_hot *hot;

	if (!find(list, key))
		return false;
	spin_lock_bh(&values->lock);
	hot = find(list, key);
	if (hot)
		unlink(values, hot);
	spin_unlock_bh(&values->lock);
	return hot;
}

/**
 * kdht_values_find() - what may be answered under @key
 * @values: the node's
 * @key: the key
 * @now_s: monotonic second
 *
 * Context: within rcu_read_lock(), which must hold as long as the values are read.
 * Return: the values, or NULL if only the daemon can tell.
 */
const struct kdht_hot *kdht_values_find(struct kdht_values *values, const struct kdht_id *key,
					u32 now_s)
{
	const struct kdht_hot *hot = find(list_of(values, key), key);

	return hot && now_s >= hot->published_s && now_s < hot->expires_s ? hot : NULL;
}

/**
 * kdht_record_len() - bytes of a whole record that was checked
 * @record: its head
 */
size_t kdht_record_len(const struct kdht_record *record)
{
	size_t len = sizeof(*record);

	if (record->kind == KDHT_VALUE_SIGNED)
		len += sizeof(struct kdht_signed);
	else if (record->kind == KDHT_VALUE_PLAIN)
		len += sizeof(struct kdht_id);
	return record->flags & KDHT_RECORD_ANNOUNCED ? len : len + le32_to_cpu(record->value_len);
}

/**
 * kdht_record_passes() - whether a record is one of those wanted
 * @record: a record that was checked
 * @asked: the request's body, checked
 */
bool kdht_record_passes(const struct kdht_record *record, const struct kdht_find_value *asked)
{
	const void *tail = record + 1;
	const struct kdht_signed *of_key = tail;

	switch (asked->filter) {
	case KDHT_FILTER_ANY:
		return true;
	case KDHT_FILTER_IMMUTABLE:
		return record->kind == KDHT_VALUE_IMMUTABLE;
	case KDHT_FILTER_SIGNED:
		return record->kind == KDHT_VALUE_SIGNED &&
		       !memcmp(of_key->public_key, asked->publisher, sizeof(asked->publisher));
	default:
		return record->kind == KDHT_VALUE_PLAIN &&
		       !memcmp(tail, asked->publisher, KDHT_ID_LEN);
	}
}
