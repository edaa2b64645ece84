/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/limits.h> the module's portable files use */
#ifndef SHIM_LINUX_LIMITS_H
#define SHIM_LINUX_LIMITS_H

#include_next <linux/limits.h>
#include <limits.h>
#include <stdint.h>

#define U8_MAX UINT8_MAX
#define U16_MAX UINT16_MAX
#define U32_MAX UINT32_MAX

#endif
