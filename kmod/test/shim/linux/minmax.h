/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/minmax.h> the module's portable files use */
#ifndef SHIM_LINUX_MINMAX_H
#define SHIM_LINUX_MINMAX_H

#define max(a, b) ((a) > (b) ? (a) : (b))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))
#define clamp_t(type, value, low, high) min_t(type, max_t(type, value, low), high)
#define swap(a, b) \
	do { \
		__typeof__(a) swapped = (a); \
		(a) = (b); \
		(b) = swapped; \
	} while (0)

#endif
