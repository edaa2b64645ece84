// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Cookies, to the bit those of engine/core/src/cookie.rs. */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <asm/byteorder.h>

#include "cookie.h"

/* What a cookie is a MAC over */
struct cookie_input {
	struct kdht_endpoint peer;
	__le32 epoch;
} __packed;

/* What an epoch's secret follows from, half by half */
struct secret_input {
	__le32 epoch;
	u8 half;
} __packed;

static u32 epoch_of(u64 now_ns)
{
	/* Of monotonic seconds there are fewer than 2^32 in 136 years */
	return (u32)div_u64(now_ns, NSEC_PER_SEC) / KDHT_COOKIE_EPOCH_S;
}

static siphash_key_t derive(const struct kdht_cookies *cookies, u32 epoch)
{
	struct secret_input input = { .epoch = cpu_to_le32(epoch) };
	siphash_key_t key;

	key.key[0] = siphash(&input, sizeof(input), &cookies->master);
	input.half = 1;
	key.key[1] = siphash(&input, sizeof(input), &cookies->master);
	return key;
}

/* Keeps the secrets of @epoch and the one before at hand */
static void enter(struct kdht_cookies *cookies, u32 epoch)
{
	u32 before = epoch ? epoch - 1 : 0;

	cookies->secrets[before & 1].key = derive(cookies, before);
	cookies->secrets[before & 1].epoch = before;
	cookies->secrets[epoch & 1].key = derive(cookies, epoch);
	cookies->secrets[epoch & 1].epoch = epoch;
}

static u64 make(struct kdht_cookies *cookies, const struct kdht_endpoint *peer, u32 epoch)
{
	struct cookie_input input = { .peer = *peer, .epoch = cpu_to_le32(epoch) };
	struct kdht_cookie_secret secret;
	unsigned int sequence;
	u64 made;

	do {
		sequence = read_seqbegin(&cookies->lock);
		secret = cookies->secrets[epoch & 1];
	} while (read_seqretry(&cookies->lock, sequence));
	/* Another processor may have entered the next epoch since this one read its clock */
	if (secret.epoch != epoch)
		secret.key = derive(cookies, epoch);
	made = (siphash(&input, sizeof(input), &secret.key) & ~1ULL) | (epoch & 1);
	/* Zero means "no cookie" on the wire; one hash in 2^63 has to step aside */
	return made ? made : 2;
}

/**
 * kdht_cookies_init() - cookies by secrets that follow from @master
 * @cookies: to be filled in
 * @master: the secret of all secrets
 * @now_ns: monotonic time
 */
void kdht_cookies_init(struct kdht_cookies *cookies, const siphash_key_t *master, u64 now_ns)
{
	cookies->master = *master;
	seqlock_init(&cookies->lock);
	enter(cookies, epoch_of(now_ns));
}

/**
 * kdht_cookies_replace() - cookies by another secret: those made before are worth nothing
 * @cookies: in use already
 * @master: the secret of all secrets
 * @now_ns: monotonic time
 *
 * Context: process.
 */
void kdht_cookies_replace(struct kdht_cookies *cookies, const siphash_key_t *master, u64 now_ns)
{
	write_seqlock_bh(&cookies->lock);
	cookies->master = *master;
	enter(cookies, epoch_of(now_ns));
	write_sequnlock_bh(&cookies->lock);
}

/**
 * kdht_cookie_check() - verify a cookie and make a fresh one
 * @cookies: the node's
 * @peer: who presents it
 * @presented: the cookie, in host order; zero: none
 * @now_ns: monotonic time
 * @fresh: one for the reply; never zero
 *
 * One SipHash where the cookie is of this epoch, else two; four more once an epoch.
 *
 * Context: softirq, or with softirqs off; neither sleeps nor allocates. Takes @cookies->lock
 * once an epoch.
 * Return: whether the cookie proves the endpoint.
 */
bool kdht_cookie_check(struct kdht_cookies *cookies, const struct kdht_endpoint *peer,
		       u64 presented, u64 now_ns, u64 *fresh)
{
	u32 epoch = epoch_of(now_ns);

	if (READ_ONCE(cookies->secrets[epoch & 1].epoch) < epoch) {
		write_seqlock(&cookies->lock);
		enter(cookies, epoch);
		write_sequnlock(&cookies->lock);
	}
	*fresh = make(cookies, peer, epoch);
	if (!presented)
		return false;
	if (presented == *fresh)
		return true;
	return ((presented ^ *fresh) & 1) && epoch && presented == make(cookies, peer, epoch - 1);
}
