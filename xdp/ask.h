/* SPDX-License-Identifier: GPL-2.0 */
/* ask: through a chain's tree where some of its records ask for more, and where the packet is IPv6 (maps/rule.h). Compiled for user space too; who includes it says how an ask is
 * answered. Loops stay loops: they have calls in them. */
#pragma once
#include "scan.h"

struct asker;

/* The entry of the rule that asks; 0: only the tables can tell; RULE_CONTINUE_BIT: it does not match. */
static __always_inline __u32 asker_entry(const struct asker *a, const struct filter_ask *q);

static __always_inline int term_has(const struct filter_term *t, __u32 value)
{
	__u64 i = value >> 6;

	asm volatile("" : "+r"(i));	/* clang knows how large it can be, and would leave out the mask */
	i &= 3;
	asm volatile("" : "+r"(i));
	return t->v[i] >> (value & 63) & 1;
}

/* What a record that matches says, as asker_entry(). */
static __always_inline __u32 record_entry(const struct filter_chain *c, const struct filter_scan *r, const struct asker *a, __u32 size)
{
	__u32 entry = scan_entry(r);

	if (!(entry & RULE_CONTINUE_BIT))
		return entry;
	return asker_entry(a, words_at(c, c->asks + (entry & RULE_ID_MASK) * (sizeof(struct filter_ask) / 8), sizeof(struct filter_ask) / 8, size));
}

/* The nth record of a leaf of numbers. */
static __always_inline const void *leaf_record(const struct filter_chain *c, __u64 e, __u64 n, __u32 records, __u32 words, __u32 size)
{
	__u32 number = quarter_at(c, (__u64)(__u32)e * 4 + n, size);

	return words_at(c, records + number * words, words, size);
}

/* The entry of the first rule that matches; 0: only the tables can tell. */
#define ASK_RECORDS(most, next, differs) \
	ROLLED \
	for (__u64 n = 0; n < (most); n++) { \
		__u32 entry; \
 \
		next; \
		if (differs) \
			continue; \
		entry = record_entry(c, &r->rule, a, size); \
		if (entry != RULE_CONTINUE_BIT) \
			return entry; \
	} \
	return 0

static __always_inline __u32 ask_tree4(const struct filter_chain *c, __u64 addresses, __u64 numbers, const struct asker *a, __u32 size)
{
	__u64 e = tree_leaf4(c, addresses, numbers, size);
	const struct filter_scan4 *r;

	if (!e)
		return 0;
	if (size == FILTER_SMALL) {
		const struct filter_scan4 *at = leaf_records(c, e, sizeof(*r) / 8);

		if (!at)
			return 0;
		ASK_RECORDS(FILTER_LEAF_MOST, r = at++, scan_differs4(r, addresses, numbers));
	}
	ASK_RECORDS(FILTER_TREE_MOST, r = leaf_record(c, e, n, c->records4, sizeof(*r) / 8, size), scan_differs4(r, addresses, numbers));
}

static __always_inline __u32 ask_tree6(const struct filter_chain *c, const __u64 *words, __u64 numbers, const struct asker *a, __u32 size)
{
	__u64 e = tree_leaf6(c, words, numbers, size);
	const struct filter_scan6 *r;

	if (!e)
		return 0;
	if (size == FILTER_SMALL) {
		const struct filter_scan6 *at = leaf_records(c, e, sizeof(*r) / 8);

		if (!at)
			return 0;
		ASK_RECORDS(FILTER_LEAF_MOST, r = at++, scan_differs6(r, words, numbers));
	}
	ASK_RECORDS(FILTER_TREE_MOST, r = leaf_record(c, e, n, c->records6, sizeof(*r) / 8, size), scan_differs6(r, words, numbers));
}
