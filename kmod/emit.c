// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Each step either fits whole or leaves the message as it was and says so. */
#include <linux/minmax.h>
#include <linux/string.h>

#include "emit.h"

/**
 * kdht_emit_begin() - begin a datagram
 * @emit: to be filled in
 * @head: its head, without what kdht_emit_finish() knows better
 * @key: makes the MAC, whose bytes are set aside; NULL in an open network
 * @buf: at least @len_max bytes
 * @len_max: bytes that it may have; never over KDHT_DATAGRAM_LEN_MAX
 *
 * Return: whether the head fits.
 */
bool kdht_emit_begin(struct kdht_emit *emit, const struct kdht_head *head,
		     const struct kdht_network_key *key, void *buf, size_t len_max)
{
	size_t mac_len = key ? KDHT_MAC_LEN : 0;
	u16 flags = kdht_flags(head) & ~KDHT_FLAG_KEYED;

	if (len_max > KDHT_DATAGRAM_LEN_MAX)
		len_max = KDHT_DATAGRAM_LEN_MAX;
	if (len_max < sizeof(*head) + mac_len)
		return false;
	emit->head = *head;
	emit->head.flags = cpu_to_le16(key ? flags | KDHT_FLAG_KEYED : flags);
	emit->head.key_id = key ? key->id : 0;
	emit->buf = buf;
	emit->len = sizeof(*head);
	emit->limit = len_max - mac_len;
	emit->key = key;
	return true;
}

/**
 * kdht_emit_record() - add a value's record to a reply and count it in the head
 * @emit: the message
 * @record: the record, whole
 * @len: its bytes
 * @age_s: seconds that its remaining_s is old
 *
 * Return: whether it fitted.
 */
bool kdht_emit_record(struct kdht_emit *emit, const struct kdht_record *record, size_t len,
		      u32 age_s)
{
	struct kdht_record *head = (struct kdht_record *)(emit->buf + emit->len);

	if (emit->head.arg == 255 || !kdht_emit_body(emit, record, len))
		return false;
	/* Its age is of a finer clock than the one by which it had not expired */
	head->remaining_s = cpu_to_le32(le32_to_cpu(record->remaining_s) -
					min(le32_to_cpu(record->remaining_s), age_s));
	emit->head.arg++;
	return true;
}

/**
 * kdht_emit_pad_to() - add padding, so that the whole message has at least so many bytes
 * @emit: a message without extensions so far
 * @total: bytes wanted, MAC included; or as many as the limit allows
 */
void kdht_emit_pad_to(struct kdht_emit *emit, size_t total)
{
	size_t len = emit->len + (emit->key ? KDHT_MAC_LEN : 0);
	size_t room = emit->limit - emit->len;
	struct kdht_ext padding = { .kind = cpu_to_le16(KDHT_EXT_PADDING) };
	size_t zeros;

	if (len >= total || room < sizeof(padding))
		return;
	zeros = clamp_t(size_t, total - len, sizeof(padding), room) - sizeof(padding);
	padding.len = cpu_to_le16(zeros);
	kdht_emit_body(emit, &padding, sizeof(padding));
	memset(emit->buf + emit->len, 0, zeros);
	emit->len += zeros;
}

/**
 * kdht_emit_finish() - write the head and the MAC
 * @emit: the message
 *
 * Return: its length in bytes.
 */
size_t kdht_emit_finish(struct kdht_emit *emit)
{
	emit->head.body_len = cpu_to_le32(emit->len - sizeof(emit->head));
	memcpy(emit->buf, &emit->head, sizeof(emit->head));
	if (emit->key) {
		__le64 mac = kdht_mac(emit->key, emit->buf, emit->len);

		memcpy(emit->buf + emit->len, &mac, sizeof(mac));
		emit->len += sizeof(mac);
	}
	return emit->len;
}
