/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints: what became of each datagram. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kdht

#if !defined(KDHT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KDHT_TRACE_H

#include <linux/tracepoint.h>

#include "kdht_wire.h"
#include "peer.h"
#include "refusal.h"

#define KDHT_TRACE_ENUM(name, text) TRACE_DEFINE_ENUM(KDHT_REFUSED_##name);
KDHT_REFUSALS(KDHT_TRACE_ENUM)
TRACE_DEFINE_ENUM(KDHT_REFUSED_NOT);
#undef KDHT_TRACE_ENUM

#define KDHT_TRACE_SYMBOL(name, text) { KDHT_REFUSED_##name, text },
#define kdht_show_refusal(refusal)					\
	__print_symbolic(refusal, KDHT_REFUSALS(KDHT_TRACE_SYMBOL)	\
			 { KDHT_REFUSED_NOT, "-" })

#define kdht_show_kind(kind)						\
	__print_symbolic(kind, { 0, "-" }, { 1, "ping" }, { 2, "find_node" },	\
			 { 3, "find_value" }, { 4, "store" }, { 5, "fault" })

/* A request was answered; refusal: why by a FAULT */
TRACE_EVENT(kdht_reply,
	TP_PROTO(const struct kdht_endpoint *peer, u8 kind, u8 refusal, u32 len),
	TP_ARGS(peer, kind, refusal, len),
	TP_STRUCT__entry(
		__array(u8, ip, 16)
		__field(u16, port)
		__field(u8, kind)
		__field(u8, refusal)
		__field(u32, len)
	),
	TP_fast_assign(
		memcpy(__entry->ip, peer->ip, 16);
		__entry->port = ntohs(peer->port);
		__entry->kind = kind;
		__entry->refusal = refusal;
		__entry->len = len;
	),
	TP_printk("peer=[%pI6c]:%u kind=%s refusal=%s len=%u", __entry->ip, __entry->port,
		  kdht_show_kind(__entry->kind), kdht_show_refusal(__entry->refusal),
		  __entry->len)
);

/* A request was passed on to a closer node; hops: those that are left to it */
TRACE_EVENT(kdht_forward,
	TP_PROTO(const struct kdht_endpoint *peer, const struct kdht_endpoint *next, u8 kind,
		 u8 hops, u32 len),
	TP_ARGS(peer, next, kind, hops, len),
	TP_STRUCT__entry(
		__array(u8, ip, 16)
		__field(u16, port)
		__array(u8, next_ip, 16)
		__field(u16, next_port)
		__field(u8, kind)
		__field(u8, hops)
		__field(u32, len)
	),
	TP_fast_assign(
		memcpy(__entry->ip, peer->ip, 16);
		__entry->port = ntohs(peer->port);
		memcpy(__entry->next_ip, next->ip, 16);
		__entry->next_port = ntohs(next->port);
		__entry->kind = kind;
		__entry->hops = hops;
		__entry->len = len;
	),
	TP_printk("peer=[%pI6c]:%u next=[%pI6c]:%u kind=%s hops=%u len=%u", __entry->ip,
		  __entry->port, __entry->next_ip, __entry->next_port,
		  kdht_show_kind(__entry->kind), __entry->hops, __entry->len)
);

/* A datagram was left to the daemon */
TRACE_EVENT(kdht_pass,
	TP_PROTO(u32 len),
	TP_ARGS(len),
	TP_STRUCT__entry(
		__field(u32, len)
	),
	TP_fast_assign(
		__entry->len = len;
	),
	TP_printk("len=%u", __entry->len)
);

/* A datagram was dropped without an answer */
TRACE_EVENT(kdht_drop,
	TP_PROTO(const struct kdht_endpoint *peer, u8 refusal, u32 len),
	TP_ARGS(peer, refusal, len),
	TP_STRUCT__entry(
		__array(u8, ip, 16)
		__field(u16, port)
		__field(u8, refusal)
		__field(u32, len)
	),
	TP_fast_assign(
		memcpy(__entry->ip, peer->ip, 16);
		__entry->port = ntohs(peer->port);
		__entry->refusal = refusal;
		__entry->len = len;
	),
	TP_printk("peer=[%pI6c]:%u reason=%s len=%u", __entry->ip, __entry->port,
		  kdht_show_refusal(__entry->refusal), __entry->len)
);

/* A member of the routing table lost its place */
TRACE_EVENT(kdht_evict,
	TP_PROTO(const struct kdht_peer *peer),
	TP_ARGS(peer),
	TP_STRUCT__entry(
		__array(u8, id, KDHT_ID_LEN)
		__array(u8, ip, 16)
		__field(u16, port)
		__field(u8, liveness)
		__field(u8, failures)
	),
	TP_fast_assign(
		memcpy(__entry->id, peer->id.bytes, KDHT_ID_LEN);
		memcpy(__entry->ip, peer->endpoint.ip, 16);
		__entry->port = ntohs(peer->endpoint.port);
		__entry->liveness = kdht_peer_liveness(peer);
		__entry->failures = peer->failures;
	),
	TP_printk("id=%*phN peer=[%pI6c]:%u liveness=%s failures=%u", KDHT_ID_LEN, __entry->id,
		  __entry->ip, __entry->port,
		  __print_symbolic(__entry->liveness, { KDHT_UNVERIFIED, "unverified" },
				   { KDHT_GOOD, "good" }, { KDHT_DOUBTFUL, "doubtful" },
				   { KDHT_STALE, "stale" }),
		  __entry->failures)
);

#endif /* KDHT_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
