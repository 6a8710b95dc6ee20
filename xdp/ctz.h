/* SPDX-License-Identifier: GPL-2.0 */
/* ctz: the lowest bit of a word. */
#pragma once
#include <linux/types.h>

static const __u8 debruijn_ctz[64] = {
	0, 1, 48, 2, 57, 49, 28, 3, 61, 58, 50, 42, 38, 29, 17, 4, 62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
	63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
};

/* Trailing zeros of a non-zero word: BPF has no instruction for it (Leiserson, Prokop, Randall 1998). */
static __always_inline __u32 ctz64(__u64 x)
{
	return debruijn_ctz[((x & -x) * 0x03f79d71b4cb0a89ull) >> 58 & 63];
}
