// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The parser: the same checks in the same order as Message::parse() in wire/src/parse.rs.
 */
#include <linux/limits.h>
#include <linux/string.h>

#include "wire.h"

/* What is left to read of a body */
struct cursor {
	const u8 *at;
	size_t left;
};

/* Steps over @len bytes and returns where they begin, or NULL if there are fewer */
static const void *take(struct cursor *cursor, size_t len)
{
	const u8 *at = cursor->at;

	if (cursor->left < len)
		return NULL;
	cursor->at += len;
	cursor->left -= len;
	return at;
}

/* Steps over one value record (section 6); *@is_announced says whether its bytes are elsewhere */
static enum kdht_parse take_record(struct cursor *cursor, bool *is_announced)
{
	const struct kdht_record *record = take(cursor, sizeof(*record));
	size_t tail_len;
	u32 value_len;

	if (!record)
		return KDHT_PARSE_ITEMS;
	if (record->flags & KDHT_RECORD_RESERVED_ZERO)
		return KDHT_PARSE_RESERVED;
	switch (record->kind) {
	case KDHT_VALUE_IMMUTABLE:
		tail_len = 0;
		break;
	case KDHT_VALUE_SIGNED:
		tail_len = sizeof(struct kdht_signed);
		break;
	case KDHT_VALUE_PLAIN:
		tail_len = sizeof(struct kdht_id);
		break;
	default:
		return KDHT_PARSE_VALUE_KIND;
	}
	if (!take(cursor, tail_len))
		return KDHT_PARSE_ITEMS;
	value_len = le32_to_cpu(record->value_len);
	if (value_len > KDHT_VALUE_LEN_MAX)
		return KDHT_PARSE_VALUE_LENGTH;
	*is_announced = record->flags & KDHT_RECORD_ANNOUNCED;
	if (!*is_announced && !take(cursor, value_len))
		return KDHT_PARSE_ITEMS;
	return KDHT_PARSE_OK;
}

static enum kdht_parse parse_contacts(struct cursor *cursor, struct kdht_message *message)
{
	const struct kdht_contact *contacts;
	u8 count = message->head->arg;
	u8 i;

	message->items_len = count * sizeof(*contacts);
	contacts = take(cursor, message->items_len);
	if (!contacts)
		return KDHT_PARSE_ITEMS;
	for (i = 0; i < count; i++)
		if (le16_to_cpu(contacts[i].flags) & KDHT_CONTACT_FLAGS_RESERVED_ZERO)
			return KDHT_PARSE_RESERVED;
	message->items = contacts;
	message->items_count = count;
	return KDHT_PARSE_OK;
}

static enum kdht_parse parse_records(struct cursor *cursor, struct kdht_message *message)
{
	const struct cursor before = *cursor;
	u8 count = message->head->arg;
	bool is_announced;
	u8 i;

	for (i = 0; i < count; i++) {
		enum kdht_parse verdict = take_record(cursor, &is_announced);

		if (verdict)
			return verdict;
	}
	message->items = before.at;
	message->items_len = before.left - cursor->left;
	message->items_count = count;
	message->has_values = true;
	return KDHT_PARSE_OK;
}

static enum kdht_parse parse_find_value(struct cursor *cursor, struct kdht_message *message)
{
	const struct kdht_find_value *body = take(cursor, sizeof(*body));

	if (!body)
		return KDHT_PARSE_BODY;
	if (body->reserved)
		return KDHT_PARSE_RESERVED;
	if (body->filter > KDHT_FILTER_PLAIN)
		return KDHT_PARSE_FILTER;
	message->body = body;
	return KDHT_PARSE_OK;
}

static enum kdht_parse parse_store(struct cursor *cursor, struct kdht_message *message)
{
	const struct kdht_store *body = take(cursor, sizeof(*body));
	const struct cursor before = *cursor;
	enum kdht_parse verdict;
	bool is_announced;

	if (!body)
		return KDHT_PARSE_BODY;
	verdict = take_record(cursor, &is_announced);
	if (verdict)
		return verdict;
	if (is_announced)
		return KDHT_PARSE_STORE;
	message->body = body;
	message->items = before.at;
	message->items_len = before.left - cursor->left;
	message->items_count = 1;
	message->has_values = true;
	return KDHT_PARSE_OK;
}

static enum kdht_parse parse_request(struct cursor *cursor, struct kdht_message *message)
{
	switch (message->head->kind) {
	case KDHT_KIND_FIND_VALUE:
		return parse_find_value(cursor, message);
	case KDHT_KIND_STORE:
		return parse_store(cursor, message);
	case KDHT_KIND_FAULT:
		return KDHT_PARSE_FAULT_REQUEST;
	default:
		return KDHT_PARSE_OK;
	}
}

static enum kdht_parse parse_reply(struct cursor *cursor, struct kdht_message *message)
{
	const struct kdht_head *head = message->head;
	const struct kdht_reply *reply;

