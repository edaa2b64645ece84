// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Contacts sorted by id. All that share their first bits lie side by side, so that the closest
 * are found by halving: of what shares as many bits with the target as k contacts do, the half
 * that shares one more is nearer than the other. They come out as a few runs, which a reply
 * copies as they are. What a reader sees never changes: a writer puts a new array in its place
 * and frees the old one after a grace period.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "table.h"

/**
 * kdht_table_init() - an empty table around @own
 * @table: to be filled in
 * @own: the own id
 */
void kdht_table_init(struct kdht_table *table, const struct kdht_id *own)
{
	memset(table, 0, sizeof(*table));
	table->own = *own;
	mutex_init(&table->lock);
}

/**
 * kdht_table_free() - give back all memory
 * @table: not in use by anybody any more
 */
void kdht_table_free(struct kdht_table *table)
{
	kvfree(rcu_dereference_protected(table->view, true));
	RCU_INIT_POINTER(table->view, NULL);
}

/**
 * kdht_table_count() - how many contacts others are told of
 * @table: the table
 *
 * Context: within rcu_read_lock().
 */
u16 kdht_table_count(const struct kdht_table *table)
{
	const struct kdht_view *view = rcu_dereference(table->view);

	return view ? view->count : 0;
}

/**
 * kdht_view_new() - room for what readers are to see
 * @count: contacts; to be filled in, sorted by id
 *
 * Context: process; may sleep.
 * Return: NULL if there is no memory.
 */
struct kdht_view *kdht_view_new(u16 count)
{
	struct kdht_view *view;

	view = kvmalloc(struct_size(view, contacts, count), GFP_KERNEL_ACCOUNT);
	if (view)
		view->count = count;
	return view;
}

static struct kdht_view *view_of(struct kdht_table *table)
{
	return rcu_dereference_protected(table->view, lockdep_is_held(&table->lock));
}

/* Notes where the ids of each first byte begin */
static void note_starts(struct kdht_view *view)
{
	unsigned int first;
	u16 place = 0;

	for (first = 0; first <= KDHT_FIRST_BYTES; first++) {
		while (place < view->count && view->contacts[place].id.bytes[0] < first)
			place++;
		view->starts[first] = place;
	}
}

/* Lets readers see @view (NULL: nothing) from now on; under the lock */
static void replace(struct kdht_table *table, struct kdht_view *view)
{
	struct kdht_view *old = view_of(table);

	if (view)
		note_starts(view);
	rcu_assign_pointer(table->view, view);
	if (old)
		kvfree_rcu(old, rcu);
}

/**
 * kdht_table_replace() - tell others of other contacts from now on
 * @table: the table
 * @view: from kdht_view_new(), filled in; the table's from now on
 *
 * Context: process; may sleep. Takes @table->lock.
 */
void kdht_table_replace(struct kdht_table *table, struct kdht_view *view)
{
	mutex_lock(&table->lock);
	replace(table, view);
	mutex_unlock(&table->lock);
}

