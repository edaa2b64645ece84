/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/mm.h> the module's portable files use */
#ifndef SHIM_LINUX_MM_H
#define SHIM_LINUX_MM_H

#include <linux/slab.h>

#endif
