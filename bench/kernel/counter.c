// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A plugin of the emulator that counts the instructions its guest runs between marks, by where
 * they stand: of the client, of other programs, and of the kernel by blocks. A mark is the
 * instruction "xchg %bx, %bx" of 66 87 db, which no compiler makes. Every other one begins a
 * count and the next ends it, and then the counts are appended to a file:
 *
 *	count N
 *	ADDRESS COUNT		address in hexadecimal: of the first instruction of a block;
 *				0 for programs, 1 for the client
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the emulator's interface, whose header Debian has no package of: what is needed here */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
typedef void (*translated_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *block);
typedef void (*ran_t)(unsigned int cpu, void *data);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated_t callback);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block,
							size_t index);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, ran_t callback,
						   int flags, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int add,
						       void *counter, uint64_t by);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* The client is linked to stand below this address, and all other programs above it */
#define CLIENT_END	0x10000000ull
#define PROGRAMS	0ull
#define CLIENT		1ull

/* Blocks that are told apart; a guest that runs through all of its kernel has fewer */
#define PLACES		(1u << 20)

struct place {
	uint64_t address;
	uint64_t count;
	uint64_t at_begin;
};

static struct place *places[PLACES];
static unsigned int place_count;
static bool is_counting;
static unsigned int counts_done;
static FILE *out;

static struct place *place_of(uint64_t address)
{
	uint32_t at = (address * 0x9e3779b97f4a7c15ull) >> 44;

	while (places[at] && places[at]->address != address)
		at = (at + 1) % PLACES;
	if (places[at])
		return places[at];
	if (++place_count > PLACES / 2) {
		fprintf(stderr, "counter: more than %u blocks\n", PLACES / 2);
		exit(1);
	}
	places[at] = calloc(1, sizeof(*places[at]));
	if (!places[at]) {
		fprintf(stderr, "counter: no memory\n");
		exit(1);
	}
	places[at]->address = address;
	return places[at];
}

static void begin(void)
{
	for (unsigned int i = 0; i < PLACES; i++)
		if (places[i])
			places[i]->at_begin = places[i]->count;
}

static void end(void)
{
	fprintf(out, "count %u\n", counts_done++);
	for (unsigned int i = 0; i < PLACES; i++)
		if (places[i] && places[i]->count != places[i]->at_begin)
			fprintf(out, "%" PRIx64 " %" PRIu64 "\n", places[i]->address,
				places[i]->count - places[i]->at_begin);
	fflush(out);
}

static void marked(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	is_counting = !is_counting;
	if (is_counting)
		begin();
	else
		end();
}

static bool is_mark(const struct qemu_plugin_insn *insn)
{
	return qemu_plugin_insn_size(insn) == 3 &&
	       !memcmp(qemu_plugin_insn_data(insn), "\x66\x87\xdb", 3);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
	uint64_t address = qemu_plugin_tb_vaddr(block);
	size_t count = qemu_plugin_tb_n_insns(block);
	struct place *place;

	(void)id;
	if (!(address >> 63))
		address = address < CLIENT_END ? CLIENT : PROGRAMS;
	place = place_of(address);
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);

		/* Each by itself: a fault may end a block early */
		qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &place->count, 1);
		if (is_mark(insn))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, 0, NULL);
	}
}

__attribute__((visibility("default")))
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	const char *path = NULL;

	(void)info;
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			path = argv[i] + 4;
	out = path ? fopen(path, "w") : NULL;
	if (!out) {
		fprintf(stderr, "counter: wants out=FILE, which can be written\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
