/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's everyday macros the module's portable files use */
#ifndef SHIM_LINUX_KERNEL_H
#define SHIM_LINUX_KERNEL_H

#include <linux/minmax.h>

#define noinline __attribute__((noinline))
#define BIT(number) (1UL << (number))
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

#endif
