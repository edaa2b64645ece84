/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/time64.h> the module's portable files use */
#ifndef SHIM_LINUX_TIME64_H
#define SHIM_LINUX_TIME64_H

#define NSEC_PER_SEC 1000000000UL

#endif
