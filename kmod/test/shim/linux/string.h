/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/string.h> the module's portable files use */
#ifndef SHIM_LINUX_STRING_H
#define SHIM_LINUX_STRING_H

#include <string.h>

static inline void *memchr_inv(const void *start, int c, size_t bytes)
{
	const unsigned char *at = start;

	for (; bytes; at++, bytes--)
		if (*at != (unsigned char)c)
			return (void *)at;
	return NULL;
}

#endif