	if (head->kind == KDHT_KIND_FAULT)
		return head->arg >= KDHT_FAULT_VERSION && head->arg <= KDHT_FAULT_RECURSE ?
			KDHT_PARSE_OK : KDHT_PARSE_FAULT_CODE;
	reply = take(cursor, sizeof(*reply));
	if (!reply)
		return KDHT_PARSE_BODY;
	message->body = reply;
	switch (head->kind) {
	case KDHT_KIND_FIND_NODE:
		return parse_contacts(cursor, message);
	case KDHT_KIND_FIND_VALUE:
		return reply->total ? parse_records(cursor, message) :
				      parse_contacts(cursor, message);
	case KDHT_KIND_STORE:
		return head->arg >= KDHT_DURABILITY_MEMORY && head->arg <= KDHT_DURABILITY_DISK ?
			KDHT_PARSE_OK : KDHT_PARSE_STORE;
	default:
		return KDHT_PARSE_OK;
	}
}

static enum kdht_parse parse_extensions(struct cursor *cursor, struct kdht_message *message)
{
	while (cursor->left) {
		const struct kdht_forward *forward;
		const struct kdht_ext *ext;
		const void *data;
		u16 len;

		if (message->extensions_count == KDHT_EXTENSIONS_MAX)
			return KDHT_PARSE_EXTENSION_COUNT;
		message->extensions_count++;
		ext = take(cursor, sizeof(*ext));
		if (!ext)
			return KDHT_PARSE_EXTENSION;
		len = le16_to_cpu(ext->len);
		data = take(cursor, len);
		if (!data)
			return KDHT_PARSE_EXTENSION;
		switch (le16_to_cpu(ext->kind)) {
		case KDHT_EXT_PADDING:
			if (memchr_inv(data, 0, len))
				return KDHT_PARSE_PADDING;
			break;
		case KDHT_EXT_FORWARD:
			forward = data;
			if (len != sizeof(*forward))
				return KDHT_PARSE_EXTENSION;
			if (forward->reserved || forward->hops > KDHT_HOPS_MAX)
				return KDHT_PARSE_RESERVED;
			if (!message->forward)
				message->forward = forward;
			break;
		}
	}
	return KDHT_PARSE_OK;
}

/**
 * kdht_parse_records() - check records that stand by themselves
 * @data: records, one after another
 * @len: their bytes
 * @remaining_s: the shortest life among them
 *
 * Context: any; neither sleeps nor allocates.
 * Return: whether they are whole records, at least one, with rising cursors.
 */
bool kdht_parse_records(const void *data, size_t len, u32 *remaining_s)
{
	struct cursor cursor = { .at = data, .left = len };
	int before = -1;

	*remaining_s = U32_MAX;
	while (cursor.left) {
		const struct kdht_record *record = (const void *)cursor.at;
		bool is_announced;

		if (take_record(&cursor, &is_announced) || le16_to_cpu(record->cursor) <= before)
			return false;
		before = le16_to_cpu(record->cursor);
		if (le32_to_cpu(record->remaining_s) < *remaining_s)
			*remaining_s = le32_to_cpu(record->remaining_s);
	}
	return len;
}

/**
 * kdht_parse() - check one datagram
 * @data: UDP payload, at least @len linear bytes, any alignment
 * @len: payload length in bytes
 * @message: what was found; only to be read if the datagram is sound
 *
 * One pass over the fixed parts and the padding; at most KDHT_EXTENSIONS_MAX extensions and
 * 255 records are stepped over.
 *
 * Context: any; neither sleeps nor allocates.
 * Return: KDHT_PARSE_OK, or the first check of section 10 that failed.
 */
enum kdht_parse kdht_parse(const void *data, size_t len, struct kdht_message *message)
{
	const struct kdht_head *head = data;
	enum kdht_parse verdict;
	struct cursor cursor;
	size_t mac_len;

	if (len > KDHT_DATAGRAM_LEN_MAX)
		return KDHT_PARSE_OVERSIZE;
	if (len < KDHT_OUTLINE_LEN)
		return KDHT_PARSE_SHORT;
	if (head->magic[0] != KDHT_MAGIC_0 || head->magic[1] != KDHT_MAGIC_1)
		return KDHT_PARSE_MAGIC;
	if (head->version < KDHT_VERSION_MIN || head->version > KDHT_VERSION)
		return KDHT_PARSE_VERSION;
	if (len < sizeof(*head))
		return KDHT_PARSE_SHORT;
	mac_len = kdht_flags(head) & KDHT_FLAG_KEYED ? KDHT_MAC_LEN : 0;
	/* Neither side wraps: a body's length is 32 bits, and size_t may be no wider */
	if ((u64)len != (u64)sizeof(*head) + le32_to_cpu(head->body_len) + mac_len)
		return KDHT_PARSE_LENGTH;
	if (kdht_flags(head) & KDHT_FLAGS_RESERVED_ZERO)
		return KDHT_PARSE_RESERVED;
	if (head->kind < KDHT_KIND_PING || head->kind > KDHT_KIND_FAULT)
		return KDHT_PARSE_KIND;

	memset(message, 0, sizeof(*message));
	message->head = head;
	cursor.at = (const u8 *)data + sizeof(*head);
	cursor.left = len - sizeof(*head) - mac_len;
	if (mac_len)
		message->mac = cursor.at + cursor.left;
	verdict = kdht_flags(head) & KDHT_FLAG_REPLY ? parse_reply(&cursor, message) :
						       parse_request(&cursor, message);
	if (verdict)
		return verdict;
	return parse_extensions(&cursor, message);
}
