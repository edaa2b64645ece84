/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/log2.h> the module's portable files use */
#ifndef SHIM_LINUX_LOG2_H
#define SHIM_LINUX_LOG2_H

static inline unsigned long roundup_pow_of_two(unsigned long number)
{
	return number < 2 ? 1 : 1UL << (64 - __builtin_clzl(number - 1));
}

#endif
