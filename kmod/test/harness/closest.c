// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: the own id. Record 1: a contact to add. Record 2: an id to remove. Record 3: a
 * target, k (1 byte), how many fit (1 byte), an asker. Line: what became of it; how many would have
 * been told, and the closest contacts' ids
 */
#include <errno.h>

#include "../../table.h"
#include "harness.h"

static void print_closest(const struct kdht_closest *closest)
{
	u8 i, j;
	u16 at;

	printf("%u ", closest->known);
	for (i = 0; i < closest->run_count; i++)
		for (at = 0; at < closest->runs[i].count; at++) {
			for (j = 0; j < KDHT_ID_LEN; j++)
				printf("%02x", closest->runs[i].contacts[at].id.bytes[j]);
			printf(" ");
		}
	printf("\n");
}

void do_closest(const u8 *record, size_t len)
{
	static struct kdht_table table;
	const struct kdht_id *target, *asker;
	struct kdht_closest closest;
	u8 k, fits;

	switch (next_u8(&record, &len)) {
	case 0:
		kdht_table_free(&table);
		kdht_table_init(&table, (const void *)next(&record, &len, KDHT_ID_LEN));
		printf("ok\n");
		break;
	case 1:
		printf("%d\n", kdht_table_add(&table, (const void *)next(&record, &len, 40), 1));
		break;
	case 2:
		printf("%d\n", kdht_table_remove(&table, (const void *)next(&record, &len, 20)));
		break;
	default:
		target = (const void *)next(&record, &len, sizeof(*target));
		k = next_u8(&record, &len);
		fits = next_u8(&record, &len);
		asker = (const void *)next(&record, &len, sizeof(*asker));
		kdht_table_closest(&table, target, k, fits, asker, &closest);
		print_closest(&closest);
	}
}
