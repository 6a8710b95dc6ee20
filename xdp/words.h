/* SPDX-License-Identifier: GPL-2.0 */
/* words: places in tables that are one large value of a map. `size`, the value's in bytes, is a constant wherever these are used: the verifier sees that a
 * masked place is inside. */
#pragma once
#include <linux/types.h>
#ifdef __bpf__
#include <bpf/bpf_helpers.h>

static const __u32 first_element = 0;	/* key of arrays of one: not stored for each lookup */
#else
#include <sys/cdefs.h>
#endif

#ifdef __clang__
#define ROLLED _Pragma("clang loop unroll(disable)")	/* a loop stays one: unrolled it would take more stack than there is */
#define UNROLLED _Pragma("unroll")
#else
#define ROLLED
#define UNROLLED
#endif

static __always_inline const __u64 *word_at(const void *m, __u64 i, __u32 size)
{
	i &= size / 8 - 1;
	asm volatile("" : "+r"(i));
	return (const __u64 *)m + i;
}

/* n words, a power of two, that begin at a multiple of n: so masking keeps all of them inside. */
static __always_inline const void *words_at(const void *m, __u64 i, __u32 n, __u32 size)
{
	const __u64 *p;

	i &= size / 8 - n;
	asm volatile("" : "+r"(i));
	p = (const __u64 *)m + i;
	asm volatile("" : "+r"(p));	/* not shared with the same of another size */
	return p;
}

static __always_inline __u32 half_at(const void *m, __u64 i, __u32 size)
{
	i &= size / 4 - 1;
	asm volatile("" : "+r"(i));
	return ((const __u32 *)m)[i];
}

static __always_inline __u32 quarter_at(const void *m, __u64 i, __u32 size)
{
	i &= size / 2 - 1;
	asm volatile("" : "+r"(i));
	return ((const __u16 __attribute__((may_alias)) *)m)[i];
}
