/* SPDX-License-Identifier: GPL-2.0 */
/* scan: the first record that matches, of a chain of plain rules: of all where they are few, of a leaf of a tree where they are more (maps/rule.h). Compiled for user space too, where the unit tests hold it against
 * the model. Loops are written out: a record costs some fourteen instructions, and no store. */
#pragma once
#include "../maps/rule.h"
#include "words.h"

/* Ports and protocol as the records have them. */
static __always_inline __u64 scan_numbers(__u32 sport, __u32 dport, __u32 proto)
{
	return (__u64)sport << SCAN_SPORT | (__u64)dport << SCAN_DPORT | (__u64)proto << SCAN_PROTO | SCAN_GUARDS;
}

/* 0: the numbers are in their ranges. A guard bit stays where nothing had to be borrowed. */
static __always_inline __u64 scan_outside(const struct filter_scan *r, __u64 numbers)
{
	return ((numbers - r->from) & (r->to - numbers) & SCAN_GUARDS) ^ SCAN_GUARDS;
}

static __always_inline __u32 scan_entry(const struct filter_scan *r)
{
	return r->from >> SCAN_ENTRY | r->to >> SCAN_ENTRY << SCAN_ENTRY_BITS;
}

static __always_inline __u64 scan_differs4(const struct filter_scan4 *r, __u64 addresses, __u64 numbers)
{
	return ((addresses & r->mask) ^ r->value) | scan_outside(&r->rule, numbers);
}

static __always_inline __u32 scan4(const struct filter_scan4 *r, __u64 addresses, __u64 numbers)
{
	UNROLLED
	for (int i = 0; i < FILTER_SCAN_MOST && scan_differs4(r, addresses, numbers); i++)
		r++;
	return scan_entry(&r->rule);
}

/* Addresses as on the wire. */
static __always_inline __u64 scan_differs6(const struct filter_scan6 *r, const __u64 *saddr, const __u64 *daddr, __u64 numbers)
{
	return ((saddr[0] & r->mask[0]) ^ r->value[0]) | ((saddr[1] & r->mask[1]) ^ r->value[1]) | ((daddr[0] & r->mask[2]) ^ r->value[2]) |
	       ((daddr[1] & r->mask[3]) ^ r->value[3]) | scan_outside(&r->rule, numbers);
}

static __always_inline __u32 scan6(const struct filter_scan6 *r, const __u64 *saddr, const __u64 *daddr, __u64 numbers)
{
	UNROLLED
	for (int i = 0; i < FILTER_SCAN_MOST && scan_differs6(r, saddr, daddr, numbers); i++)
		r++;
	return scan_entry(&r->rule);
}

/* Numbers of records in a cache line of a leaf, and the ith of them. */
typedef __u16 __attribute__((may_alias)) tree_narrow;
typedef __u32 __attribute__((may_alias)) tree_wide;

static __always_inline __u32 tree_a_line(__u32 size)
{
	return FILTER_TREE_LINE * 8 / (size == FILTER_LARGE ? sizeof(tree_wide) : sizeof(tree_narrow));
}

static __always_inline __u32 tree_number(const void *line, __u32 i, __u32 size)
{
	return size == FILTER_LARGE ? ((const tree_wide *)line)[i] : ((const tree_narrow *)line)[i];
}

/* 0: there is no leaf where the tree leads. */
static __always_inline __u32 scan_tree4(const struct filter_chain *c, __u64 addresses, __u64 numbers, __u32 size)
{
	__u64 e = c->tree;

	for (int i = 0; i < FILTER_TREE_DEPTH && !(e & FILTER_TREE_LEAF); i++) {
		__u64 from = addresses ^ ((addresses ^ numbers) & -(e >> FILTER_TREE_WORD & 1));

		e = *word_at(c, (__u32)e + (from >> (e >> FILTER_TREE_SHIFT & 63) & e >> FILTER_TREE_MASK), size);
	}
	if (!(e & FILTER_TREE_LEAF))
		return 0;
	for (__u32 n = 0; n < FILTER_TREE_MOST / tree_a_line(size); n++) {
		const void *line = words_at(c, (__u32)e + n * FILTER_TREE_LINE, FILTER_TREE_LINE, size);

		UNROLLED
		for (__u32 i = 0; i < tree_a_line(size); i++) {
			const struct filter_scan4 *r = words_at(c, c->records + tree_number(line, i, size) * (sizeof(*r) / 8), sizeof(*r) / 8, size);

			if (!scan_differs4(r, addresses, numbers))
				return scan_entry(&r->rule);
		}
	}
	return 0;
}
