/* SPDX-License-Identifier: GPL-2.0 */
/* How a node with kernel routing finds other nodes, and keeps knowing them. */
#ifndef KDHT_DISCOVERY_H
#define KDHT_DISCOVERY_H

#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "answer.h"
#include "buckets.h"
#include "lookup.h"
#include "requests.h"

struct kdht_instance;
struct mem_cgroup;

/* Probes in flight at once: replies that name a victim cause no more datagrams than this */
#define KDHT_PROBES_MAX		32
/* Lookups under way at once, of 11 KiB each */
#define KDHT_SEARCHES_MAX	24
/* Endpoints that a node may be told to join through */
#define KDHT_SEEDS_MAX		64
/* Lookups of one join: one for each bucket of both tables, and walks */
#define KDHT_AIMS_MAX		576
/* Contacts that are told of at once as having answered for the first time */
#define KDHT_LEARNED_MAX	64

/* Of a node whose daemon did not say otherwise; as engine/core/src/config.rs has them */
#define KDHT_ALPHA_DEFAULT		3
#define KDHT_B_DEFAULT			1
#define KDHT_BUCKET_GROUP_MAX_DEFAULT	2
#define KDHT_TABLE_GROUP_MAX_DEFAULT	10
#define KDHT_REFRESH_S_DEFAULT		3600

/* What a lookup is for */
enum kdht_audience {
	/* The join: the own id, or a whole bucket */
	KDHT_FOR_JOIN,
	/* The join: a part of a bucket, with one request in flight */
	KDHT_FOR_WALK,
	/* A range in which nothing was looked up for long */
	KDHT_FOR_REFRESH,
};

/* A lookup under way */
struct kdht_search {
	u32 number;
	u8 audience;
	struct kdht_lookup lookup;
};

/* What is looked up in a join; @part: leading bits of a part of a bucket, 0: a whole one */
struct kdht_aim {
	struct kdht_id target;
	u8 part;
};

/**
 * struct kdht_join - how far a node has come in joining
 * @state: KDHT_JOIN_IDLE to KDHT_JOIN_JOINED
 * @is_reached: whether a seed answered
 * @is_beginning: a lookup is just being begun by whoever begins the next ones, too
 * @attempts: that failed
 * @waiting: seeds that have not answered yet
 * @running: lookups under way
 * @at_ns: when the next attempt is
 * @reached: who answered
 * @seed_count: of @seeds
 * @aim_count: of @aims: the last one comes first
 * @aims: what is still to be looked up; allocated while there is any
 * @seeds: where a node of the network may answer
 */
struct kdht_join {
	u8 state;
	bool is_reached;
	bool is_beginning;
	u8 attempts;
	u16 waiting;
	u16 running;
	u64 at_ns;
	struct kdht_contact reached;
	u16 seed_count;
	u16 aim_count;
	struct kdht_aim *aims;
	struct kdht_endpoint seeds[KDHT_SEEDS_MAX];
};

/* What the module's own requests led to, by the names of "kdht stat" */
struct kdht_discovered {
	u64 requests_out[KDHT_KIND_FAULT];
	u64 replies_in[KDHT_KIND_FAULT];
	u64 datagrams_out;
	u64 bytes_out;
	u64 timeouts;
	u64 contacts_unreachable;
	u64 outages;
	u64 failures_forgiven;
	u64 refreshes;
};

/**
 * struct kdht_discovery - a node's routing by the module
 * @lock: guards all below; taken after kdht_lock
 * @instance: the node
 * @net: its namespace; only while @is_on
 * @memcg: the daemon's: what is allocated for the node is on its account
 * @work: does what is due
 * @is_on: the table is the module's; softirq reads it
 * @socks: what requests leave by, for each family; NULL: none
 * @alpha: requests of one lookup in flight
 * @b: for the buckets
 * @caps: for IP groups, as far as the daemon says
 * @do_caps_private: private addresses count in a keyed network, too
 * @refresh_s: seconds after which a range is refreshed; 0: never
 * @buckets: the routing tables
 * @requests: in flight
 * @searches: lookups under way, each in any place
 * @search_number: of the last lookup that was begun
 * @join: how far it has come
 * @join_number: of the last join that was begun
 * @heard: messages that came in so far
 * @probe_at_ns: when contacts are looked over
 * @refresh_at_ns: when ranges are
 * @silence_rounds: how often witnesses were asked since nothing comes in; 0: all is well
 * @silence_at_ns: when the next are asked
 * @silence_heard: messages that had come in when it began
 * @verify_before_s: after an outage: good contacts not heard of since then are asked; 0: none
 * @counts: what it counted
 * @learned_count: of @learned
 * @learned: who answered for the first time, to be told of
 */