/* Where @id stands among @count contacts, or would stand; *@is_there says which */
static u16 place_of(const struct kdht_contact *contacts, u16 count, const struct kdht_id *id,
		    bool *is_there)
{
	u16 low = 0, high = count;

	*is_there = false;
	while (low < high) {
		u16 middle = low + (high - low) / 2;
		int order = kdht_id_order(&contacts[middle].id, id);

		if (!order) {
			*is_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/**
 * kdht_table_add() - tell others of @contacts from now on
 * @table: the table of their family
 * @contacts: contacts; an endpoint known for an id is replaced
 * @count: how many
 *
 * Context: process; may sleep. Takes @table->lock.
 * Return: 0; -EINVAL for the own id, or -ENOSPC if KDHT_CONTACTS_MAX are there, and the contacts
 * before it are held; -ENOMEM, and none is.
 */
int kdht_table_add(struct kdht_table *table, const struct kdht_contact *contacts, u16 count)
{
	struct kdht_view *old, *new;
	bool is_there;
	int err = 0;
	u16 i, place;

	mutex_lock(&table->lock);
	old = view_of(table);
	new = kdht_view_new(min_t(u32, (old ? old->count : 0) + count, KDHT_CONTACTS_MAX));
	if (!new) {
		mutex_unlock(&table->lock);
		return -ENOMEM;
	}
	new->count = old ? old->count : 0;
	if (old)
		memcpy(new->contacts, old->contacts, old->count * sizeof(*contacts));
	for (i = 0; i < count; i++) {
		if (kdht_id_is_same(&contacts[i].id, &table->own)) {
			err = -EINVAL;
			break;
		}
		place = place_of(new->contacts, new->count, &contacts[i].id, &is_there);
		if (!is_there) {
			if (new->count == KDHT_CONTACTS_MAX) {
				err = -ENOSPC;
				break;
			}
			memmove(new->contacts + place + 1, new->contacts + place,
				(new->count - place) * sizeof(*contacts));
			new->count++;
		}
		new->contacts[place] = contacts[i];
	}
	replace(table, new);
	mutex_unlock(&table->lock);
	return err;
}

/**
 * kdht_table_remove() - tell nobody of the contact @id any more
 * @table: the table of its family
 * @id: its id
 *
 * Context: process; may sleep. Takes @table->lock.
 * Return: 0, -ENOENT if it is not there, or -ENOMEM, and it stays.
 */
int kdht_table_remove(struct kdht_table *table, const struct kdht_id *id)
{
	struct kdht_view *old, *new = NULL;
	bool is_there = false;
	int err = 0;
	u16 place = 0;

	mutex_lock(&table->lock);
	old = view_of(table);
	if (old)
		place = place_of(old->contacts, old->count, id, &is_there);
	if (!is_there) {
		err = -ENOENT;
		goto unlock;
	}
	if (old->count > 1) {
		new = kdht_view_new(old->count - 1);
		if (!new) {
			err = -ENOMEM;
			goto unlock;
		}
		memcpy(new->contacts, old->contacts, place * sizeof(old->contacts[0]));
		memcpy(new->contacts + place, old->contacts + place + 1,
		       (new->count - place) * sizeof(old->contacts[0]));
	}
	replace(table, new);
unlock:
	mutex_unlock(&table->lock);
	return err;
}

/* The first of contacts @low to before @high, which share @bit bits, whose next one is set */
static unsigned int first_with(const struct kdht_contact *contacts, unsigned int low,
			       unsigned int high, unsigned int bit)
{
	const u8 *bytes = contacts->id.bytes + bit / 8;
	u8 mask = 0x80 >> bit % 8;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (bytes[middle * sizeof(*contacts)] & mask)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Puts a run in its place among those found: they come in the order of distance */
static void add_run(struct kdht_closest *out, const struct kdht_contact *contacts, u16 count)
{
	u8 at = out->run_count;

	if (!count)
		return;
	for (; at > 0 && out->runs[at - 1].contacts > contacts; at--)
		out->runs[at] = out->runs[at - 1];
	out->runs[at].contacts = contacts;
	out->runs[at].count = count;
	out->run_count++;
	out->count += count;
}

/* The fewest contacts that share their first bits with @target, up to a byte, and are @k or all */
static void narrow(const struct kdht_view *view, const struct kdht_id *target, unsigned int k,
		   unsigned int *low, unsigned int *high)
{
	unsigned int first = target->bytes[0], width;

	for (width = 1; width < KDHT_FIRST_BYTES; width *= 2) {
		*low = view->starts[first & -width];
		*high = view->starts[(first & -width) + width];
		if (*high - *low >= k)
			return;
	}
	*low = 0;
	*high = view->count;
}

/* The @k nearest of a view, whoever they are. Each run has a contact at least, so @k suffice */
static void find_nearest(const struct kdht_view *view, const struct kdht_id *target,
			 unsigned int k, struct kdht_closest *out)
{
	const struct kdht_contact *contacts = view->contacts;
	unsigned int low, high;

	out->count = 0;
	out->run_count = 0;
	narrow(view, target, k, &low, &high);
	while (high - low > k && k) {
		/* The first and the last share no more than all between them do */
		unsigned int bit = kdht_id_shared(&contacts[low].id, &contacts[high - 1].id);
		unsigned int ones = first_with(contacts, low, high, bit);
		bool is_high = kdht_id_bit(target, bit);
		unsigned int near = is_high ? high - ones : ones - low;

		if (near > k) {
			if (is_high)
				low = ones;
			else
				high = ones;
			continue;
		}
		k -= near;
		if (is_high) {
			add_run(out, contacts + ones, near);
			high = ones;
		} else {
			add_run(out, contacts + low, near);
			low = ones;
		}
	}
	if (k)
		add_run(out, contacts + low, high - low);
}

/* Takes @asker out of the runs. Whether it was there */
static bool leave_out(struct kdht_closest *out, const struct kdht_id *asker)
{
	u64 prefix = kdht_id_prefix(asker);
	u16 place, behind;
	bool is_there;
	u8 i;

	for (i = 0; i < out->run_count; i++) {
		struct kdht_run *run = &out->runs[i];

		if (prefix < kdht_id_prefix(&run->contacts->id) ||
		    prefix > kdht_id_prefix(&run->contacts[run->count - 1].id))
			continue;
		place = place_of(run->contacts, run->count, asker, &is_there);
		if (!is_there)
			continue;
		behind = run->count - place - 1;
		out->count--;
		run->count = place;
		if (behind && place) {
			memmove(run + 2, run + 1, (out->run_count - i - 1) * sizeof(*run));
			out->run_count++;
			run++;
		}
		if (behind) {
			run->contacts = out->runs[i].contacts + place + 1;
			run->count = behind;
		} else if (!place) {
			memmove(run, run + 1, (out->run_count - i - 1) * sizeof(*run));
			out->run_count--;
		}
		return true;
	}
	return false;
}

/**
 * kdht_table_closest() - the contacts nearest to @target
 * @table: the table of one family
 * @target: any id
 * @k: how many are wanted, 1 to KDHT_K_MAX
 * @fits: how many there is room for: of those wanted, so many nearest are found
 * @asker: left out
 * @out: filled in
 *
 * Cost: some ten halvings.
 *
 * Context: within rcu_read_lock(), which must hold as long as @out is read.
 */
void kdht_table_closest(const struct kdht_table *table, const struct kdht_id *target, u8 k,
			u8 fits, const struct kdht_id *asker, struct kdht_closest *out)
{
	const struct kdht_view *view = rcu_dereference(table->view);
	bool is_there;

	out->count = 0;
	out->run_count = 0;
	out->known = 0;
	if (!view)
		return;
	fits = min(fits, k);
	out->known = k;
	if (view->count <= k) {
		place_of(view->contacts, view->count, asker, &is_there);
		out->known = view->count - is_there;
	}
	find_nearest(view, target, fits, out);
	if (leave_out(out, asker) && view->count > fits) {
		/* One more makes up for the asker, of which there is a run less then */
		find_nearest(view, target, fits + 1, out);
		leave_out(out, asker);
	}
}

/* The contacts of all runs, one by one, in the order of their ids */
static u8 flatten(const struct kdht_closest *closest, const struct kdht_contact **out)
{
	u8 count = 0, i;
	u16 j;

	for (i = 0; i < closest->run_count; i++)
		for (j = 0; j < closest->runs[i].count; j++)
			out[count++] = closest->runs[i].contacts + j;
	return count;
}

static u8 farthest(const struct kdht_contact **contacts, u8 count, const struct kdht_id *target)
{
	u8 found = 0, i;

	for (i = 1; i < count; i++)
		if (kdht_id_is_nearer(&contacts[found]->id, &contacts[i]->id, target))
			found = i;
	return found;
}

/**
 * kdht_closest_merge() - merge two answers about the same target
 * @one: an answer with room for all
 * @other: another; an id in both is taken from @one
 * @target: what both are about
 * @k: how many are wanted, 1 to KDHT_K_MAX
 * @fits: how many there is room for
 * @out: filled in; neither of the two
 */
void kdht_closest_merge(const struct kdht_closest *one, const struct kdht_closest *other,
			const struct kdht_id *target, u8 k, u8 fits, struct kdht_closest *out)
{
	const struct kdht_contact *ours[KDHT_K_MAX], *theirs[KDHT_K_MAX], *all[2 * KDHT_K_MAX];
	u8 our_count = flatten(one, ours), their_count = flatten(other, theirs);
	u8 i = 0, j = 0, count = 0;

	while (i < our_count || j < their_count) {
		int order = i == our_count ? 1 : j == their_count ? -1 :
			    kdht_id_order(&ours[i]->id, &theirs[j]->id);

		all[count++] = order <= 0 ? ours[i] : theirs[j];
		i += order <= 0;
		j += order >= 0;
	}
	out->known = min(count, k);
	while (count > min(k, fits)) {
		u8 gone = farthest(all, count, target);

		memmove(all + gone, all + gone + 1, (count - gone - 1) * sizeof(*all));
		count--;
	}
	out->count = count;
	out->run_count = count;
	for (i = 0; i < count; i++) {
		out->runs[i].contacts = all[i];
		out->runs[i].count = 1;
	}
}
