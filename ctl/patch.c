/* SPDX-License-Identifier: GPL-2.0-only */
/* patch: see patch.h. Everything of a chain's memory is copied in the order in which compile.c laid it, with positions behind the rule moved by one and
 * rows one bit wider or narrower. */
#include <stdlib.h>
#include <string.h>
#include "../maps/limit.h"
#include "../maps/set.h"
#include "compile.h"
#include "patch.h"

_Static_assert(sizeof(struct filter_chain) == 1048, "a place that this file does not copy");

enum {
	ENTRY_BITS = RULE_ID_MASK | RULE_REJECT_MOST << RULE_REJECT_SHIFT | RULE_DROP_BIT | RULE_CONTINUE_BIT | RULE_VARIANT_BIT |
		     FILTER_GROUP_BIT | RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT | RULE_LOG_BIT | RULE_AUDIT_BIT,
	LIMIT_WORDS = sizeof(struct filter_limit) / 8,
	LOOKUP_WORDS = sizeof(struct set_lookup) / 8,
};

/* At `starts` in a chain's memory, for ctl alone. */
struct starts {
	uint32_t patches;	/* since it was compiled */
	uint32_t rules;
	uint32_t row[];		/* of each rule: its first, then the number of all */
};

static uint32_t starts_words(uint32_t rules)
{
	return (sizeof(struct starts) + (rules + 1) * sizeof(uint32_t) + 7) / 8;
}

static const struct starts *starts_of(const struct filter_chain *c)
{
	return (const struct starts *)((const uint64_t *)c + c->starts);
}

static struct starts *take_starts(struct memory *w, uint32_t rules)
{
	uint32_t at = memory_take(w, starts_words(rules));
	struct starts *s = (struct starts *)(w->v + at);

	memory_chain(w)->starts = at;
	s->rules = rules;
	return s;
}

void patch_prepare(struct memory *w, const uint32_t *starts, uint32_t rules)
{
	memcpy(take_starts(w, rules)->row, starts, (rules + 1) * sizeof(*starts));
}

uint32_t patch_rules(const uint64_t *from)
{
	const struct filter_chain *c = (const struct filter_chain *)from;

	return c->starts ? starts_of(c)->rules : 0;
}

static void store_starts(struct patch *p, uint32_t at)
{
	const struct starts *was = starts_of(p->from);
	struct starts *s = take_starts(p->to, was->rules + (p->row ? 1 : -1));

	s->patches = was->patches + 1;
	memcpy(s->row, was->row, (at + 1) * sizeof(*s->row));
	for (uint32_t i = at + 1; i <= s->rules; i++)
		s->row[i] = p->row ? was->row[i - 1] + 1 : was->row[i + 1] - 1;
}

/* Where a row stands, or is led to, that stood at n. */
static uint32_t moved(const struct patch *p, uint32_t n, bool leads)
{
	if (p->row)
		return n + (leads ? n > p->position : n >= p->position);
	return n - (n > p->position);
}

/* ---- units */

static uint64_t low_bits(uint32_t n)
{
	return (1ull << n) - 1;
}

void patch_bits(const struct patch *p, uint64_t *to, const uint64_t *from, bool bit)
{
	uint32_t at = p->unit / 64, words = memory_chain(p->to)->words;
	uint64_t low = low_bits(p->unit % 64), carry = 0;

	if (p->unit == ~0u) {
		memcpy(to, from, words * sizeof(*to));
		return;
	}
	for (uint32_t i = 0; i < words; i++) {
		uint64_t w = i < p->words ? from[i] : 0, next = i + 1 < p->words ? from[i + 1] : 0;

		if (i < at)
			to[i] = w;
		else if (p->row)
			to[i] = i > at ? w << 1 | carry : (w & low) | (w & ~low) << 1 | (uint64_t)bit << p->unit % 64;
		else
			to[i] = i > at ? w >> 1 | next << 63 : (w & low) | (w >> 1 & ~low) | next << 63;
		carry = w >> 63;
	}
}

static const uint64_t *entries_of(const struct filter_chain *c)
{
	return (const uint64_t *)c + c->entries;
}

/* The first unit that begins at or behind a row. */
static uint32_t unit_at(const struct filter_chain *c, uint32_t position)
{
	uint32_t lo = 0, hi = c->units;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (entries_of(c)[mid] >> 32 < position)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The unit that is the row alone, or ~0. */
static uint32_t unit_of(const struct filter_chain *c, uint32_t position)
{
	for (uint32_t i = unit_at(c, position); i < c->units && entries_of(c)[i] >> 32 == position; i++)
		if (!(entries_of(c)[i] & FILTER_GROUP_BIT))
			return i;
	return ~0u;
}

static uint32_t n_groups(const struct filter_chain *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->units; i++)
		n += !!(entries_of(c)[i] & FILTER_GROUP_BIT);
	return n;
}

