// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: slots, units a second, units kept (4 bytes each). Record 1: a source, a weight (4
 * bytes), monotonic nanoseconds. Line: whether it is allowed. Record 2: whether the source
 * is exempt (1 byte), two endpoints. Line: whether they are one source
 */
#include "../../throttle.h"
#include "harness.h"

void do_throttle(const u8 *record, size_t len)
{
	static struct kdht_throttle throttle;
	const siphash_key_t key = { { 3, 3 } };
	const struct kdht_endpoint *one, *other;
	u64 source;
	u32 weight, slots, rate;
	u8 is_exempt;

	switch (next_u8(&record, &len)) {
	case 0:
		slots = next_u32(&record, &len);
		rate = next_u32(&record, &len);
		kdht_throttle_free(&throttle);
		if (kdht_throttle_init(&throttle, &key, slots))
			abort();
		kdht_throttle_set_allowance(&throttle, rate, next_u32(&record, &len));
		printf("ok\n");
		break;
	case 1:
		source = next_u64(&record, &len);
		weight = next_u32(&record, &len);
		printf("%d\n", kdht_throttle_allow(&throttle, source, weight,
						   next_u64(&record, &len)));
		break;
	default:
		is_exempt = next_u8(&record, &len);
		one = (const void *)next(&record, &len, sizeof(*one));
		other = (const void *)next(&record, &len, sizeof(*other));
		printf("%d\n", kdht_throttle_source(&throttle, one, is_exempt) ==
			       kdht_throttle_source(&throttle, other, is_exempt));
	}
}
