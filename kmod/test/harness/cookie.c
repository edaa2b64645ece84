// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: a master secret, monotonic nanoseconds. Record 1: an endpoint, the cookie it
 * presents, monotonic nanoseconds. Line: whether it proves the endpoint, and a fresh one
 */
#include "../../cookie.h"
#include "harness.h"

void do_cookie(const u8 *record, size_t len)
{
	static struct kdht_cookies cookies;
	const struct kdht_endpoint *peer;
	siphash_key_t master;
	u64 presented, fresh;
	bool is_proven;

	if (!next_u8(&record, &len)) {
		master = kdht_secret(next(&record, &len, KDHT_SECRET_LEN));
		kdht_cookies_init(&cookies, &master, next_u64(&record, &len));
		printf("ok\n");
		return;
	}
	peer = (const void *)next(&record, &len, sizeof(*peer));
	presented = next_u64(&record, &len);
	is_proven = kdht_cookie_check(&cookies, peer, presented, next_u64(&record, &len), &fresh);
	printf("%d %016llx\n", is_proven, (unsigned long long)fresh);
}
