/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Proof that an endpoint receives what is sent to it (wire/FORMAT.md, section 9). */
#ifndef KDHT_COOKIE_H
#define KDHT_COOKIE_H

#include <linux/seqlock.h>
#include <linux/siphash.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* Seconds that one secret makes cookies; it verifies them for as long again */
#define KDHT_COOKIE_EPOCH_S	300

/* The secret of one epoch */
struct kdht_cookie_secret {
	siphash_key_t key;
	u32 epoch;
};

/**
 * struct kdht_cookies - makes and verifies cookies without remembering anybody
 * @master: what the epochs' secrets follow from; the engine's shards have the same one, so
 *          that each honours the cookies that another made
 * @lock: guards @secrets
 * @secrets: of the current epoch and the one before, each at the place of its lowest bit
 */
struct kdht_cookies {
	siphash_key_t master;
	seqlock_t lock;
	struct kdht_cookie_secret secrets[2];
};

void kdht_cookies_init(struct kdht_cookies *cookies, const siphash_key_t *master, u64 now_ns);
void kdht_cookies_replace(struct kdht_cookies *cookies, const siphash_key_t *master, u64 now_ns);
bool kdht_cookie_check(struct kdht_cookies *cookies, const struct kdht_endpoint *peer,
		       u64 presented, u64 now_ns, u64 *fresh);

#endif /* KDHT_COOKIE_H */
