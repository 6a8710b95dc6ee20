/* SPDX-License-Identifier: GPL-2.0 */
/* walk: through the units that the rows of a packet leave, in the order of the rules, to the one that decides. */
#pragma once
#include "ctz.h"
#include "group.h"
#include "limit.h"
#include "log.h"
#include "mark.h"
#include "row.h"
#include "rule.h"
#include "set.h"

static __always_inline __u64 core_word(const struct filter_key *k, const void *m, __u32 i, __u32 size)
{
	return *word_at(m, k->core[CORE_PROTO] + i, size) & *word_at(m, k->core[CORE_SADDR4] + i, size) &
	       *word_at(m, k->core[CORE_DADDR4] + i, size) & *word_at(m, k->core[CORE_SPORT] + i, size) &
	       *word_at(m, k->core[CORE_DPORT] + i, size);
}

/* The next units that may match, if the next words of the summary and of the rows have any. 0: none are left. */
static __always_inline int walk_next(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 size)
{
	if (!w->words) {
		if (w->summary >= c->summary)
			return 0;
		w->words = core_word(k, c, w->summary, size);
		w->summary++;
	}
	if (!w->words)
		return 1;
	w->word = (c->summary ? w->summary - 1 : 0) * 64 + ctz64(w->words);
	w->words &= w->words - 1;
	w->units = core_word(k, c, c->summary + w->word, size);
	if (w->units && asks(c, FIELDS_EXTRA)) {
		if (k->lone) {
			w->units &= *word_at(c, k->lone + c->summary + w->word, size);
			return 1;
		}
		k->word = w->word;
		w->units = filter_extra(k, w->units);
	}
	return 1;
}

static __always_inline void walk_begin(struct filter_walk *w, __u32 summary, __u32 words)
{
	w->words = !summary && words;
	w->units = 0;
	w->summary = 0;
}

/* A unit that decides nothing: it counts, if it has an id, and says where to go on. What a group gave before that place is passed by, and the groups
 * are asked again. */
static __always_inline void walk_on(struct filter_key *k, struct filter_walk *w, __u32 entry, __u32 leap, __u32 summary, __u32 words)
{
	log_note(k, entry);
	if (entry & (RULE_ID_MASK | RULE_VARIANT_BIT))
		k->cacheable = 0;
	if (entry & RULE_ID_MASK)
		RULE_ADD(entry & RULE_ID_MASK, k->packets, k->bytes);
	if (!leap)
		return;
	k->from = leap;
	if (k->position >= leap)
		return;
	k->position = ~0u;
	k->found = 0;
	walk_begin(w, summary, words);
}

/* The mark has changed, and with it what rules behind bit `n` of the word hold. */
static __always_inline void walk_marked(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 n, __u32 size)
{
	k->row[FIELD_MARK] = filter_row(k, FIELD_MARK);
	k->word = w->word;
	w->units = filter_extra(k, core_word(k, c, c->summary + w->word, size) & ~1ull << n);
}

/* What few rules have beside their matches. 0: the rule does not match. */
static __always_inline int walk_aside(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 entry, __u32 unit, __u32 size)
{
	__u32 place = *word_at(c, c->leaps + unit, size) >> 32;

	if (says(entry, RULE_LIMIT_BIT) && !filter_limit(k, place))
		return 0;
	if (says(entry, RULE_SET_BIT) && !filter_touch(k, place + FILTER_TOUCH))
		return 0;
	if (says(entry, RULE_MARK_BIT) && filter_mark(k, entry, place))
		walk_marked(k, c, w, unit & 63, size);
	return 1;
}

/* 1: done, with or without a rule. */
static __always_inline int walk_step(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 size)
{
	__u32 unit, entry;
	__u64 e;

	if (!w->units && !walk_next(k, c, w, size))
		return 1;
	if (!w->units)
		return 0;
	unit = w->word * 64 + ctz64(w->units);
	w->units &= w->units - 1;
	e = *word_at(c, c->entries + unit, size);
	entry = e;
	if (e >> 32 >= k->position)	/* no unit from here on has a rule before the one found */
		return 1;
	if (entry & FILTER_GROUP_BIT) {
		filter_probe(k, entry & RULE_ID_MASK);
		return 0;
	}
	if (e >> 32 < k->from)
		return 0;
	if (says(entry, RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT) && !walk_aside(k, c, w, entry, unit, size))
		return 0;
	if (entry & RULE_CONTINUE_BIT) {
		walk_on(k, w, entry, (__u32)*word_at(c, c->leaps + unit, size), c->summary, c->words);
		return 0;
	}
	k->position = e >> 32;
	k->found = entry;
	return 1;
}

/* bpf_loop() callbacks, one a size: all in one would need more stack than is left. */
#define WALK_MORE(name, size) \
static long name(__u32 n __attribute__((unused)), struct filter_key **ctx) \
{ \
	struct filter_key *k = *ctx; \
	const struct filter_chain *c = filter_memory(k->chain, size); \
 \
	return c ? walk_step(k, c, &k->walk, size) : 1; \
}

WALK_MORE(walk_small, FILTER_SMALL)
WALK_MORE(walk_medium, FILTER_MEDIUM)
WALK_MORE(walk_large, FILTER_LARGE)
