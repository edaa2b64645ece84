// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: the own id. Record 1: a contact to add. Record 2: an id to remove. Record 3: a
 * target, k (1 byte), an asker. Line: what became of it; the closest contacts' ids
 */
#include <errno.h>

#include "../../table.h"
#include "harness.h"

static void print_closest(const struct kdht_closest *closest)
{
	u8 i, j;

	for (i = 0; i < closest->count; i++) {
		for (j = 0; j < KDHT_ID_LEN; j++)
			printf("%02x", closest->contacts[i]->id.bytes[j]);
		printf(" ");
	}
	printf("\n");
}

void do_closest(const u8 *record, size_t len)
{
	static struct kdht_table table;
	const struct kdht_id *target, *asker;
	struct kdht_closest closest;
	u8 k;

	switch (next_u8(&record, &len)) {
	case 0:
		kdht_table_free(&table);
		kdht_table_init(&table, (const void *)next(&record, &len, KDHT_ID_LEN));
		printf("ok\n");
		break;
	case 1:
		printf("%d\n", kdht_table_add(&table, (const void *)next(&record, &len, 40)));
		break;
	case 2:
		printf("%d\n", kdht_table_remove(&table, (const void *)next(&record, &len, 20)));
		break;
	default:
		target = (const void *)next(&record, &len, sizeof(*target));
		k = next_u8(&record, &len);
		asker = (const void *)next(&record, &len, sizeof(*asker));
		kdht_table_closest(&table, target, k, asker, &closest);
		print_closest(&closest);
	}
}
