/* SPDX-License-Identifier: GPL-2.0-only */
/* compile: rules, written out as rows of constraints on fields (flatten.h), become units (unit.h); each field a sweep over the ends of all spans, which gives
 * disjoint intervals, each with the bits of the units that hold there (tables.h). */
#include <stdlib.h>
#include <string.h>
#include "compile.h"
#include "../maps/limit.h"
#include "../maps/mark.h"
#include "../maps/set.h"
#include "flatten.h"
#include "jiffies.h"
#include "lookup.h"
#include "patch.h"
#include "settable.h"
#include "tables.h"
#include "tree.h"
#include "unit.h"

uint32_t policy_entry(const struct config *c, int chain)
{
	uint32_t drop = c->chains[chain].audit ? RULE_AUDIT_BIT : RULE_DROP_BIT;

	return (chain ? RULE_POLICY_EGRESS : RULE_POLICY_INGRESS) | (c->chains[chain].policy_drop ? drop : 0);
}

/* ---- the whole */

/* All rows of a rule have the rule's bucket, so each may have a copy of what it says. */
void limit_write(struct filter_limit *to, const struct rule *r)
{
	const struct limit *l = &r->limit;
	long double cost = ((long double)l->per * 1e9L * (1 << LIMIT_SHIFT)) / l->rate;

	to->cost = cost < 1 ? 1 : cost + 0.5L;
	/* of bytes nft lets a second's worth wait beside the burst */
	to->depth = (l->bytes ? (long double)l->per * 1e9L * (1 << LIMIT_SHIFT) : 0) + cost * l->burst;
	if (to->depth >= LIMIT_TICKS * (jiffy_ns() << LIMIT_SHIFT))
		to->tick = jiffy_ns() << LIMIT_SHIFT;
	to->id = r->id;
	to->flags = (l->over ? LIMIT_OVER : 0) | (l->bytes ? LIMIT_BYTES : 0);
	for (int i = 0; i < l->n_keys; i++) {
		to->flags |= limit_key_of(l->keys[i]);
		if (limit_key_of(l->keys[i]) == LIMIT_SADDR)
			to->slength = l->length[i];
		else if (limit_key_of(l->keys[i]) == LIMIT_DADDR)
			to->dlength = l->length[i];
	}
}

uint32_t limit_store(struct memory *w, const struct rule *r)
{
	uint32_t at = memory_take_at(w, sizeof(struct filter_limit) / 8, sizeof(struct filter_limit) / 8);

	limit_write((struct filter_limit *)(w->v + at), r);
	return at;
}

static void write_mark(uint64_t *to, const struct rule *r)
{
	struct filter_mark mark = { r->mark.keep, r->mark.flip };

	memcpy(to, &mark, sizeof(mark));
}

static uint64_t key_fields(const struct set_lookup *l)
{
	uint64_t fields = 0;

	for (int i = 0; i < l->n_parts; i++)
		fields |= FIELD_BIT(l->part[i].field);
	return fields;
}

/* What the rule puts into a set and which elements it counts. */
static void write_touch(struct set_lookup *to, const struct config *c, const struct raws *raws, const struct rule *r)
{
	if (r->update.how)
		lookup_describe(to, raws, config_set(c, r->update.set), r->update.keys, r->update.n_keys);
	to->update = r->update.how;
	to->timeout = ticks_of_ms(r->update.timeout_ms);
	to->counted = lookups_counted(c, raws, r);
}

/* Where the rule's limit is, its mark right behind, or its mark; its set statement FILTER_TOUCH words behind the place of both. */
static uint32_t store_aside(struct memory *w, uint32_t entry, const struct config *c, const struct raws *raws, const struct rule *r)
{
	uint32_t limit = entry & RULE_LIMIT_BIT ? FILTER_LIMIT_WORDS : 0, words = limit + !!(entry & RULE_MARK_BIT), at;

	if (entry & RULE_SET_BIT)
		words = FILTER_TOUCH + sizeof(struct set_lookup) / 8;
	at = memory_take_at(w, words, entry & RULE_SET_BIT ? FILTER_TOUCH : limit ? limit : 1);
	if (limit)
		limit_write((struct filter_limit *)(w->v + at), r);
	if (entry & RULE_MARK_BIT) {
		write_mark(w->v + at + limit, r);
		memory_chain(w)->fields |= FIELDS_MARKED;
	}
	if (entry & RULE_SET_BIT) {
		struct set_lookup *touch = (struct set_lookup *)(w->v + at + FILTER_TOUCH);

		write_touch(touch, c, raws, r);
		memory_chain(w)->keys |= key_fields(touch);
	}
	return at;
}

static void store_lookups(struct memory *w, const struct raws *raws)
{
	uint32_t words = sizeof(struct set_lookup) / 8, at = memory_take_at(w, FILTER_LOOKUPS * words, words);

	memory_chain(w)->lookups = at;
	for (int i = 0; i < FILTER_LOOKUPS; i++) {
		struct set_lookup *to = (struct set_lookup *)(w->v + at + i * words);
		const struct lookup *l = &raws->lookup[i];

		if (l->set)
			lookup_describe(to, raws, l->set, l->keys, l->n_keys);
		memory_chain(w)->keys |= key_fields(to);
	}
}

