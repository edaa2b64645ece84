/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Which keys the daemon may hold values under: what is not in it is held nowhere. */
#ifndef KDHT_FILTER_H
#define KDHT_FILTER_H

#include <linux/atomic.h>
#include <linux/siphash.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* Bits of one generation, each a power of two; there are two generations */
#define KDHT_FILTER_BITS_MIN		(1 << 10)
#define KDHT_FILTER_BITS_MAX		(1 << 26)
#define KDHT_FILTER_BITS_DEFAULT	(1 << 20)
/* Bits that one key sets */
#define KDHT_FILTER_HASHES		4

/* What a filter is good for */
enum kdht_filter_state {
	/* There is none, or no generation has all keys: it proves nothing */
	KDHT_FILTER_INCOMPLETE,
	/* What is not in it is not held */
	KDHT_FILTER_COMPLETE,
	/* Over half of its bits are set: it proves nothing, until two more were begun */
	KDHT_FILTER_FULL,
};

/**
 * struct kdht_generation - one Bloom filter
 * @bits: of all keys that came since it was begun
 * @filled: how many are set
 * @is_complete: and of all keys that were held before
 * @is_doubtful: but for one that could not be read
 */
struct kdht_generation {
	unsigned long *bits;
	atomic_t filled;
	bool is_complete;
	bool is_doubtful;
};

/**
 * struct kdht_filter - keys that are present, perhaps
 * @key: keeps strangers from choosing which bits they set
 * @mask: bits of a generation, less one
 * @newest: the generation that keys are added to; both are looked at
 * @generations: keys that are gone leave with the older one
 */
struct kdht_filter {
	siphash_key_t key;
	u32 mask;
	u8 newest;
	struct kdht_generation generations[2];
};

struct kdht_filter *kdht_filter_new(const siphash_key_t *key, u32 bits);
void kdht_filter_free(struct kdht_filter *filter);
void kdht_filter_retire(struct kdht_filter *filter);
void kdht_filter_begin(struct kdht_filter *filter);
void kdht_filter_complete(struct kdht_filter *filter);
void kdht_filter_doubt(struct kdht_filter *filter);
void kdht_filter_add(struct kdht_filter *filter, const struct kdht_id *key);
enum kdht_filter_state kdht_filter_state(const struct kdht_filter *filter);
bool kdht_filter_proves_absent(const struct kdht_filter *filter, const struct kdht_id *key);

#endif /* KDHT_FILTER_H */
