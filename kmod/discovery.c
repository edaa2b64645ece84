// SPDX-License-Identifier: GPL-2.0
/*
 * What the engine does by itself is done here by one work for each node. What softirq finds out
 * it leaves for that work: replies with their requests, askers with kdht_sighted. So the tables
 * have one writer at a time, in process context, and nothing that strangers send makes softirq
 * wait.
 */
#include <linux/ktime.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <net/ipv6.h>
#include <net/sock.h>

#include "attach.h"
#include "discovery.h"

/* Longest pause between two turns of the work, in jiffies */
#define WAIT_MAX	(60 * HZ)

/* Lets others be told of whoever is good now. Where there is no memory it is tried again */
static void publish(struct kdht_discovery *discovery, enum kdht_family family)
{
	struct kdht_buckets *buckets = &discovery->buckets[family];
	struct kdht_view *view;

	if (!buckets->is_changed)
		return;
	view = kdht_view_new(buckets->peer_count);
	if (!view)
		return;
	view->count = kdht_buckets_good(buckets, view->contacts);
	kdht_table_replace(&discovery->instance->node.tables[family], view);
	buckets->is_changed = false;
}

/* As the configuration says now */
static void apply_caps(struct kdht_discovery *discovery)
{
	const struct kdht_config *config;
	bool is_private_exempt;
	int family;

	rcu_read_lock();
	config = rcu_dereference(discovery->instance->config);
	is_private_exempt = config->ring.count && !discovery->do_caps_private;
	rcu_read_unlock();
	discovery->caps.is_private_exempt = is_private_exempt;
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		discovery->buckets[family].caps = discovery->caps;
}

/**
 * kdht_discovery_settle() - after anything was done: tell others, and plan the next turn
 * @discovery: the node's, with kernel routing
 *
 * Context: process; under the lock.
 */
void kdht_discovery_settle(struct kdht_discovery *discovery)
{
	u64 next_ns, now_ns;
	unsigned long wait;
	int family;

	apply_caps(discovery);
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		publish(discovery, family);
	kdht_discovery_tell_learned(discovery);
	next_ns = min(kdht_requests_next_due(&discovery->requests), kdht_upkeep_next(discovery));
	if (discovery->join.state == KDHT_JOIN_WAITING)
		next_ns = min(next_ns, discovery->join.at_ns);
	now_ns = ktime_get_ns();
	wait = next_ns <= now_ns ? 0 :
	       min_t(u64, nsecs_to_jiffies64(next_ns - now_ns) + 1, WAIT_MAX);
	mod_delayed_work(system_wq, &discovery->work, wait);
	/* A reply that came meanwhile had planned another turn, which this one may have put off */
	if (kdht_requests_have_reply(&discovery->requests))
		mod_delayed_work(system_wq, &discovery->work, 0);
}

static void turn(struct work_struct *work)
{
	struct kdht_discovery *discovery = container_of(to_delayed_work(work),
							struct kdht_discovery, work);
	struct mem_cgroup *before = set_active_memcg(discovery->memcg);

	mutex_lock(&discovery->lock);
	if (discovery->is_on) {
		u64 now_ns = ktime_get_ns();

		discovery->heard = kdht_stats_heard(discovery->instance->stats);
		kdht_discovery_handle_requests(discovery);
		kdht_join_continue(discovery, now_ns);
		kdht_upkeep_continue(discovery, now_ns);
		kdht_discovery_settle(discovery);
	}
	mutex_unlock(&discovery->lock);
	set_active_memcg(before);
}

/**
 * kdht_discovery_sighted() - nodes asked this one
 * @discovery: the node's
 * @contacts: who, and from where
 * @count: how many
 *
 * Context: process; may sleep. Takes the lock.
 */
void kdht_discovery_sighted(struct kdht_discovery *discovery,
			    const struct kdht_contact *contacts, u16 count)
{
	struct mem_cgroup *before = set_active_memcg(discovery->memcg);
	struct kdht_advice advice;
	u16 i;

	mutex_lock(&discovery->lock);
	discovery->heard = kdht_stats_heard(discovery->instance->stats);
	for (i = 0; i < count && discovery->is_on; i++) {
		enum kdht_family family = kdht_family_of(&contacts[i].endpoint);

		if (!discovery->socks[family])
			continue;
		kdht_buckets_sighted(&discovery->buckets[family], &contacts[i].id,
				     &contacts[i].endpoint, ktime_get_ns(), &advice);
		kdht_discovery_follow(discovery, &advice);
	}
	if (discovery->is_on)
		kdht_discovery_settle(discovery);
	mutex_unlock(&discovery->lock);
	set_active_memcg(before);
}

/**
 * kdht_discovery_reply() - a reply came to a transaction of the module's
 * @discovery: the node's
 * @head: its head, checked
 * @peer: where it came from
 * @skb: the reply from its UDP header on, linear; taken if it answers a request
 * @now_ns: monotonic time
 *
 * Context: softirq, or with softirqs off; neither sleeps nor allocates.
 * Return: whether it answers a request.
 */