/* The unit's limit, mark and set statement, as compile.c lays them. */
static uint64_t copy_statements(struct patch *p, uint32_t entry, uint64_t place)
{
	uint32_t limit = entry & RULE_LIMIT_BIT ? LIMIT_WORDS : 0, words = limit + !!(entry & RULE_MARK_BIT), at;

	if (entry & RULE_SET_BIT)
		words = FILTER_TOUCH + LOOKUP_WORDS;
	at = memory_take_at(p->to, words, entry & RULE_SET_BIT ? LOOKUP_WORDS : limit ? limit : 1);
	memcpy(p->to->v + at, (const uint64_t *)p->from + place, words * sizeof(uint64_t));
	return (uint64_t)at << 32;
}

static void copy_unit(struct patch *p, uint32_t from, uint32_t to)
{
	uint64_t e = entries_of(p->from)[from], leap = ((const uint64_t *)p->from)[p->from->leaps + from];
	bool says = e & (RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT) && !(e & FILTER_GROUP_BIT);
	uint64_t statements = says ? copy_statements(p, e, leap >> 32) : 0;
	struct filter_chain *c = memory_chain(p->to);

	p->to->v[c->entries + to] = (uint64_t)moved(p, e >> 32, false) << 32 | (uint32_t)e;
	p->to->v[c->leaps + to] = statements | moved(p, leap, true);
}

static void store_units(struct patch *p)
{
	uint32_t n = memory_chain(p->to)->units, entries = memory_take(p->to, n), leaps = memory_take(p->to, n);
	uint64_t limit;

	memory_chain(p->to)->entries = entries;
	memory_chain(p->to)->leaps = leaps;
	for (uint32_t i = 0; i < p->from->units; i++)
		if (p->row)
			copy_unit(p, i, i + (i >= p->unit));
		else if (i != p->unit)
			copy_unit(p, i, i - (i > p->unit));
	if (!p->row)
		return;
	limit = p->row->entry & RULE_LIMIT_BIT ? limit_store(p->to, p->row->rule) : 0;
	p->to->v[entries + p->unit] = (uint64_t)p->position << 32 | p->row->entry;
	p->to->v[leaps + p->unit] = limit << 32;
}

static void store_lookups(struct patch *p)
{
	uint32_t words = FILTER_LOOKUPS * LOOKUP_WORDS, at;

	if (!p->from->lookups)
		return;
	at = memory_take_at(p->to, words, LOOKUP_WORDS);
	memcpy(p->to->v + at, (const uint64_t *)p->from + p->from->lookups, words * sizeof(uint64_t));
	memory_chain(p->to)->lookups = at;
}

/* ---- groups */

struct table {			/* one of the groups, copied */
	struct patch *patch;
	uint32_t words;		/* of a bucket */
	uint32_t shift;		/* words that everything moved by */
	bool found;
};

static struct filter_rule *record(const struct table *t, uint32_t at, int i)
{
	return (struct filter_rule *)(t->patch->to->v + at + i * t->words / 2);
}

/* The last record of a bucket takes the place of one that goes. */
static void take_out(struct table *t, struct filter_rule *hole, uint32_t at)
{
	struct filter_rule *last = NULL, *first;
	uint32_t next = hole->next;

	for (; at; at = first->next) {
		first = record(t, at, 0);
		for (int i = 0; i < FILTER_RECORDS; i++)
			if (record(t, at, i)->entry)
				last = record(t, at, i);
	}
	if (last != hole)
		memcpy(hole, last, t->words * sizeof(uint64_t) / 2);
	last->entry = 0;
	hole->next = next;
	t->found = true;
}

static void move_bucket(struct table *t, uint32_t bucket)
{
	for (uint32_t at = bucket; at; at = record(t, at, 0)->next)
		if (record(t, at, 0)->next)
			record(t, at, 0)->next += t->shift;
}

/* The row's records; before the positions of others move. */
static void empty_bucket(struct table *t, uint32_t bucket)
{
	for (uint32_t at = bucket; at; at = record(t, at, 0)->next) {
		for (int i = 0; i < FILTER_RECORDS; i++) {
			struct filter_rule *r = record(t, at, i);

			while (r->entry && (r->position & ~FILTER_NEEDS_PORTS) == t->patch->position) {
				t->patch->gone = r->entry;
				take_out(t, r, at);
			}
		}
	}
}

static void renumber_bucket(struct table *t, uint32_t bucket)
{
	for (uint32_t at = bucket; at; at = record(t, at, 0)->next) {
		for (int i = 0; i < FILTER_RECORDS; i++) {
			struct filter_rule *r = record(t, at, i);

			r->position = moved(t->patch, r->position & ~FILTER_NEEDS_PORTS, false) | (r->position & FILTER_NEEDS_PORTS);
		}
	}
}