struct kdht_discovery {
	struct mutex lock;
	struct kdht_instance *instance;
	struct net *net;
	struct mem_cgroup *memcg;
	struct delayed_work work;
	bool is_on;
	struct sock *socks[KDHT_FAMILY_COUNT];
	u8 alpha;
	u8 b;
	struct kdht_caps caps;
	bool do_caps_private;
	u32 refresh_s;
	struct kdht_buckets buckets[KDHT_FAMILY_COUNT];
	struct kdht_requests requests;
	struct kdht_search *searches[KDHT_SEARCHES_MAX];
	u32 search_number;
	struct kdht_join join;
	u32 join_number;
	u64 heard;
	u64 probe_at_ns;
	u64 refresh_at_ns;
	u8 silence_rounds;
	u64 silence_at_ns;
	u64 silence_heard;
	u32 verify_before_s;
	struct kdht_discovered counts;
	u8 learned_count;
	struct kdht_contact learned[KDHT_LEARNED_MAX];
};

struct kdht_discovery *kdht_discovery_new(struct kdht_instance *instance, struct net *net);
void kdht_discovery_close(struct kdht_discovery *discovery);
void kdht_discovery_free(struct kdht_discovery *discovery);
void kdht_discovery_switch(struct kdht_discovery *discovery, bool is_on);
void kdht_discovery_sockets(struct kdht_discovery *discovery);
void kdht_discovery_settle(struct kdht_discovery *discovery);
bool kdht_discovery_reply(struct kdht_discovery *discovery, const struct kdht_head *head,
			  const struct kdht_endpoint *peer, struct sk_buff *skb, u64 now_ns);
void kdht_discovery_sighted(struct kdht_discovery *discovery,
			    const struct kdht_contact *contacts, u16 count);

/* Requests and their answers (ask.c); all below under the lock */
enum kdht_family kdht_family_of(const struct kdht_endpoint *endpoint);
bool kdht_discovery_ask(struct kdht_discovery *discovery, const struct kdht_request *intent,
			const struct kdht_id *target);
void kdht_discovery_probe(struct kdht_discovery *discovery, const struct kdht_contact *contact);
void kdht_discovery_answered(struct kdht_discovery *discovery, const struct kdht_id *id,
			     const struct kdht_endpoint *endpoint, const struct kdht_told *told,
			     u64 now_ns);
void kdht_discovery_failed(struct kdht_discovery *discovery, const struct kdht_id *id,
			   const struct kdht_endpoint *endpoint, u64 sent_ns);
void kdht_discovery_good(struct kdht_discovery *discovery, const struct kdht_id *target, u8 k,
			 const struct kdht_id *but, struct kdht_contact *out, u8 *count);

void kdht_discovery_follow(struct kdht_discovery *discovery, const struct kdht_advice *advice);
void kdht_discovery_tell_learned(struct kdht_discovery *discovery);
void kdht_discovery_handle_requests(struct kdht_discovery *discovery);

/* Lookups (search.c) */
bool kdht_search_begin(struct kdht_discovery *discovery, const struct kdht_id *target,
		       u8 audience);
void kdht_search_answered(struct kdht_discovery *discovery, const struct kdht_request *request,
			  const struct kdht_contact *contacts, u8 count);
void kdht_search_slow(struct kdht_discovery *discovery, const struct kdht_request *request);
void kdht_search_failed(struct kdht_discovery *discovery, const struct kdht_request *request);
unsigned int kdht_search_count(const struct kdht_discovery *discovery, u8 audience);
void kdht_search_end_all(struct kdht_discovery *discovery);
void kdht_search_end_join(struct kdht_discovery *discovery);
u8 kdht_part_bits(const struct kdht_discovery *discovery);

/* Joining (join.c) */
int kdht_join_begin(struct kdht_discovery *discovery, const struct kdht_endpoint *seeds,
		    u16 count);
void kdht_join_continue(struct kdht_discovery *discovery, u64 now_ns);
void kdht_join_seed_answered(struct kdht_discovery *discovery, u32 number,
			     const struct kdht_contact *contact);
void kdht_join_seed_failed(struct kdht_discovery *discovery, u32 number);
void kdht_join_search_ended(struct kdht_discovery *discovery, bool is_found);
void kdht_join_forget(struct kdht_discovery *discovery);

/* What a node does by itself (upkeep.c) */
void kdht_upkeep_plan_refresh(struct kdht_discovery *discovery, u64 now_ns);
void kdht_upkeep_look_over_soon(struct kdht_discovery *discovery, u64 now_ns);
bool kdht_upkeep_is_own_outage(struct kdht_discovery *discovery,
			       const struct kdht_request *request, u64 now_ns);
void kdht_upkeep_continue(struct kdht_discovery *discovery, u64 now_ns);
u64 kdht_upkeep_next(const struct kdht_discovery *discovery);

#endif /* KDHT_DISCOVERY_H */
