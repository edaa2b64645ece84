/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* From parts to bytes, in the caller's buffer, as wire/src/emit.rs does it. */
#ifndef KDHT_EMIT_H
#define KDHT_EMIT_H

#include <linux/string.h>
#include <linux/types.h>

#include "mac.h"
#include "wire.h"

/**
 * struct kdht_emit - one message, written front to back
 * @head: to be changed until kdht_emit_finish() writes it
 * @buf: where it goes
 * @len: bytes written so far
 * @limit: where the body must end
 * @key: makes the MAC; NULL in an open network
 */
struct kdht_emit {
	struct kdht_head head;
	u8 *buf;
	size_t len;
	size_t limit;
	const struct kdht_network_key *key;
};

bool kdht_emit_begin(struct kdht_emit *emit, const struct kdht_head *head,
		     const struct kdht_network_key *key, void *buf, size_t len_max);
bool kdht_emit_record(struct kdht_emit *emit, const struct kdht_record *record, size_t len,
		      u32 age_s);
void kdht_emit_pad_to(struct kdht_emit *emit, size_t total);
size_t kdht_emit_finish(struct kdht_emit *emit);

/* A head of version 1 with all else zero */
static inline void kdht_head_init(struct kdht_head *head, u8 kind, u16 flags)
{
	memset(head, 0, sizeof(*head));
	head->magic[0] = KDHT_MAGIC_0;
	head->magic[1] = KDHT_MAGIC_1;
	head->version = KDHT_VERSION;
	head->kind = kind;
	head->flags = cpu_to_le16(flags);
}

/* Bytes of the MAC behind a body, if there is one */
static inline size_t kdht_mac_len(const struct kdht_ring *ring)
{
	return ring->count ? KDHT_MAC_LEN : 0;
}

/* The key that signs; NULL in an open network */
static inline const struct kdht_network_key *kdht_signing(const struct kdht_ring *ring)
{
	return ring->count ? &ring->keys[0] : NULL;
}

/**
 * kdht_emit_body() - add a kind's fixed part
 * @emit: the message
 * @body: the part
 * @len: its bytes
 *
 * Return: whether it fitted.
 */
static inline bool kdht_emit_body(struct kdht_emit *emit, const void *body, size_t len)
{
	if (emit->limit - emit->len < len)
		return false;
	memcpy(emit->buf + emit->len, body, len);
	emit->len += len;
	return true;
}

/**
 * kdht_emit_contacts() - add contacts and count them in the head
 * @emit: the message
 * @contacts: contacts side by side
 * @count: how many; no message holds over 255
 *
 * Return: whether all fitted; if not, none is there.
 */
static inline bool kdht_emit_contacts(struct kdht_emit *emit,
				      const struct kdht_contact *contacts, u8 count)
{
	if (!kdht_emit_body(emit, contacts, count * sizeof(*contacts)))
		return false;
	emit->head.arg += count;
	return true;
}

#endif /* KDHT_EMIT_H */
