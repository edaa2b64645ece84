/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Numbers that are the same in every run */
#ifndef SHIM_LINUX_RANDOM_H
#define SHIM_LINUX_RANDOM_H

#include <stdlib.h>

static inline void get_random_bytes(void *out, size_t len)
{
	unsigned char *at = out;

	while (len--)
		*at++ = (unsigned char)(random() >> 7);
}

#endif
