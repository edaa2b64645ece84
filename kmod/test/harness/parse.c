// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Record: a datagram. Line: the verdict, and of a sound one what was found in it */
#include "../../wire.h"
#include "harness.h"

static const char *const names[] = {
	[KDHT_PARSE_OK] = "ok",
	[KDHT_PARSE_SHORT] = "Short",
	[KDHT_PARSE_OVERSIZE] = "Oversize",
	[KDHT_PARSE_MAGIC] = "Magic",
	[KDHT_PARSE_VERSION] = "Version",
	[KDHT_PARSE_RESERVED] = "Reserved",
	[KDHT_PARSE_LENGTH] = "Length",
	[KDHT_PARSE_KIND] = "Kind",
	[KDHT_PARSE_FAULT_REQUEST] = "FaultRequest",
	[KDHT_PARSE_FAULT_CODE] = "FaultCode",
	[KDHT_PARSE_BODY] = "Body",
	[KDHT_PARSE_ITEMS] = "Items",
	[KDHT_PARSE_FILTER] = "Filter",
	[KDHT_PARSE_VALUE_KIND] = "ValueKind",
	[KDHT_PARSE_VALUE_LENGTH] = "ValueLength",
	[KDHT_PARSE_STORE] = "Store",
	[KDHT_PARSE_EXTENSION] = "Extension",
	[KDHT_PARSE_EXTENSION_COUNT] = "ExtensionCount",
	[KDHT_PARSE_PADDING] = "Padding",
};

void do_parse(const u8 *record, size_t len)
{
	struct kdht_message message;
	enum kdht_parse verdict = kdht_parse(record, len, &message);
	u32 hops;

	if (verdict) {
		printf("%s\n", names[verdict]);
		return;
	}
	hops = message.forward ? message.forward->hops : 255;
	printf("ok kind %u items %u len %zu extensions %u hops %u mac %d\n", message.head->kind,
	       message.items_count, message.items_len, message.extensions_count, hops,
	       message.mac != NULL);
}
