/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Why a datagram, or the request in it, was not served. */
#ifndef KDHT_REFUSAL_H
#define KDHT_REFUSAL_H

/*
 * The names are those of "kdht stat", their order that of Refusal::NAMED in
 * engine/core/src/counters.rs; those of which the module has no use are the engine's.
 */
#define KDHT_REFUSALS(X)						\
	X(SHORT, "short")						\
	X(OVERSIZE, "oversize")						\
	X(MAGIC, "magic")						\
	X(VERSION, "version")						\
	X(RESERVED, "reserved")						\
	X(LENGTH, "length")						\
	X(KIND, "kind")							\
	X(FAULT_FORM, "fault_form")					\
	X(BODY, "body")							\
	X(ITEMS, "items")						\
	X(FILTER, "filter")						\
	X(VALUE, "value")						\
	X(EXTENSION, "extension")					\
	X(MAC_MISSING, "mac_missing")					\
	X(MAC_UNEXPECTED, "mac_unexpected")				\
	X(MAC_KEY, "mac_key")						\
	X(MAC_WRONG, "mac_wrong")					\
	X(STALE, "stale")						\
	X(THROTTLED, "throttled")					\
	X(COOKIE, "cookie")						\
	X(UNMATCHED, "unmatched")					\
	X(OWN_ID, "own_id")						\
	X(CLIENT, "client")						\
	X(FORWARD, "forward")						\
	X(BUSY, "busy")							\
	X(RECURSE, "recurse")						\
	X(OUTBOX, "outbox")						\
	X(DRAINING, "draining")						\
	X(TOO_LONG, "too_long")						\
	X(HASH, "hash")							\
	X(SIGNATURE, "signature")					\
	X(SEQUENCE, "sequence")						\
	X(CAS, "cas")							\
	X(PLAIN, "plain")						\
	X(KEY_FULL, "key_full")						\
	X(SOURCE_FULL, "source_full")					\
	X(FULL, "full")							\
	X(EXPIRED, "expired")

#define KDHT_REFUSAL_NUMBER(name, text) KDHT_REFUSED_##name,
enum kdht_refusal {
	KDHT_REFUSALS(KDHT_REFUSAL_NUMBER)
	KDHT_REFUSAL_COUNT,
	/* Nothing was refused */
	KDHT_REFUSED_NOT = KDHT_REFUSAL_COUNT,
};
#undef KDHT_REFUSAL_NUMBER

#endif /* KDHT_REFUSAL_H */
