/* SPDX-License-Identifier: GPL-2.0 */
/* The nodes of each network namespace, and the sockets they answer on. */
#ifndef KDHT_ATTACH_H
#define KDHT_ATTACH_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "answer.h"
#include "discovery.h"
#include "sighted.h"
#include "stats.h"

/* Most nodes of one network namespace */
#define KDHT_NODES_MAX		256
/* Most sockets of one node: one per shard and family */
#define KDHT_SOCKETS_MAX	510

/* Of a node whose daemon did not say otherwise */
#define KDHT_K_DEFAULT			20
#define KDHT_VALUE_LEN_MAX_DEFAULT	65536
#define KDHT_THROTTLE_SLOTS_DEFAULT	4096
#define KDHT_THROTTLE_RATE_DEFAULT	5000
#define KDHT_THROTTLE_BURST_DEFAULT	10000

/**
 * struct kdht_instance - one node of one namespace; lives as long as a socket is attached
 * @node: what it answers from
 * @config: what the daemon told of it; replaced under kdht_lock
 * @stats: what it counted
 * @sighted: who asked
 * @discovery: its routing, where that is the module's
 * @list: in its namespace's nodes; under kdht_lock
 * @sockets: struct kdht_socket; under kdht_lock
 * @socket_count: how many; under kdht_lock
 * @has_cookie_secret: the daemon's cookies and the module's are the same; under kdht_lock
 * @refs: one for each socket that may still be read
 */
struct kdht_instance {
	struct kdht_node node;
	struct kdht_config __rcu *config;
	struct kdht_stats __percpu *stats;
	struct kdht_sighted *sighted;
	struct kdht_discovery *discovery;
	struct list_head list;
	struct list_head sockets;
	u16 socket_count;
	bool has_cookie_secret;
	refcount_t refs;
};

/**
 * struct kdht_socket - one attached socket; its sk_user_data
 * @instance: whose it is
 * @sk: the socket, which is held
 * @list: in its node's sockets; under kdht_lock
 * @release: frees it, a grace period after it was detached
 */
struct kdht_socket {
	struct kdht_instance *instance;
	struct sock *sk;
	struct list_head list;
	struct rcu_work release;
};

/* Held by whoever changes nodes, sockets or configurations; taken before a socket's lock */
extern struct mutex kdht_lock;

struct list_head *kdht_instances(struct net *net);
struct kdht_instance *kdht_instance_find(struct net *net, const struct kdht_id *id);
int kdht_attach(struct net *net, const struct kdht_id *id, struct socket *sock,
		u32 throttle_slots);
int kdht_detach(struct net *net, struct socket *sock);
void kdht_detach_all(struct kdht_instance *instance);
void kdht_config_replace(struct kdht_instance *instance, struct kdht_config *config);

int kdht_attach_init(void);
void kdht_attach_exit(void);

#endif /* KDHT_ATTACH_H */
