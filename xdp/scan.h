/* SPDX-License-Identifier: GPL-2.0 */
/* scan: the first record that matches, of those that a chain's tree leads to (maps/rule.h). Compiled for user space too, where the unit tests hold it against
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

/* `words`: source and destination as on the wire. The last of them is in a cache line of its own, which is not needed for most. */
static __always_inline int scan_differs6(const struct filter_scan6 *r, const __u64 *words, __u64 numbers)
{
	if (scan_outside(&r->rule, numbers))
		return 1;
	if (((words[0] & r->address[0].mask) ^ r->address[0].value) | ((words[1] & r->address[1].mask) ^ r->address[1].value) |
	    ((words[2] & r->address[2].mask) ^ r->address[2].value))
		return 1;
	return !!((words[3] & r->address[3].mask) ^ r->address[3].value);
}

/* Of FILTER_CHANGED: may the packet be for a rule that the trees do not know? */
static __always_inline int scan_changed4(const struct filter_chain *c, __u64 addresses, __u64 numbers, __u32 size)
{
	ROLLED
	for (__u64 i = 0; i < FILTER_CHANGES && i < c->n_changes4; i++) {
		const struct filter_scan4 *r = words_at(c, c->changes4 + i * (sizeof(*r) / 8), sizeof(*r) / 8, size);

		if (!scan_differs4(r, addresses, numbers))
			return 1;
	}
	return 0;
}

static __always_inline int scan_changed6(const struct filter_chain *c, const __u64 *words, __u64 numbers, __u32 size)
{
	ROLLED
	for (__u64 i = 0; i < FILTER_CHANGES && i < c->n_changes6; i++) {
		const struct filter_scan6 *r = words_at(c, c->changes6 + i * (sizeof(*r) / 8), sizeof(*r) / 8, size);

		if (!scan_differs6(r, words, numbers))
			return 1;
	}
	return 0;
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

static __always_inline __u64 tree_next(const struct filter_chain *c, __u64 e, __u64 from, __u32 size)
{
	return *word_at(c, (__u32)e + (from >> (e >> FILTER_TREE_SHIFT & 63) & e >> FILTER_TREE_MASK), size);
}

/* The leaf that is for the packet; 0: there is none where the tree leads. */
static __always_inline __u64 tree_leaf4(const struct filter_chain *c, __u64 addresses, __u64 numbers, __u32 size)
{
	__u64 e = c->tree4;

	for (int i = 0; i < FILTER_TREE_DEPTH && !(e & FILTER_TREE_LEAF); i++)
		e = tree_next(c, e, addresses ^ ((addresses ^ numbers) & -(e >> FILTER_TREE_WORD & 1)), size);
	return e & FILTER_TREE_LEAF ? e : 0;
}

/* Its records, of so many words each. */
static __always_inline const void *leaf_records(const struct filter_chain *c, __u64 e, __u32 words)
{
	e &= FILTER_SMALL / 8 - 1;
	asm volatile("" : "+r"(e));
	return e <= FILTER_SMALL / 8 - FILTER_LEAF_MOST * words ? (const __u64 *)c + e : 0;
}

/* Of FILTER_SMALL. 0: the tables must be asked. */
static __always_inline __u32 scan_leaf4(const struct filter_chain *c, __u64 addresses, __u64 numbers)
{
	const struct filter_scan4 *r = leaf_records(c, tree_leaf4(c, addresses, numbers, FILTER_SMALL), sizeof(*r) / 8);

	if (!r)
		return 0;
	UNROLLED
	for (int i = 0; i < FILTER_LEAF_MOST - 1 && scan_differs4(r, addresses, numbers); i++)
		r++;
	return scan_entry(&r->rule);
}

/* The same of IPv6. `words`: its addresses as on the wire, source first. */
static __always_inline __u64 tree_leaf6(const struct filter_chain *c, const __u64 *words, __u64 numbers, __u32 size)
{
	__u64 e = c->tree6;

	for (int i = 0; i < FILTER_TREE_DEPTH && !(e & FILTER_TREE_LEAF); i++) {
		__u64 which = e >> FILTER_TREE_WORD & 3;

		asm volatile("" : "+r"(which));
		e = tree_next(c, e, e >> FILTER_TREE_WORD & TREE_NUMBERS6 ? numbers : __builtin_bswap64(words[which]), size);
	}
	return e & FILTER_TREE_LEAF ? e : 0;
}

/* Of FILTER_SMALL. 0: the tables must be asked. */
static __always_inline __u32 scan_leaf6(const struct filter_chain *c, const __u64 *words, __u64 numbers)
{
	const struct filter_scan6 *r = leaf_records(c, tree_leaf6(c, words, numbers, FILTER_SMALL), sizeof(*r) / 8);

	if (!r)
		return 0;
	ROLLED
	for (__u64 i = 0; i < FILTER_LEAF_MOST - 1 && scan_differs6(r, words, numbers); i++)
		r++;
	return scan_entry(&r->rule);
}

/* Of the other sizes. */
static __always_inline __u32 scan_tree4(const struct filter_chain *c, __u64 addresses, __u64 numbers, __u32 size)
{
	__u64 e = tree_leaf4(c, addresses, numbers, size);

	if (!e)
		return 0;
	for (__u32 n = 0; n < FILTER_TREE_MOST / tree_a_line(size); n++) {
		const void *line = words_at(c, (__u32)e + n * FILTER_TREE_LINE, FILTER_TREE_LINE, size);

		UNROLLED
		for (__u32 i = 0; i < tree_a_line(size); i++) {
			const struct filter_scan4 *r = words_at(c, c->records4 + tree_number(line, i, size) * (sizeof(*r) / 8), sizeof(*r) / 8, size);

			if (!scan_differs4(r, addresses, numbers))
				return scan_entry(&r->rule);
		}
	}
	return 0;
}
