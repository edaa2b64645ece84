// SPDX-License-Identifier: GPL-2.0
/*
 * A daemon hands over UDP sockets of its own, as for GTP and L2TP: what the module does not
 * take goes on to the daemon. A node begins with its first socket and ends with its last, so
 * that nothing is left behind when a daemon dies.
 */
#include <linux/module.h>
#include <linux/net.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/udp.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

#include "attach.h"
#include "receive.h"

/* Any value but zero makes UDP look at encap_rcv; no other protocol compares it with ours */
#define ENCAP_TYPE	1

/* The nodes of one namespace; under kdht_lock */
struct kdht_net {
	struct list_head instances;
	u16 instance_count;
};

DEFINE_MUTEX(kdht_lock);
static unsigned int kdht_net_id;
static struct workqueue_struct *release_queue;

/**
 * kdht_instances() - the nodes of one namespace
 * @net: the namespace
 *
 * Context: process; holds kdht_lock.
 * Return: a list of struct kdht_instance.
 */
struct list_head *kdht_instances(struct net *net)
{
	struct kdht_net *of = net_generic(net, kdht_net_id);

	return &of->instances;
}

/**
 * kdht_instance_find() - the node with this id
 * @net: its namespace
 * @id: its id
 *
 * Context: process; holds kdht_lock.
 * Return: the node, or NULL.
 */
struct kdht_instance *kdht_instance_find(struct net *net, const struct kdht_id *id)
{
	struct kdht_instance *instance;

	lockdep_assert_held(&kdht_lock);
	list_for_each_entry(instance, kdht_instances(net), list)
		if (!memcmp(&instance->node.id, id, sizeof(*id)))
			return instance;
	return NULL;
}

static void free_config(struct rcu_head *rcu)
{
	kfree_sensitive(container_of(rcu, struct kdht_config, rcu));
}

/**
 * kdht_config_replace() - let a node go by another configuration from now on
 * @instance: the node
 * @config: made by kmalloc(); the node's from now on
 *
 * Context: process; holds kdht_lock.
 */
void kdht_config_replace(struct kdht_instance *instance, struct kdht_config *config)
{
	struct kdht_config *old;

	old = rcu_replace_pointer(instance->config, config, lockdep_is_held(&kdht_lock));
	if (old)
		call_rcu(&old->rcu, free_config);
}

static void instance_free(struct kdht_instance *instance)
{
	int family;

	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		kdht_table_free(&instance->node.tables[family]);
	kdht_throttle_free(&instance->node.throttle);
	kdht_values_free(&instance->node.values);
	kdht_filter_free(rcu_dereference_protected(instance->node.filter, true));
	kdht_sighted_free(instance->sighted);
	kdht_discovery_free(instance->discovery);
	free_percpu(instance->stats);
	kfree_sensitive(rcu_dereference_protected(instance->config, true));
	kfree_sensitive(instance);
}

/* A node without sockets, which answers nothing before it is told to */
static struct kdht_instance *instance_new(struct net *net, const struct kdht_id *id,
					  u32 throttle_slots)
{
	struct kdht_instance *instance = kzalloc(sizeof(*instance), GFP_KERNEL_ACCOUNT);
	struct kdht_config *config;
	siphash_key_t key;
	int err = -ENOMEM;
	int family;

	if (!instance)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&instance->sockets);
	refcount_set(&instance->refs, 1);
	instance->node.id = *id;
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		kdht_table_init(&instance->node.tables[family], id);
	get_random_bytes(&key, sizeof(key));
	kdht_cookies_init(&instance->node.cookies, &key, ktime_get_ns());
	get_random_bytes(&key, sizeof(key));
	kdht_values_init(&instance->node.values, &key);
	instance->stats = kdht_stats_alloc();
	instance->discovery = kdht_discovery_new(instance, net);
	instance->sighted = kdht_sighted_new(net, id, instance->discovery);
	config = kzalloc(sizeof(*config), GFP_KERNEL_ACCOUNT);
	RCU_INIT_POINTER(instance->config, config);
	if (!instance->stats || !instance->discovery || !instance->sighted || !config)
		goto free;
	config->k = KDHT_K_DEFAULT;
	config->value_len_max = KDHT_VALUE_LEN_MAX_DEFAULT;
	get_random_bytes(&key, sizeof(key));
	err = kdht_throttle_init(&instance->node.throttle, &key, throttle_slots);
	if (err)
		goto free;
	kdht_throttle_set_allowance(&instance->node.throttle, KDHT_THROTTLE_RATE_DEFAULT,
				    KDHT_THROTTLE_BURST_DEFAULT);
	return instance;

