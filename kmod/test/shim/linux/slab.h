/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/slab.h> and <linux/overflow.h> the portable files use */
#ifndef SHIM_LINUX_SLAB_H
#define SHIM_LINUX_SLAB_H

#include <stdlib.h>

#define GFP_ATOMIC 0
#define GFP_KERNEL_ACCOUNT 0
#define __GFP_ACCOUNT 0

#define kmalloc(size, flags) malloc((size) + 0 * (flags))
#define kvmalloc(size, flags) malloc((size) + 0 * (flags))
#define kvcalloc(count, size, flags) calloc((count), (size) + 0 * (flags))
#define kfree(pointer) free(pointer)
#define kvfree(pointer) free(pointer)
#define struct_size(pointer, member, count) \
	(sizeof(*(pointer)) + (count) * sizeof((pointer)->member[0]))

#endif