bool kdht_discovery_reply(struct kdht_discovery *discovery, const struct kdht_head *head,
			  const struct kdht_endpoint *peer, struct sk_buff *skb, u64 now_ns)
{
	return kdht_requests_take(&discovery->requests, head, peer, skb, now_ns,
				  &discovery->work);
}

/**
 * kdht_discovery_new() - a node whose table is the daemon's, for the beginning
 * @instance: the node
 * @net: its namespace
 *
 * Context: process, the daemon's; may sleep.
 * Return: to be closed, then freed; NULL if there is no memory.
 */
struct kdht_discovery *kdht_discovery_new(struct kdht_instance *instance, struct net *net)
{
	struct kdht_discovery *discovery = kvzalloc(sizeof(*discovery), GFP_KERNEL_ACCOUNT);

	if (!discovery)
		return NULL;
	mutex_init(&discovery->lock);
	INIT_DELAYED_WORK(&discovery->work, turn);
	discovery->instance = instance;
	discovery->net = net;
	discovery->memcg = get_mem_cgroup_from_mm(current->mm);
	discovery->alpha = KDHT_ALPHA_DEFAULT;
	discovery->b = KDHT_B_DEFAULT;
	discovery->caps.bucket_max = KDHT_BUCKET_GROUP_MAX_DEFAULT;
	discovery->caps.table_max = KDHT_TABLE_GROUP_MAX_DEFAULT;
	discovery->refresh_s = KDHT_REFRESH_S_DEFAULT;
	kdht_requests_init(&discovery->requests);
	return discovery;
}

/* Forgets what is under way and all contacts; others are told of the same as before */
static void stop(struct kdht_discovery *discovery)
{
	int family;

	WRITE_ONCE(discovery->is_on, false);
	kdht_requests_close(&discovery->requests);
	kdht_search_end_all(discovery);
	kdht_join_forget(discovery);
	discovery->learned_count = 0;
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		kdht_buckets_free(&discovery->buckets[family]);
}

static void start(struct kdht_discovery *discovery)
{
	const struct kdht_id *own = &discovery->instance->node.id;
	int family;
	u8 k;

	rcu_read_lock();
	k = rcu_dereference(discovery->instance->config)->k;
	rcu_read_unlock();
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		kdht_buckets_init(&discovery->buckets[family], own, k, discovery->b,
				  KDHT_CONTACTS_MAX);
	discovery->probe_at_ns = U64_MAX;
	discovery->refresh_at_ns = U64_MAX;
	discovery->silence_rounds = 0;
	discovery->verify_before_s = 0;
	kdht_requests_open(&discovery->requests);
	apply_caps(discovery);
	WRITE_ONCE(discovery->is_on, true);
}

/**
 * kdht_discovery_switch() - from now on the table is the module's, or the daemon's
 * @discovery: the node's
 * @is_on: whether it is the module's
 *
 * Context: process; may sleep. Under the lock.
 */
void kdht_discovery_switch(struct kdht_discovery *discovery, bool is_on)
{
	if (is_on == discovery->is_on)
		return;
	kdht_sighted_forget(discovery->instance->sighted);
	if (is_on)
		start(discovery);
	else
		stop(discovery);
}

/**
 * kdht_discovery_sockets() - the node has other sockets than before
 * @discovery: the node's
 *
 * Context: process; may sleep. Holds kdht_lock, takes the lock. When it returns, sockets that are
 * no longer the node's are not sent by.
 */
void kdht_discovery_sockets(struct kdht_discovery *discovery)
{
	struct kdht_socket *socket;

	mutex_lock(&discovery->lock);
	memset(discovery->socks, 0, sizeof(discovery->socks));
	list_for_each_entry(socket, &discovery->instance->sockets, list) {
		struct sock *sk = socket->sk;

		if (sk->sk_family == AF_INET) {
			discovery->socks[KDHT_FAMILY_V4] = sk;
			continue;
		}
#if IS_ENABLED(CONFIG_IPV6)
		discovery->socks[KDHT_FAMILY_V6] = sk;
		/* Bound to no address, it takes and sends IPv4, too */
		if (!ipv6_only_sock(sk) && ipv6_addr_any(&sk->sk_v6_rcv_saddr) &&
		    !discovery->socks[KDHT_FAMILY_V4])
			discovery->socks[KDHT_FAMILY_V4] = sk;
#endif
	}
	mutex_unlock(&discovery->lock);
}

/**
 * kdht_discovery_close() - do nothing more: the node's sockets and its namespace may go
 * @discovery: the node's
 *
 * Context: process; may sleep.
 */
void kdht_discovery_close(struct kdht_discovery *discovery)
{
	mutex_lock(&discovery->lock);
	stop(discovery);
	mutex_unlock(&discovery->lock);
	cancel_delayed_work_sync(&discovery->work);
}

/**
 * kdht_discovery_free() - give back all memory
 * @discovery: closed, and not in use by anybody any more; may be NULL
 */
void kdht_discovery_free(struct kdht_discovery *discovery)
{
	if (!discovery)
		return;
	mem_cgroup_put(discovery->memcg);
	kvfree(discovery);
}
