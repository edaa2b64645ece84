// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A Bloom filter of two generations. Keys are added to the newest, and looked for in both:
 * what was added while the daemon told all its keys to a new generation is in that one, and
 * what came just before is in the older one, which is only cleared when the next is begun. A
 * key too many costs a datagram to the daemon; one too few would be a wrong answer.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "filter.h"

static u32 bit_count(const struct kdht_filter *filter)
{
	return filter->mask + 1;
}

/**
 * kdht_filter_new() - a filter that proves nothing yet
 * @key: a secret of its own
 * @bits: of each generation, KDHT_FILTER_BITS_MIN to _MAX; rounded up to a power of two
 *
 * Context: process; may sleep.
 * Return: to be given back by kdht_filter_free(); NULL if there is no memory.
 */
struct kdht_filter *kdht_filter_new(const siphash_key_t *key, u32 bits)
{
	struct kdht_filter *filter = kvcalloc(1, sizeof(*filter), GFP_KERNEL_ACCOUNT);
	unsigned int i;

	if (!filter)
		return NULL;
	filter->key = *key;
	filter->mask = roundup_pow_of_two(bits) - 1;
	for (i = 0; i < 2; i++) {
		filter->generations[i].bits = kvcalloc(bit_count(filter) / BITS_PER_LONG,
						       sizeof(unsigned long),
						       GFP_KERNEL_ACCOUNT);
		if (!filter->generations[i].bits) {
			kdht_filter_free(filter);
			return NULL;
		}
	}
	return filter;
}

/**
 * kdht_filter_free() - give back all memory
 * @filter: not in use by anybody any more; may be NULL
 */
void kdht_filter_free(struct kdht_filter *filter)
{
	if (!filter)
		return;
	kvfree(filter->generations[0].bits);
	kvfree(filter->generations[1].bits);
	kvfree(filter);
}

/**
 * kdht_filter_retire() - the older generation proves nothing more
 * @filter: the node's
 *
 * Context: process; one caller at a time.
 */
void kdht_filter_retire(struct kdht_filter *filter)
{
	WRITE_ONCE(filter->generations[!filter->newest].is_complete, false);
}

/**
 * kdht_filter_begin() - begin a generation, in the place of the older one
 * @filter: the node's, a grace period after kdht_filter_retire()
 *
 * Context: process; one caller at a time, a grace period after the last time.
 */
void kdht_filter_begin(struct kdht_filter *filter)
{
	u8 older = !filter->newest;
	struct kdht_generation *generation = &filter->generations[older];

	/* Nobody adds to the older one, and whoever took it for complete has looked */
	WRITE_ONCE(generation->is_doubtful, false);
	memset(generation->bits, 0, bit_count(filter) / BITS_PER_BYTE);
	atomic_set(&generation->filled, 0);
	/* It is empty to whoever sees that keys go there */
	smp_store_release(&filter->newest, older);
}

/**
 * kdht_filter_complete() - every key that is held was added to the newest generation
 * @filter: the node's
 *
 * Context: process; one caller at a time, none beside kdht_filter_begin().
 */
void kdht_filter_complete(struct kdht_filter *filter)
{
	WRITE_ONCE(filter->generations[filter->newest].is_complete, true);
}

/**
 * kdht_filter_doubt() - a key was passed that could not be read
 * @filter: the node's
 *
 * It proves nothing more until a generation is complete that was begun after this.
 *
 * Context: any.
 */
void kdht_filter_doubt(struct kdht_filter *filter)
{
	WRITE_ONCE(filter->generations[0].is_doubtful, true);
	WRITE_ONCE(filter->generations[1].is_doubtful, true);
}

/* The @i-th bit of a key whose hash is @hash */
static u32 place_of(const struct kdht_filter *filter, u64 hash, unsigned int i)
{
	return ((u32)hash + i * ((u32)(hash >> 32) | 1)) & filter->mask;
}

/**
 * kdht_filter_add() - a value is about to be held under @key
 * @filter: the node's
 * @key: the key
 *
 * Whoever learns that the value is held finds the key here.
 *
 * Context: any where @filter stays; neither sleeps nor allocates.
 */
void kdht_filter_add(struct kdht_filter *filter, const struct kdht_id *key)
{
	/* After the generation was cleared, see kdht_filter_begin() */
	struct kdht_generation *to = &filter->generations[smp_load_acquire(&filter->newest)];
	u64 hash = siphash(key, sizeof(*key), &filter->key);
	unsigned int i;

	for (i = 0; i < KDHT_FILTER_HASHES; i++)
		if (!test_and_set_bit(place_of(filter, hash, i), to->bits))
			atomic_inc(&to->filled);
}

/* Whether the keys of a generation are all that are held */
static bool has_all(const struct kdht_generation *generation)
{
	return READ_ONCE(generation->is_complete) && !READ_ONCE(generation->is_doubtful);
}

/**
 * kdht_filter_state() - what a filter is good for
 * @filter: the node's; may be NULL
 *
 * Context: any.
 */
enum kdht_filter_state kdht_filter_state(const struct kdht_filter *filter)
{
	const struct kdht_generation *both = filter ? filter->generations : NULL;
	u32 half;

	if (!filter || !(has_all(&both[0]) || has_all(&both[1])))
		return KDHT_FILTER_INCOMPLETE;
	half = bit_count(filter) / 2;
	if (atomic_read(&both[0].filled) > half || atomic_read(&both[1].filled) > half)
		return KDHT_FILTER_FULL;
	return KDHT_FILTER_COMPLETE;
}

static bool has(const struct kdht_filter *filter, const struct kdht_generation *generation,
		u64 hash)
{
	unsigned int i;

	for (i = 0; i < KDHT_FILTER_HASHES; i++)
		if (!test_bit(place_of(filter, hash, i), generation->bits))
			return false;
	return true;
}

/**
 * kdht_filter_proves_absent() - whether no value is held under @key, for sure
 * @filter: the node's; may be NULL
 * @key: the key
 *
 * Context: any where @filter stays; neither sleeps nor allocates.
 */
bool kdht_filter_proves_absent(const struct kdht_filter *filter, const struct kdht_id *key)
{
	u64 hash;

	if (kdht_filter_state(filter) != KDHT_FILTER_COMPLETE)
		return false;
	hash = siphash(key, sizeof(*key), &filter->key);
	return !has(filter, &filter->generations[0], hash) &&
	       !has(filter, &filter->generations[1], hash);
}
