// SPDX-License-Identifier: GPL-2.0
/*
 * A node that asks is one that the daemon may want to know; it would have met it, had it
 * answered itself. With kernel routing the module's own table is told instead. What is told may
 * be lost, as datagrams may.
 */
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/time64.h>

#include "discovery.h"
#include "netlink.h"
#include "sighted.h"

static void tell(struct work_struct *work)
{
	struct kdht_sighted *sighted = container_of(to_delayed_work(work), struct kdht_sighted,
						    tell);
	struct kdht_contact *told;
	u16 count;

	told = kmalloc_array(KDHT_SIGHTED_MAX, sizeof(*told), GFP_KERNEL);
	spin_lock_bh(&sighted->lock);
	count = sighted->count;
	sighted->count = 0;
	if (told)
		memcpy(told, sighted->waiting, count * sizeof(*told));
	else
		sighted->lost += count;
	spin_unlock_bh(&sighted->lock);
	if (told && READ_ONCE(sighted->discovery->is_on)) {
		kdht_discovery_sighted(sighted->discovery, told, count);
	} else if (told && kdht_netlink_tell_sighted(sighted->net, &sighted->id, told, count)) {
		spin_lock_bh(&sighted->lock);
		sighted->lost += count;
		spin_unlock_bh(&sighted->lock);
	}
	kfree(told);
}

/**
 * kdht_sighted_new() - nobody asked so far
 * @net: the node's namespace
 * @id: the node's id
 * @discovery: the node's
 *
 * Context: process; may sleep.
 * Return: to be closed, then freed; NULL if there is no memory.
 */
struct kdht_sighted *kdht_sighted_new(struct net *net, const struct kdht_id *id,
				      struct kdht_discovery *discovery)
{
	struct kdht_sighted *sighted = kvzalloc(sizeof(*sighted), GFP_KERNEL_ACCOUNT);

	if (!sighted)
		return NULL;
	spin_lock_init(&sighted->lock);
	get_random_bytes(&sighted->key, sizeof(sighted->key));
	sighted->id = *id;
	sighted->net = net;
	sighted->discovery = discovery;
	sighted->is_open = true;
	INIT_DELAYED_WORK(&sighted->tell, tell);
	return sighted;
}

/**
 * kdht_sighted_close() - tell nothing more: the node's namespace may go
 * @sighted: the node's
 *
 * Context: process; may sleep.
 */
void kdht_sighted_close(struct kdht_sighted *sighted)
{
	spin_lock_bh(&sighted->lock);
	sighted->is_open = false;
	spin_unlock_bh(&sighted->lock);
	cancel_delayed_work_sync(&sighted->tell);
}

/**
 * kdht_sighted_free() - give back all memory
 * @sighted: closed, and not in use by anybody any more; may be NULL
 */
void kdht_sighted_free(struct kdht_sighted *sighted)
{
	kvfree(sighted);
}

/* What is remembered of somebody, if it is that; *@tag is set to what it is known by */
static struct kdht_recent *recent_of(struct kdht_sighted *sighted,
				     const struct kdht_contact *contact, u64 *tag)
{
	*tag = siphash(contact, sizeof(*contact), &sighted->key);
	return &sighted->recent[*tag % KDHT_SIGHTED_RECENT];
}

/* Two processors that read this at once tell it twice, or not: neither does harm */
static bool is_due(const struct kdht_recent *recent, u64 tag, u32 now_s)
{
	return READ_ONCE(recent->tag) != tag ||
	       now_s - READ_ONCE(recent->told_s) >= KDHT_SIGHTED_PAUSE_S;
}

/**
 * kdht_sighted_forget() - whoever asks next is told of, also who was of late
 * @sighted: the node's, which is told of to somebody else from now on
 *
 * Context: process.
 */
void kdht_sighted_forget(struct kdht_sighted *sighted)
{
	unsigned int i;

	spin_lock_bh(&sighted->lock);
	for (i = 0; i < KDHT_SIGHTED_RECENT; i++)
		WRITE_ONCE(sighted->recent[i].tag, 0);
	spin_unlock_bh(&sighted->lock);
}

/**
 * kdht_sighted_is_due() - whether it would be told that a node asked
 * @sighted: the node's that it asked
 * @id: the asker's id
 * @endpoint: where it asked from
 * @now_ns: monotonic time
 *
 * Context: softirq, or with softirqs off.
 */
bool kdht_sighted_is_due(struct kdht_sighted *sighted, const struct kdht_id *id,
			 const struct kdht_endpoint *endpoint, u64 now_ns)
{
	struct kdht_contact contact = { .id = *id, .endpoint = *endpoint };
	struct kdht_recent *recent;
	u64 tag;

	recent = recent_of(sighted, &contact, &tag);
	return is_due(recent, tag, (u32)div_u64(now_ns, NSEC_PER_SEC));
}

/**
 * kdht_sighted_add() - a node asked, and was answered
 * @sighted: the node's that answered
 * @id: the asker's id
 * @endpoint: where it asked from
 * @now_ns: monotonic time
 *
 * Context: softirq, or with softirqs off; neither sleeps nor allocates.
 */
void kdht_sighted_add(struct kdht_sighted *sighted, const struct kdht_id *id,
		      const struct kdht_endpoint *endpoint, u64 now_ns)
{
	struct kdht_contact contact = { .id = *id, .endpoint = *endpoint };
	struct kdht_recent *recent;
	u64 tag;
	u32 now_s = (u32)div_u64(now_ns, NSEC_PER_SEC);

	recent = recent_of(sighted, &contact, &tag);
	if (!is_due(recent, tag, now_s))
		return;
	spin_lock(&sighted->lock);
	if (!sighted->is_open)
		goto unlock;
	if (sighted->count == KDHT_SIGHTED_MAX) {
		sighted->lost++;
		goto unlock;
	}
	WRITE_ONCE(recent->tag, tag);
	WRITE_ONCE(recent->told_s, now_s);
	sighted->waiting[sighted->count++] = contact;
	if (sighted->count == 1)
		schedule_delayed_work(&sighted->tell, msecs_to_jiffies(KDHT_SIGHTED_BATCH_MS));
unlock:
	spin_unlock(&sighted->lock);
}
