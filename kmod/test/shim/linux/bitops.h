/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What of the kernel's <linux/bitops.h> the module's portable files use */
#ifndef SHIM_LINUX_BITOPS_H
#define SHIM_LINUX_BITOPS_H

#define BITS_PER_BYTE 8
#define BITS_PER_LONG 64
#define fls64(word) ((word) ? 64 - __builtin_clzll(word) : 0)
#define __ffs64(word) __builtin_ctzll(word)

static inline int test_bit(unsigned long number, const unsigned long *words)
{
	return words[number / BITS_PER_LONG] >> number % BITS_PER_LONG & 1;
}

static inline int test_and_set_bit(unsigned long number, unsigned long *words)
{
	int was_set = test_bit(number, words);

	words[number / BITS_PER_LONG] |= 1UL << number % BITS_PER_LONG;
	return was_set;
}

#endif