free:
	instance_free(instance);
	return ERR_PTR(err);
}

static void instance_put(struct kdht_instance *instance)
{
	if (refcount_dec_and_test(&instance->refs))
		instance_free(instance);
}

/* No datagram is being judged for the socket any more: the module may go, as far as it goes */
static void socket_release(struct work_struct *work)
{
	struct kdht_socket *socket = container_of(to_rcu_work(work), struct kdht_socket, release);

	sock_put(socket->sk);
	instance_put(socket->instance);
	kfree(socket);
	module_put(THIS_MODULE);
}

/*
 * Takes the module's hands off a socket; under kdht_lock. One that is being closed is left to
 * socket_destroyed(), which may be on its way here: unless @is_closer, which it is itself, or the
 * owner had the socket forget its encapsulation, so that nobody calls it
 */
static void detach(struct kdht_socket *socket, bool is_closer)
{
	struct kdht_instance *instance = socket->instance;
	struct sock *sk = socket->sk;

	lock_sock(sk);
	if (!is_closer && sock_flag(sk, SOCK_DEAD) && udp_sk(sk)->encap_type) {
		release_sock(sk);
		return;
	}
	udp_sk(sk)->encap_type = 0;
	WRITE_ONCE(udp_sk(sk)->encap_rcv, NULL);
	udp_sk(sk)->encap_destroy = NULL;
	inet_dec_convert_csum(sk);
	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_sk_user_data(sk, NULL);
	write_unlock_bh(&sk->sk_callback_lock);
	release_sock(sk);

	list_del(&socket->list);
	instance->socket_count--;
	kdht_discovery_sockets(instance->discovery);
	if (!instance->socket_count) {
		struct kdht_net *of = net_generic(sock_net(sk), kdht_net_id);

		list_del(&instance->list);
		of->instance_count--;
		/* While the socket still holds the namespace */
		kdht_sighted_close(instance->sighted);
		kdht_discovery_close(instance->discovery);
	}
	queue_rcu_work(release_queue, &socket->release);
}

/* The daemon closed its socket, or died */
static void socket_destroyed(struct sock *sk)
{
	struct kdht_socket *socket;

	mutex_lock(&kdht_lock);
	socket = rcu_dereference_protected(__sk_user_data(sk), lockdep_is_held(&kdht_lock));
	if (socket)
		detach(socket, true);
	mutex_unlock(&kdht_lock);
}

/* Sockets that were closed unnoticed, since their owner had them forget their encapsulation */
static void detach_dead(struct net *net)
{
	struct kdht_instance *instance, *next_instance;
	struct kdht_socket *socket, *next;

	list_for_each_entry_safe(instance, next_instance, kdht_instances(net), list) {
		refcount_inc(&instance->refs);
		list_for_each_entry_safe(socket, next, &instance->sockets, list)
			if (sock_flag(socket->sk, SOCK_DEAD))
				detach(socket, false);
		instance_put(instance);
	}
}

