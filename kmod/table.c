// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Contacts in classes: an id's class is the number of leading bits it shares with the own
 * id. A target's distance to the own id, bit by bit, is the order in which classes are
 * nearest to it: those where the bit is set, from the first, and then those where it is not,
 * from the last. So the closest are found by walking whole classes, and only within one are
 * contacts compared. What a reader sees of a class never changes: a writer puts a new array in
 * its place and frees the old one after a grace period.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/byteorder.h>

#include "table.h"

/* First 64 bits of an id, most significant first */
static u64 prefix(const struct kdht_id *id)
{
	__be64 first;

	memcpy(&first, id->bytes, sizeof(first));
	return be64_to_cpu(first);
}

/* An id in three words, the last one's low half unused */
static void load(u64 words[3], const struct kdht_id *id)
{
	__be64 whole[2];
	__be32 rest;

	memcpy(whole, id->bytes, sizeof(whole));
	memcpy(&rest, id->bytes + sizeof(whole), sizeof(rest));
	words[0] = be64_to_cpu(whole[0]);
	words[1] = be64_to_cpu(whole[1]);
	words[2] = (u64)be32_to_cpu(rest) << 32;
}

static bool is_same(const struct kdht_id *one, const struct kdht_id *other)
{
	return !memcmp(one->bytes, other->bytes, KDHT_ID_LEN);
}

/* Leading bits that two ids share: 0 to 159, or 160 if they are the same */
static unsigned int shared_bits(const struct kdht_id *one, const struct kdht_id *other)
{
	unsigned int word;
	u64 a[3], b[3];

	load(a, one);
	load(b, other);
	for (word = 0; word < 3; word++)
		if (a[word] != b[word])
			return 64 * word + 64 - fls64(a[word] ^ b[word]);
	return KDHT_CLASSES;
}

static bool bit_of(const struct kdht_id *id, unsigned int bit)
{
	return id->bytes[bit / 8] & (0x80 >> bit % 8);
}

/* Whether @one is nearer to @target than @other, where 64 bits did not tell */
static bool is_nearer(const struct kdht_id *one, const struct kdht_id *other,
		      const struct kdht_id *target)
{
	unsigned int i;

	for (i = sizeof(u64); i < KDHT_ID_LEN; i++)
		if (one->bytes[i] != other->bytes[i])
			return (one->bytes[i] ^ target->bytes[i]) <
			       (other->bytes[i] ^ target->bytes[i]);
	return false;
}

/**
 * kdht_table_init() - an empty table around @own
 * @table: to be filled in
 * @own: the own id
 */
void kdht_table_init(struct kdht_table *table, const struct kdht_id *own)
{
	memset(table, 0, sizeof(*table));
	table->own = *own;
	spin_lock_init(&table->lock);
}

/**
 * kdht_table_free() - give back all memory
 * @table: not in use by anybody any more
 */
void kdht_table_free(struct kdht_table *table)
{
	unsigned int i;

	for (i = 0; i < KDHT_CLASSES; i++) {
		kfree(rcu_dereference_protected(table->classes[i], true));
		RCU_INIT_POINTER(table->classes[i], NULL);
	}
}

static struct kdht_class *class_of(struct kdht_table *table, unsigned int shared)
{
	return rcu_dereference_protected(table->classes[shared], lockdep_is_held(&table->lock));
}

/* Puts @new (NULL: none) in the place of class @shared; under the lock */
static void replace(struct kdht_table *table, unsigned int shared, struct kdht_class *new)
{
	u64 bit = 1ULL << (63 - shared % 64);
	struct kdht_class *old = class_of(table, shared);
	u64 *word = &table->filled[shared / 64];

	rcu_assign_pointer(table->classes[shared], new);
	WRITE_ONCE(*word, new ? *word | bit : *word & ~bit);
	if (old)
		kfree_rcu(old, rcu);
}

