/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/bitops.h> the module's portable files use */
#ifndef SHIM_LINUX_BITOPS_H
#define SHIM_LINUX_BITOPS_H

#define fls64(word) ((word) ? 64 - __builtin_clzll(word) : 0)
#define __ffs64(word) __builtin_ctzll(word)

#endif
