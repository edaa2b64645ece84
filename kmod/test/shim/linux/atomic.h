/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The harness has one thread */
#ifndef SHIM_LINUX_ATOMIC_H
#define SHIM_LINUX_ATOMIC_H

typedef struct {
	int counter;
} atomic_t;

#define atomic_read(atomic) ((unsigned int)(atomic)->counter)
#define atomic_set(atomic, value) ((atomic)->counter = (value))
#define atomic_inc(atomic) ((atomic)->counter++)
#define smp_load_acquire(pointer) (*(pointer))
#define smp_store_release(pointer, value) (*(pointer) = (value))

#endif
