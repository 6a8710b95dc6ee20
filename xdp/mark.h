/* SPDX-License-Identifier: GPL-2.0 */
/* mark: `meta mark set`. Rules behind see the new mark in the same packet, so it is one of the fields that they ask for; it reaches the packet itself when all is
 * decided. A function of its own to the verifier, for the few rules that ask. */
#pragma once
#include "../maps/limit.h"
#include "../maps/mark.h"
#include "key.h"
#include "memory.h"

static __always_inline __u32 mark_now(const struct filter_key *k)
{
	return k->lo[FIELD_MARK];
}

static __always_inline int mark_by(struct filter_key *k, __u32 place, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	const struct filter_mark *m;

	if (!c)
		return 0;
	m = (const struct filter_mark *)word_at(c, place, size);
	k->lo[FIELD_MARK] = (mark_now(k) & m->keep) ^ m->flip;
	return c->fields >> FIELD_MARK & 1;
}

/* Of a rule with `entry`, whose limit and mark are at `place`. 1: rules of the chain ask for the mark. */
__noinline int filter_mark(struct filter_key *k, __u32 entry, __u32 place)
{
	if (!k)
		return 0;
	if (entry & RULE_LIMIT_BIT)
		place += sizeof(struct filter_limit) / 8;
	k->cacheable = 0;
	k->marked = 1;
	if (k->size == FILTER_SMALL)
		return mark_by(k, place, FILTER_SMALL);
	if (k->size == FILTER_MEDIUM)
		return mark_by(k, place, FILTER_MEDIUM);
	return mark_by(k, place, FILTER_LARGE);
}

/* The mark of the packet that was classified on this CPU just now. */
static __always_inline __u32 mark_classified(void)
{
	const struct filter_key *k = bpf_map_lookup_elem(&filter_scratch, &first_element);

	return k ? mark_now(k) : 0;
}
