// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Reads records and hands each to the operation that the command line names */
#include <endian.h>
#include <string.h>

#include "harness.h"

static const struct operation {
	const char *name;
	void (*handle)(const u8 *record, size_t len);
} operations[] = {
	{ "answer", do_answer },
	{ "buckets", do_buckets },
	{ "closest", do_closest },
	{ "cookie", do_cookie },
	{ "endpoint", do_endpoint },
	{ "filter", do_filter },
	{ "lookup", do_lookup },
	{ "mac", do_mac },
	{ "parse", do_parse },
	{ "refusals", do_refusals },
	{ "throttle", do_throttle },
};

int main(int argc, char **argv)
{
	const struct operation *operation = NULL;
	__le32 len;
	size_t i;

	for (i = 0; argc == 2 && i < sizeof(operations) / sizeof(operations[0]); i++)
		if (!strcmp(argv[1], operations[i].name))
			operation = &operations[i];
	if (!operation) {
		fprintf(stderr, "usage: harness OPERATION\n");
		return 2;
	}
	while (fread(&len, sizeof(len), 1, stdin) == 1) {
		/* Of just this length, so that a byte read past the end is found */
		u8 *record = malloc(le32toh(len));

		if (fread(record, 1, le32toh(len), stdin) != le32toh(len)) {
			fprintf(stderr, "the last record ends too early\n");
			return 2;
		}
		operation->handle(record, le32toh(len));
		free(record);
	}
	return 0;
}
