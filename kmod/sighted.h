/* SPDX-License-Identifier: GPL-2.0 */
/* Who asked: told to the daemon in batches, so that it learns whom the module answered. */
#ifndef KDHT_SIGHTED_H
#define KDHT_SIGHTED_H

#include <linux/siphash.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "kdht_wire.h"

/* Askers that wait to be told */
#define KDHT_SIGHTED_MAX	128
/* Askers that are remembered, by a hash that strangers cannot choose */
#define KDHT_SIGHTED_RECENT	1024
/* Seconds within which nobody is told twice: less than what counts as fresh (engine/core) */
#define KDHT_SIGHTED_PAUSE_S	30
/* Pause that gathers a batch */
#define KDHT_SIGHTED_BATCH_MS	50

struct kdht_discovery;

struct kdht_recent {
	u64 tag;
	u32 told_s;
};

/**
 * struct kdht_sighted - askers on their way to the daemon
 * @lock: guards all below
 * @key: what hashes are keyed with
 * @id: the node's id, for the message
 * @net: the node's namespace; it has sockets there as long as this is open
 * @discovery: the node's: with kernel routing it is told instead of the daemon
 * @tell: puts the waiting ones into a message
 * @is_open: whether more are taken in
 * @count: waiting ones
 * @lost: askers that found no room, or no memory for a message
 * @waiting: nodes that asked
 * @recent: who was told of late
 */
struct kdht_sighted {
	spinlock_t lock;
	siphash_key_t key;
	struct kdht_id id;
	struct net *net;
	struct kdht_discovery *discovery;
	struct delayed_work tell;
	bool is_open;
	u16 count;
	u64 lost;
	struct kdht_contact waiting[KDHT_SIGHTED_MAX];
	struct kdht_recent recent[KDHT_SIGHTED_RECENT];
};

struct kdht_sighted *kdht_sighted_new(struct net *net, const struct kdht_id *id,
				      struct kdht_discovery *discovery);
void kdht_sighted_close(struct kdht_sighted *sighted);
void kdht_sighted_free(struct kdht_sighted *sighted);
void kdht_sighted_forget(struct kdht_sighted *sighted);
bool kdht_sighted_is_due(struct kdht_sighted *sighted, const struct kdht_id *id,
			 const struct kdht_endpoint *endpoint, u64 now_ns);
void kdht_sighted_add(struct kdht_sighted *sighted, const struct kdht_id *id,
		      const struct kdht_endpoint *endpoint, u64 now_ns);

#endif /* KDHT_SIGHTED_H */