static void patch_group(struct table *t, struct filter_group *g)
{
	t->words = (g->family == 4 ? sizeof(struct filter_bucket4) : sizeof(struct filter_bucket6)) / 8;
	g->buckets += t->shift;
	for (uint32_t i = 0; i <= g->mask; i++) {
		uint32_t bucket = g->buckets + i * t->words;

		move_bucket(t, bucket);
		if (!t->patch->row)
			empty_bucket(t, bucket);
		renumber_bucket(t, bucket);
	}
}

/* All groups as they stand, and what is behind them, at a place that is as far from a multiple of a large bucket. False: the row that goes is nowhere. */
static bool store_groups(struct patch *p, uint32_t *shift)
{
	const struct filter_chain *c = p->from;
	const uint32_t large = sizeof(struct filter_bucket6) / 8;
	uint32_t n = c->bytes / 8 - c->groups, pad = (c->groups - p->to->n) & (large - 1), at = memory_take(p->to, pad + n) + pad;
	struct table t = { .patch = p, .shift = at - c->groups };

	*shift = t.shift;
	memcpy(p->to->v + at, (const uint64_t *)c + c->groups, n * sizeof(uint64_t));
	memory_chain(p->to)->groups = at;
	for (uint32_t i = 0; i < n_groups(c); i++)
		patch_group(&t, (struct filter_group *)(p->to->v + at) + i);
	return p->row || p->unit != ~0u || t.found;
}

/* ---- the whole */

static void store_head(struct patch *p)
{
	int units = p->unit == ~0u ? 0 : p->row ? 1 : -1;
	struct filter_chain *c;

	memory_take(p->to, sizeof(*c) / 8);
	c = memory_chain(p->to);
	*c = *p->from;
	if (p->row && row_needs_full(p->row))
		c->scans |= FILTER_FULL;
	c->units += units;
	c->rules += p->row ? 1 : -1;
	c->words = (c->units + 63) / 64;
	c->summary = c->words > 1 ? (c->words + 63) / 64 : 0;
	c->stride = c->words + c->summary;
}

static bool can_be_patched(const struct filter_chain *c, uint32_t at)
{
	const struct starts *s = starts_of(c);

	if (!c->starts || at > s->rules || s->patches >= PATCHES_MOST || c->units >= FILTER_MAX_UNITS || c->rules >= FILTER_MAX_RULES - RULE_FIRST)
		return false;
	for (uint32_t i = 0; i < c->units; i++)
		if ((uint32_t)entries_of(c)[i] & ~(uint32_t)ENTRY_BITS)
			return false;
	return c->units;
}

static bool patch(struct patch *p, uint32_t at)
{
	uint32_t shift;
	bool done;

	memory_reserve(p->to, p->from->bytes / 8 * 9 / 8 + 8192);
	store_head(p);
	store_starts(p, at);
	store_units(p);
	store_lookups(p);
	done = patch_fields(p) && store_groups(p, &shift);
	if (done)
		patch_trees(p, shift);
	done = done && memory_bytes(p->to) <= FILTER_LARGE;
	memory_chain(p->to)->bytes = memory_bytes(p->to);
	if (done)
		return true;
	free(p->to->v);
	*p->to = (struct memory){ 0 };
	return false;
}

static bool insert_row(struct memory *out, const struct filter_chain *c, uint32_t at, const struct row *row)
{
	struct patch p = { .from = c, .to = out, .row = row, .words = c->words, .position = starts_of(c)->row[at] };

	p.unit = unit_at(c, p.position);
	return patch(&p, at);
}

/* Bits read by their place have no field yet, or have one that `alone` does not know. */
bool patch_insert(struct memory *out, const uint64_t *from, uint32_t at, const struct config *alone, int chain)
{
	const struct filter_chain *c = (const struct filter_chain *)from;
	struct rows rows;
	struct raws raws;
	bool done;

	raws_of(&raws, alone);
	if (raws.n || !can_be_patched(c, at) || flatten(&rows, alone, &raws, chain))
		return false;
	done = rows.n == 1 && rows.v[0].next == 1 && !(rows.v[0].entry & (RULE_MARK_BIT | RULE_SET_BIT) || rows.v[0].k.used & FIELDS_SET) && insert_row(out, c, at, &rows.v[0]);
	rows_free(&rows);
	return done;
}

bool patch_remove(struct memory *out, const uint64_t *from, uint32_t at)
{
	const struct filter_chain *c = (const struct filter_chain *)from;
	struct patch p = { .from = c, .to = out, .words = c->words };

	if (!can_be_patched(c, at) || at == starts_of(c)->rules || starts_of(c)->row[at + 1] - starts_of(c)->row[at] != 1)
		return false;
	p.position = starts_of(c)->row[at];
	p.unit = unit_of(c, p.position);
	if (p.unit != ~0u)
		p.gone = entries_of(c)[p.unit];
	return (p.unit == ~0u || c->units > 1) && patch(&p, at);
}
