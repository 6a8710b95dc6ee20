/* SPDX-License-Identifier: GPL-2.0 */
/* group: hash tables of many rules of a common shape. */
#pragma once
#include "../maps/rule.h"
#include "key.h"
#include "memory.h"

/* Is a bit set in x above the lowest `open` ones? Two shifts: one of 64 is not defined. */
static __always_inline __u64 above(__u64 x, __u32 open)
{
	__u32 half = open >> 1 & 63;

	return x >> half >> ((open - half) & 63);
}

/* The rule's ports and protocol; `wrong`: whether its addresses differ. */
static __always_inline void probe_rule(struct filter_key *k, const struct filter_rule *r, __u64 wrong)
{
	__u32 sport = k->ports >> 16, dport = k->ports & 0xffff, position = r->position & ~FILTER_NEEDS_PORTS;

	wrong |= ((r->proto ^ k->proto) & r->proto_mask) | (r->position >> 31 & ~k->has_ports);
	if (wrong || !r->entry || position >= k->position || position < k->from)
		return;
	if (sport < r->sport[0] || sport > r->sport[1] || dport < r->dport[0] || dport > r->dport[1])
		return;
	k->position = position;
	k->found = r->entry;
}

static __always_inline void probe_record4(struct filter_key *k, const struct filter_record4 *r)
{
	__u64 s = r->saddr ^ k->saddr[0] >> 32, d = r->daddr ^ k->daddr[0] >> 32;

	probe_rule(k, &r->rule, s >> (r->rule.sshift & 63) | d >> (r->rule.dshift & 63));
}

static __always_inline void probe_record6(struct filter_key *k, const struct filter_record6 *r)
{
	probe_rule(k, &r->rule, above(r->saddr[0] ^ k->saddr[0], r->sshift[0]) | above(r->daddr[0] ^ k->daddr[0], r->dshift[0]) |
				above(r->saddr[1] ^ k->saddr[1], r->sshift[1]) | above(r->daddr[1] ^ k->daddr[1], r->dshift[1]));
}

static __always_inline void probe_group4(struct filter_key *k, const struct filter_chain *c, __u32 at, __u32 size)
{
	for (int n = 0; n < FILTER_CHAIN_BUCKETS && at; n++) {
		const struct filter_bucket4 *b = words_at(c, at, sizeof(*b) / 8, size);

		if (!b)
			return;
		probe_record4(k, &b->record[0]);
		probe_record4(k, &b->record[1]);
		at = b->record[0].rule.next;
	}
}

static __always_inline void probe_group6(struct filter_key *k, const struct filter_chain *c, __u32 at, __u32 size)
{
	for (int n = 0; n < FILTER_CHAIN_BUCKETS && at; n++) {
		const struct filter_bucket6 *b = words_at(c, at, sizeof(*b) / 8, size);

		if (!b)
			return;
		probe_record6(k, &b->record[0]);
		probe_record6(k, &b->record[1]);
		at = b->record[0].rule.next;
	}
}

static __always_inline void probe_group(struct filter_key *k, __u32 group, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	const struct filter_group *g;
	__u32 bucket;

	if (!c)
		return;
	g = words_at(c, c->groups + group * (sizeof(*g) / 8), sizeof(*g) / 8, size);
	if (!g || g->family != k->family)
		return;
	bucket = filter_hash(g, k->saddr, k->daddr, k->ports, k->proto);
	if (k->family == 4)
		probe_group4(k, c, g->buckets + bucket * (sizeof(struct filter_bucket4) / 8), size);
	else
		probe_group6(k, c, g->buckets + bucket * (sizeof(struct filter_bucket6) / 8), size);
}

/* The first rule of the group that matches, if it stands before k->position. */
__noinline int filter_probe(struct filter_key *k, __u32 group)
{
	if (!k)
		return 0;
	if (k->size == FILTER_MEDIUM)	/* small memory has no groups */
		probe_group(k, group, FILTER_MEDIUM);
	else
		probe_group(k, group, FILTER_LARGE);
	return 0;
}