static void store_entries(struct memory *w, const struct config *config, const struct raws *raws, const struct rows *rows, const struct units *u)
{
	uint32_t at = memory_take(w, u->n_units), leaps = memory_take(w, u->n_units);

	memory_chain(w)->entries = at;
	memory_chain(w)->leaps = leaps;
	for (uint32_t i = 0; i < u->n_units; i++) {
		const struct unit *unit = &u->unit[i];
		const struct row *r = &rows->v[unit->row];

		w->v[at + i] = (uint64_t)unit->position << 32 | (unit->group < 0 ? r->entry : FILTER_GROUP_BIT | unit->group);
		if (unit->group >= 0)
			continue;
		if (r->entry & RULE_CONTINUE_BIT && r->next != unit->position + 1)
			w->v[leaps + i] = r->next;
		if (r->entry & (RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT)) {
			uint64_t place = store_aside(w, r->entry, config, raws, r->rule);

			w->v[leaps + i] |= place << 32;
		}
	}
}

static int compile_rows(struct memory *w, const struct config *config, const struct raws *raws, const struct rows *rows, uint32_t policy, bool grouped)
{
	struct filter_chain *c;
	struct units u = {};
	int err = units_make(&u, rows, grouped);

	if (!err) {
		c = memory_chain(w);
		c->policy = policy;
		c->rules = rows->n;
		c->units = u.n_units;
		c->words = (u.n_units + 63) / 64;
		c->summary = c->words > 1 ? (c->words + 63) / 64 : 0;
		c->stride = c->words + c->summary;
		for (int r = 0; r < rows->n; r++)
			c->fields |= rows->v[r].k.used;
		store_entries(w, config, raws, rows, &u);
		if (memory_chain(w)->fields & FIELDS_SET)
			store_lookups(w, raws);
		err = tables_store(w, rows, &u);
	}
	if (!err)
		err = groups_store(w, &u);
	units_free(&u);
	return err;
}

bool row_needs_full(const struct row *r)
{
	return r->k.used & ~FIELDS_CORE || r->entry & (RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT | RULE_LOG_BIT | RULE_VARIANT_BIT |
						       RULE_REJECT_MOST << RULE_REJECT_SHIFT);
}

/* After all else that is in the chain's head. */
static void note_full(struct filter_chain *c, const struct rows *rows)
{
	bool full = c->fields & ~FIELDS_CORE || c->keys || c->scans & FILTER_ASKS;

	for (int i = 0; i < rows->n && !full; i++)
		full = row_needs_full(&rows->v[i]);
	if (full)
		c->scans |= FILTER_FULL;
}

static int compile_chain(struct memory *w, const struct config *config, const struct raws *raws, int which, int ungrouped)
{
	struct rows rows;
	int err = flatten(&rows, config, raws, which);

	if (err)
		return err;
	memory_take(w, sizeof(struct filter_chain) / 8);
	patch_prepare(w, rows.starts, rows.n_starts);
	err = compile_rows(w, config, raws, &rows, policy_entry(config, which), rows.n > ungrouped);
	if (!err)
		trees_store(w, &rows, raws, policy_entry(config, which));
	if (!err && memory_bytes(w) > FILTER_LARGE)
		err = fail(EXIT_FAILED, "the rules of chain %s need %zu MiB of tables, the limit is %d: use sets in place of single rules", chain_name[which],
			   memory_bytes(w) >> 20, FILTER_LARGE >> 20);
	for (int i = 0; i < raws->n; i++)
		memory_chain(w)->raw[i] = (struct filter_raw){ raws->v[i].base, raws->v[i].length, raws->v[i].offset };
	memory_chain(w)->bytes = memory_bytes(w);
	note_full(memory_chain(w), &rows);
	rows_free(&rows);
	return err;
}

int compile_grouping(struct compiled *out, const struct config *c, int ungrouped)
{
	int err = 0, rules = 0;

	memset(out, 0, sizeof(*out));
	raws_of(&out->raws, c);
	for (int i = 0; i < config_n_chains(c); i++)
		rules += config_chain(c, i)->n_rules;
	if (rules > FILTER_MAX_RULES)
		return fail(EXIT_FAILED, "%d rules, the limit is %d", rules, FILTER_MAX_RULES);
	for (int i = 0; i < CHAIN_COUNT && !err; i++)
		err = compile_chain(&out->chain[i], c, &out->raws, i, ungrouped);
	if (err)
		compiled_free(out);
	return err;
}

bool compiled_needs_full(const struct compiled *c)
{
	bool full = false;

	for (int i = 0; i < CHAIN_COUNT; i++)
		full |= ((const struct filter_chain *)c->chain[i].v)->scans & FILTER_FULL;
	return full;
}

int compile(struct compiled *out, const struct config *c)
{
	return compile_grouping(out, c, UNITS_UNGROUPED);
}

void compiled_free(struct compiled *c)
{
	for (int i = 0; i < CHAIN_COUNT; i++)
		free(c->chain[i].v);
	memset(c, 0, sizeof(*c));
}
