// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: a table anew: the own id, k, b, contacts at most, caps (bucket, table, whether
 * private addresses are exempt). Then, each with monotonic nanoseconds: 1: an id and an endpoint
 * were sighted. 2: they answered, within so many microseconds, with a cookie. 3: they failed,
 * asked at such a time. 4: a target was looked up. 5: contacts to be probed, at most so many.
 * 6: those silent since a second. 7: the candidates for a target, at most so many. Line: whom to
 * probe; a digest of all that the table holds; whether others are to be told of other contacts
 */
#include "../../buckets.h"
#include "harness.h"

static struct kdht_buckets table;
static u64 digest;

/* FNV-1a */
static void take(const void *data, size_t len)
{
	const u8 *at = data;

	for (; len; len--)
		digest = (digest ^ *at++) * 0x100000001b3ULL;
}

static void take_u64(u64 number)
{
	__le64 raw = cpu_to_le64(number);

	take(&raw, sizeof(raw));
}

void kdht_trace_evict(const struct kdht_peer *peer)
{
	if (!peer->is_held)
		abort();
}

static void take_peer(const struct kdht_peer *peer, u64 now_ns)
{
	take(&peer->id, sizeof(peer->id));
	take(&peer->endpoint, sizeof(peer->endpoint));
	take_u64(peer->failures);
	take_u64(peer->is_verified);
	take_u64(kdht_peer_liveness(peer));
	take_u64(peer->seen_s);
	take_u64(peer->probe_after_s);
	take_u64(peer->rtt_us);
	take_u64(peer->rtt_deviation_us);
	take_u64(kdht_peer_cookie(peer, now_ns));
}

/* Members, bucket by bucket, and replacements, by id */
static void take_table(u64 now_ns)
{
	const struct kdht_peer *waiting[KDHT_CONTACTS_MAX];
	struct kdht_fill fill;
	u16 at, count = 0, place;
	u32 idlest_s = 0;
	u8 i;

	digest = 0xcbf29ce484222325ULL;
	for (at = 0; at < table.bucket_count; at++) {
		const struct kdht_bucket *bucket = &table.buckets[at];

		for (i = 0; i < bucket->member_count; i++) {
			take_u64(bucket->depth);
			take_peer(&table.peers[bucket->members[i]], now_ns);
		}
		for (i = 0; i < bucket->waiting_count; i++) {
			const struct kdht_peer *peer = &table.peers[bucket->waiting[i]];

			for (place = count++; place > 0; place--) {
				if (kdht_id_order(&waiting[place - 1]->id, &peer->id) < 0)
					break;
				waiting[place] = waiting[place - 1];
			}
			waiting[place] = peer;
		}
	}
	for (at = 0; at < count; at++)
		take_peer(waiting[at], now_ns);
	kdht_buckets_fill(&table, &fill);
	take_u64(fill.buckets);
	for (i = 0; i <= KDHT_STALE; i++)
		take_u64(fill.of_liveness[i]);
	take_u64(fill.replacements);
	take_u64(table.unkept.bucket_group);
	take_u64(table.unkept.table_group);
	take_u64(table.unkept.full);
	take_u64(kdht_buckets_idlest_s(&table, &idlest_s));
	take_u64(idlest_s);
}

static void print_contacts(const struct kdht_contact *contacts, unsigned int count)
{
	size_t i;

	for (i = 0; i < count * sizeof(*contacts); i++)
		printf("%02x", ((const u8 *)contacts)[i]);
	printf(" ");
}

/* Whoever is told of must be good and in order, and nobody may be left out without a word */
static void print_change(void)
{
	static struct kdht_contact told[KDHT_CONTACTS_MAX];
	static u16 told_count;
	struct kdht_contact *good = malloc((table.peer_count + 1) * sizeof(*good));
	u16 count = kdht_buckets_good(&table, good);

	if (!table.is_changed && (count != told_count || memcmp(good, told, count * sizeof(*good))))
		printf("unnoticed");
	memcpy(told, good, count * sizeof(*good));
	told_count = count;
	table.is_changed = false;
	free(good);
}

static void create(const u8 *record, size_t len)
{
	const struct kdht_id *own = (const void *)next(&record, &len, sizeof(*own));
	u8 k = next_u8(&record, &len), b = next_u8(&record, &len);

	kdht_buckets_free(&table);
	kdht_buckets_init(&table, own, k, b, next_u32(&record, &len));
	table.caps.bucket_max = next_u32(&record, &len);
	table.caps.table_max = next_u32(&record, &len);
	table.caps.is_private_exempt = next_u8(&record, &len);
	table.is_changed = true;
}

static unsigned int do_step(u8 operation, u64 now_ns, const u8 *record, size_t len,
			    struct kdht_contact *out, unsigned int room)
{
	const struct kdht_peer *candidates[KDHT_K_MAX];
	struct kdht_advice advice = { 0 };
	struct kdht_contact contact = { 0 };
	unsigned int left, count;
	struct kdht_told told;
	u64 sent_ns;

	switch (operation) {
	case 1:
		memcpy(&contact, next(&record, &len, 38), 38);
		kdht_buckets_sighted(&table, &contact.id, &contact.endpoint, now_ns, &advice);
		break;
	case 2:
		memcpy(&contact, next(&record, &len, 38), 38);
		told.rtt_us = next_u32(&record, &len);
		told.cookie = next_u64(&record, &len);
		kdht_buckets_answered(&table, &contact.id, &contact.endpoint, &told, now_ns);
		break;
	case 3:
		memcpy(&contact, next(&record, &len, 38), 38);
		sent_ns = next_u64(&record, &len);
		kdht_buckets_failed(&table, &contact.id, &contact.endpoint, sent_ns, now_ns,
				    &advice);
		break;
	case 4:
		memcpy(&contact.id, next(&record, &len, 20), 20);
		kdht_buckets_touch(&table, &contact.id, now_ns);
		break;
	case 5:
		left = room;
		kdht_buckets_unsettled(&table, now_ns, out, &left);
		return room - left;
	case 6:
		left = room;
		kdht_buckets_silent_since(&table, next_u32(&record, &len), out, &left);
		return room - left;
	default:
		memcpy(&contact.id, next(&record, &len, 20), 20);
		count = kdht_buckets_candidates(&table, &contact.id, next_u8(&record, &len),
						candidates);
		for (left = 0; left < count; left++)
			out[left] = kdht_peer_contact(candidates[left]);
		return count;
	}
	memcpy(out, advice.probes, advice.count * sizeof(*out));
	return advice.count;
}

void do_buckets(const u8 *record, size_t len)
{
	struct kdht_contact out[64];
	u8 operation = next_u8(&record, &len);
	unsigned int count;
	u64 now_ns;

	if (!operation) {
		create(record, len);
		printf("ok\n");
		return;
	}
	now_ns = next_u64(&record, &len);
	count = do_step(operation, now_ns, record, len, out, 64);
	print_contacts(out, count);
	take_table(now_ns);
	printf("%016llx", (unsigned long long)digest);
	print_change();
	printf("\n");
}
