// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: bits (4 bytes) of a filter anew. Record 1: a key to add. Record 2: begin a
 * generation. Record 3: it is complete. Record 4: a key was passed unread. Record 5: a key.
 * Line: the filter's state; whether it proves that the key is absent
 */
#include "../../filter.h"
#include "harness.h"

void do_filter(const u8 *record, size_t len)
{
	static struct kdht_filter *filter;
	const siphash_key_t hash_key = { { 7, 7 } };
	const struct kdht_id *key;

	switch (next_u8(&record, &len)) {
	case 0:
		kdht_filter_free(filter);
		filter = kdht_filter_new(&hash_key, next_u32(&record, &len));
		break;
	case 1:
		key = (const void *)next(&record, &len, sizeof(*key));
		kdht_filter_add(filter, key);
		break;
	case 2:
		kdht_filter_retire(filter);
		kdht_filter_begin(filter);
		break;
	case 3:
		kdht_filter_complete(filter);
		break;
	case 4:
		kdht_filter_doubt(filter);
		break;
	default:
		key = (const void *)next(&record, &len, sizeof(*key));
		printf("%d\n", kdht_filter_proves_absent(filter, key));
		return;
	}
	printf("%d\n", kdht_filter_state(filter));
}
