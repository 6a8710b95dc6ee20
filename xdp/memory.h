/* SPDX-License-Identifier: GPL-2.0 */
/* memory: places in a chain's memory (maps/rule.h). `size` is a constant wherever these are used: the verifier sees that a masked place is
 * inside. */
#pragma once
#include "../maps/rule.h"
#include <bpf/bpf_helpers.h>

static __always_inline const void *filter_memory(__u32 chain, __u32 size)
{
	void *outer = size == FILTER_SMALL ? (void *)&filter_small : size == FILTER_MEDIUM ? (void *)&filter_medium : (void *)&filter_large;
	void *inner = bpf_map_lookup_elem(outer, &chain);
	__u32 zero = 0;

	return inner ? bpf_map_lookup_elem(inner, &zero) : 0;
}

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