/* Where @id stands in @class, or would stand; *@is_there says which */
static u16 place_of(const struct kdht_class *class, const struct kdht_id *id, bool *is_there)
{
	u16 low = 0, high = class ? class->count : 0;

	*is_there = false;
	while (low < high) {
		u16 middle = low + (high - low) / 2;
		int order = memcmp(class->contacts[middle].id.bytes, id->bytes, KDHT_ID_LEN);

		if (!order) {
			*is_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/**
 * kdht_table_add() - tell others of @contact from now on
 * @table: the table of its family
 * @contact: a contact with another id than the own one; an endpoint known for its id is replaced
 *
 * Context: process or softirq; does not sleep. Takes @table->lock.
 * Return: 0, -EINVAL for the own id, -ENOSPC if KDHT_CONTACTS_MAX are there, or -ENOMEM.
 */
int kdht_table_add(struct kdht_table *table, const struct kdht_contact *contact)
{
	unsigned int shared = shared_bits(&table->own, &contact->id);
	struct kdht_class *old, *new;
	u16 place, count;
	bool is_there;
	int err = 0;

	if (shared == KDHT_CLASSES)
		return -EINVAL;
	spin_lock_bh(&table->lock);
	old = class_of(table, shared);
	place = place_of(old, &contact->id, &is_there);
	if (!is_there && table->count >= KDHT_CONTACTS_MAX) {
		err = -ENOSPC;
		goto unlock;
	}
	count = (old ? old->count : 0) + !is_there;
	new = kmalloc(struct_size(new, contacts, count), GFP_ATOMIC | __GFP_ACCOUNT);
	if (!new) {
		err = -ENOMEM;
		goto unlock;
	}
	new->count = count;
	if (old) {
		memcpy(new->contacts, old->contacts, place * sizeof(*contact));
		memcpy(new->contacts + place + 1, old->contacts + place + is_there,
		       (count - place - 1) * sizeof(*contact));
	}
	new->contacts[place] = *contact;
	table->count += !is_there;
	replace(table, shared, new);
unlock:
	spin_unlock_bh(&table->lock);
	return err;
}

/**
 * kdht_table_remove() - tell nobody of the contact @id any more
 * @table: the table of its family
 * @id: its id
 *
 * Context: process or softirq; does not sleep. Takes @table->lock.
 * Return: 0, -ENOENT if it is not there, or -ENOMEM, and it stays.
 */
int kdht_table_remove(struct kdht_table *table, const struct kdht_id *id)
{
	unsigned int shared = shared_bits(&table->own, id);
	struct kdht_class *old, *new = NULL;
	bool is_there;
	int err = 0;
	u16 place;

	if (shared == KDHT_CLASSES)
		return -ENOENT;
	spin_lock_bh(&table->lock);
	old = class_of(table, shared);
	place = place_of(old, id, &is_there);
	if (!is_there) {
		err = -ENOENT;
		goto unlock;
	}
	if (old->count > 1) {
		new = kmalloc(struct_size(new, contacts, old->count - 1),
			      GFP_ATOMIC | __GFP_ACCOUNT);
		if (!new) {
			err = -ENOMEM;
			goto unlock;
		}
		new->count = old->count - 1;
		memcpy(new->contacts, old->contacts, place * sizeof(old->contacts[0]));
		memcpy(new->contacts + place, old->contacts + place + 1,
		       (new->count - place) * sizeof(old->contacts[0]));
	}
	table->count--;
	replace(table, shared, new);
unlock:
	spin_unlock_bh(&table->lock);
	return err;
}

/* What one question is about */
struct question {
	const struct kdht_id *target;
	const struct kdht_id *asker;
	u64 target_prefix;
	u64 asker_prefix;
	u8 k;
};

/* So few contacts are put in order by comparing them */
#define FEW		5
/* Spans that are put aside at once; what does not go aside is compared, too */
#define ASIDE_MAX	16

/* Contacts of one class, from @low to before @high, that have their first @bit bits in common */
struct span {
	u16 low;
	u16 high;
	u16 bit;
};

/* Puts @contact in its place among those from @from on, of which the farthest may drop out */
static void rank(const struct question *question, const struct kdht_contact *contact, u8 from,
		 struct kdht_closest *out)
{
	u64 first = prefix(&contact->id);
	u64 distance = first ^ question->target_prefix;
	u8 at = out->count;

	if (first == question->asker_prefix && is_same(&contact->id, question->asker))
		return;
	if (at < question->k) {
		out->count++;
	} else {
		u64 farthest = out->distances[at - 1];

		if (distance > farthest ||
		    (distance == farthest &&
		     !is_nearer(&contact->id, &out->contacts[at - 1]->id, question->target)))
			return;
		at--;
	}
	for (; at > from; at--) {
		u64 before = out->distances[at - 1];

		if (before < distance ||
		    (before == distance &&
		     !is_nearer(&contact->id, &out->contacts[at - 1]->id, question->target)))
			break;
		out->distances[at] = before;
		out->contacts[at] = out->contacts[at - 1];
	}
	out->distances[at] = distance;
	out->contacts[at] = contact;
}

/*
 * Halves @span by its next bit: what shares it with the target stays, and all of that is
 * nearer than the other half, which goes to @far.
 */
static void halve(const struct kdht_class *class, const struct kdht_id *target,
		  struct span *span, struct span *far)
{
	u16 ones = span->low, after = span->high, bit = span->bit;

	while (ones < after) {
		u16 middle = ones + (after - ones) / 2;

		if (bit_of(&class->contacts[middle].id, bit))
			after = middle;
		else
			ones = middle + 1;
	}
	far->low = ones;
	far->high = span->high;
	span->high = ones;
	if (bit_of(target, bit))
		swap(*span, *far);
	span->bit = bit + 1;
	far->bit = bit + 1;
}

/*
 * Appends the nearest of one class, whose contacts are all farther than those found so far.
 * As they are sorted by id, halving by one bit after the other finds them in their order.
 */
static void append_nearest(const struct kdht_class *class, unsigned int shared,
			   const struct question *question, struct kdht_closest *out)
{
	struct span span = { .low = 0, .high = class->count, .bit = shared + 1 };
	struct span aside[ASIDE_MAX];
	unsigned int aside_count = 0;

	for (;;) {
		u8 from = out->count;

		while (span.high - span.low > FEW && span.bit < KDHT_CLASSES &&
		       aside_count < ASIDE_MAX) {
			struct span *far = &aside[aside_count];

			halve(class, question->target, &span, far);
			aside_count += far->low < far->high;
		}
		for (; span.low < span.high; span.low++)
			rank(question, &class->contacts[span.low], from, out);
		if (!aside_count || out->count == question->k)
			return;
		span = aside[--aside_count];
	}
}

/* Visits the class of bit @at of word @word; whether more contacts are wanted */
static bool visit(const struct kdht_table *table, unsigned int word, unsigned int at,
		  const struct question *question, struct kdht_closest *out)
{
	unsigned int shared = 64 * word + 63 - at;
	const struct kdht_class *class = rcu_dereference(table->classes[shared]);

	if (class)
		append_nearest(class, shared, question, out);
	return out->count < question->k;
}

/**
 * kdht_table_closest() - the contacts nearest to @target
 * @table: the table of one family
 * @target: any id
 * @k: how many are wanted, 1 to KDHT_K_MAX
 * @asker: left out
 * @out: filled with @k, or with all there are, nearest first
 *
 * Cost: the classes walked, and of each the contacts about as near as those wanted.
 *
 * Context: within rcu_read_lock(), which must hold as long as @out is read.
 */
void kdht_table_closest(const struct kdht_table *table, const struct kdht_id *target, u8 k,
			const struct kdht_id *asker, struct kdht_closest *out)
{
	const struct question question = {
		.target = target,
		.asker = asker,
		.target_prefix = prefix(target),
		.asker_prefix = prefix(asker),
		.k = k,
	};
	u64 own[3], distance[3];
	int word;

	out->count = 0;
	load(own, &table->own);
	load(distance, target);
	for (word = 0; word < 3; word++) {
		u64 left;

		distance[word] ^= own[word];
		left = READ_ONCE(table->filled[word]) & distance[word];
		while (left) {
			unsigned int at = fls64(left) - 1;

			if (!visit(table, word, at, &question, out))
				return;
			left &= ~(1ULL << at);
		}
	}
	for (word = 2; word >= 0; word--) {
		u64 left = READ_ONCE(table->filled[word]) & ~distance[word];

		while (left) {
			unsigned int at = __ffs64(left);

			if (!visit(table, word, at, &question, out))
				return;
			left &= left - 1;
		}
	}
}

/* Whether the @i-th of @one comes before the @j-th of @other; *@is_same_id if it is the same */
static bool comes_first(const struct kdht_closest *one, u8 i, const struct kdht_closest *other,
			u8 j, const struct kdht_id *target, bool *is_same_id)
{
	const struct kdht_id *left = &one->contacts[i]->id;
	const struct kdht_id *right = &other->contacts[j]->id;

	*is_same_id = is_same(left, right);
	if (one->distances[i] != other->distances[j])
		return one->distances[i] < other->distances[j];
	return *is_same_id || is_nearer(left, right, target);
}

/**
 * kdht_closest_merge() - merge two answers about the same target into its @k closest
 * @one: an answer
 * @other: another; an id in both is taken from @one
 * @target: what both are about
 * @k: how many are wanted, 1 to KDHT_K_MAX
 * @out: neither of the two
 */
void kdht_closest_merge(const struct kdht_closest *one, const struct kdht_closest *other,
			const struct kdht_id *target, u8 k, struct kdht_closest *out)
{
	u8 i = 0, j = 0;

	for (out->count = 0; out->count < k; out->count++) {
		bool from_one, is_same_id = false;

		if (i < one->count && j < other->count)
			from_one = comes_first(one, i, other, j, target, &is_same_id);
		else if (i < one->count || j < other->count)
			from_one = i < one->count;
		else
			break;
		out->distances[out->count] = from_one ? one->distances[i] : other->distances[j];
		out->contacts[out->count] = from_one ? one->contacts[i] : other->contacts[j];
		i += from_one;
		j += !from_one || is_same_id;
	}
}
