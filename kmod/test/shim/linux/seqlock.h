/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The harness has one thread, so that a lock has nothing to do */
#ifndef SHIM_LINUX_SEQLOCK_H
#define SHIM_LINUX_SEQLOCK_H

typedef struct {
	int unused;
} seqlock_t;

#define seqlock_init(lock) ((void)(lock))
#define write_seqlock(lock) ((void)(lock))
#define write_sequnlock(lock) ((void)(lock))
#define write_seqlock_bh(lock) ((void)(lock))
#define write_sequnlock_bh(lock) ((void)(lock))
#define read_seqbegin(lock) ((void)(lock), 0U)
#define read_seqretry(lock, sequence) ((void)(lock), (void)(sequence), 0)

#endif
