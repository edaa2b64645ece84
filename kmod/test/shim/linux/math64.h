/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/math64.h> the module's portable files use */
#ifndef SHIM_LINUX_MATH64_H
#define SHIM_LINUX_MATH64_H

#define div_u64(dividend, divisor) ((dividend) / (divisor))

#endif