static int check_socket(struct net *net, const struct socket *sock)
{
	const struct sock *sk = sock->sk;

	if (sk->sk_family != AF_INET && sk->sk_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (sk->sk_type != SOCK_DGRAM || sk->sk_protocol != IPPROTO_UDP)
		return -EPROTONOSUPPORT;
	/* Whoever may control one namespace has no say in another */
	if (!net_eq(sock_net(sk), net))
		return -EXDEV;
	return 0;
}

/**
 * kdht_attach() - let a node answer on a socket
 * @net: the namespace of both
 * @id: the node's id; the first socket of a node begins it
 * @sock: a UDP socket of the daemon
 * @throttle_slots: sources that a new node remembers
 *
 * Context: process; may sleep. Holds kdht_lock, takes the socket's lock.
 * Return: 0, -EAFNOSUPPORT or -EPROTONOSUPPORT for a socket of another kind, -EXDEV for one of
 * another namespace, -EBUSY if somebody has it already, -ENOSPC at KDHT_NODES_MAX or
 * KDHT_SOCKETS_MAX, -EINVAL for too many slots, -ENODEV if the module is about to go, or -ENOMEM.
 */
int kdht_attach(struct net *net, const struct kdht_id *id, struct socket *sock,
		u32 throttle_slots)
{
	struct udp_tunnel_sock_cfg tunnel = {
		.encap_type = ENCAP_TYPE,
		.encap_rcv = kdht_receive,
		.encap_destroy = socket_destroyed,
	};
	struct kdht_net *of = net_generic(net, kdht_net_id);
	struct kdht_instance *instance;
	struct kdht_socket *socket;
	bool is_new = false;
	int err;

	lockdep_assert_held(&kdht_lock);
	err = check_socket(net, sock);
	if (err)
		return err;
	detach_dead(net);
	/* A command of the family does not keep the module from going */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	socket = kzalloc(sizeof(*socket), GFP_KERNEL_ACCOUNT);
	if (!socket) {
		err = -ENOMEM;
		goto put_module;
	}
	instance = kdht_instance_find(net, id);
	err = -ENOSPC;
	if (instance) {
		if (instance->socket_count >= KDHT_SOCKETS_MAX)
			goto free_socket;
		refcount_inc(&instance->refs);
	} else {
		if (of->instance_count >= KDHT_NODES_MAX)
			goto free_socket;
		instance = instance_new(net, id, throttle_slots);
		err = PTR_ERR_OR_ZERO(instance);
		if (err)
			goto free_socket;
		is_new = true;
	}
	socket->instance = instance;
	socket->sk = sock->sk;
	INIT_RCU_WORK(&socket->release, socket_release);

	lock_sock(sock->sk);
	/* Arrays of sockets, which BPF has, claim it under this lock alone */
	write_lock_bh(&sock->sk->sk_callback_lock);
	err = -EBUSY;
	if (!__sk_user_data(sock->sk) && !udp_sk(sock->sk)->encap_type) {
		rcu_assign_sk_user_data(sock->sk, socket);
		err = 0;
	}
	write_unlock_bh(&sock->sk->sk_callback_lock);
	if (!err) {
		tunnel.sk_user_data = socket;
		setup_udp_tunnel_sock(net, sock, &tunnel);
		/* It is there until it is detached, whatever its owner does */
		sock_hold(sock->sk);
	}
	release_sock(sock->sk);
	if (err)
		goto put_instance;

	list_add_tail(&socket->list, &instance->sockets);
	instance->socket_count++;
	kdht_discovery_sockets(instance->discovery);
	if (is_new) {
		list_add_tail(&instance->list, &of->instances);
		of->instance_count++;
	}
	return 0;

put_instance:
	instance_put(instance);
free_socket:
	kfree(socket);
put_module:
	module_put(THIS_MODULE);
	return err;
}

/**
 * kdht_detach() - leave a socket to its daemon alone
 * @net: the namespace of the caller
 * @sock: the socket
 *
 * Context: process; may sleep. Holds kdht_lock, takes the socket's lock.
 * Return: 0, or -ENOENT if it is not attached in this namespace.
 */
int kdht_detach(struct net *net, struct socket *sock)
{
	lockdep_assert_held(&kdht_lock);
	if (check_socket(net, sock) || udp_sk(sock->sk)->encap_destroy != socket_destroyed)
		return -ENOENT;
	detach(rcu_dereference_protected(__sk_user_data(sock->sk),
					 lockdep_is_held(&kdht_lock)), false);
	return 0;
}

/**
 * kdht_detach_all() - leave all sockets of a node to its daemon alone, which ends the node
 * @instance: the node, which may be gone afterwards
 *
 * Context: process; may sleep. Holds kdht_lock, takes the sockets' locks.
 */
void kdht_detach_all(struct kdht_instance *instance)
{
	struct kdht_socket *socket, *next;

	lockdep_assert_held(&kdht_lock);
	/* Its list is looked at after the last one is gone */
	refcount_inc(&instance->refs);
	list_for_each_entry_safe(socket, next, &instance->sockets, list)
		detach(socket, false);
	instance_put(instance);
}

static int __net_init kdht_net_init(struct net *net)
{
	INIT_LIST_HEAD(kdht_instances(net));
	return 0;
}

/* Sockets hold their namespace, so none is left when it goes */
static void __net_exit kdht_net_exit(struct net *net)
{
	WARN_ON_ONCE(!list_empty(kdht_instances(net)));
}

static struct pernet_operations kdht_net_ops = {
	.init = kdht_net_init,
	.exit = kdht_net_exit,
	.id = &kdht_net_id,
	.size = sizeof(struct kdht_net),
};

int __init kdht_attach_init(void)
{
	int err;

	release_queue = alloc_workqueue("kdht", 0, 0);
	if (!release_queue)
		return -ENOMEM;
	err = register_pernet_subsys(&kdht_net_ops);
	if (err)
		destroy_workqueue(release_queue);
	return err;
}

/* No socket is attached, else the module were in use; what was detached is still to be freed */
void kdht_attach_exit(void)
{
	/* First whatever waits for a grace period, which queues work; then that work */
	rcu_barrier();
	destroy_workqueue(release_queue);
	unregister_pernet_subsys(&kdht_net_ops);
	/* What that work gave to call_rcu() */
	rcu_barrier();
}
