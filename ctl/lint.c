/* SPDX-License-Identifier: GPL-2.0-only */
/* lint: works on the rows that are compiled too. A rule is dead when each of its rows is; a row is dead when its spans contradict each other or lie
 * within those of an earlier row that decides, or leads past it. */
#include <stdlib.h>
#include <string.h>
#include "flatten.h"
#include "lint.h"

/* ---- what a packet must have by what it has, as the parser makes it */

static void must_be(struct constraints *k, enum filter_field f, u128 lo, u128 hi)
{
	struct span one = { lo, hi };
	struct spans s;

	if (k->used >> f & 1) {
		s = spans_intersect(&k->field[f], &(struct spans){ &one, 1, 1 });
		spans_free(&k->field[f]);
		k->field[f] = s;
	} else {
		spans_add(&k->field[f], lo, hi);
		k->used |= 1ull << f;
	}
}

static bool uses(const struct constraints *k, enum filter_field f)
{
	return k->used >> f & 1;
}

static bool only(const struct constraints *k, enum filter_field f, u128 value)
{
	const struct spans *s = &k->field[f];

	return uses(k, f) && s->n == 1 && s->v[0].lo == value && s->v[0].hi == value;
}

static void imply_family(struct constraints *k)
{
	if (uses(k, FIELD_SADDR4) || uses(k, FIELD_DADDR4) || uses(k, FIELD_FRAG_OFF) || only(k, FIELD_L3_TYPE, 0x800))
		must_be(k, FIELD_FAMILY, 4, 4);
	if (uses(k, FIELD_SADDR6) || uses(k, FIELD_DADDR6) || uses(k, FIELD_NEXTHDR) || only(k, FIELD_L3_TYPE, 0x86dd))
		must_be(k, FIELD_FAMILY, 6, 6);
	if (uses(k, FIELD_L4PROTO) || uses(k, FIELD_TTL) || uses(k, FIELD_TOS) || uses(k, FIELD_IP_LENGTH) || uses(k, FIELD_OPTIONS) ||
	    uses(k, FIELD_SPORT) || uses(k, FIELD_DPORT))
		must_be(k, FIELD_FAMILY, 4, 6);
}

static void imply(struct constraints *k)
{
	imply_family(k);
	if (uses(k, FIELD_SPORT) || uses(k, FIELD_DPORT)) {
		must_be(k, FIELD_SPORT, 0, 0xffff);
		must_be(k, FIELD_DPORT, 0, 0xffff);
	}
	if (uses(k, FIELD_FAMILY)) {
		must_be(k, FIELD_L4PROTO, 0, 0xff);
		must_be(k, FIELD_TTL, 0, 0xff);
		must_be(k, FIELD_TOS, 0, 0xff);
		must_be(k, FIELD_IP_LENGTH, 0, 0xffff);
	}
	if (only(k, FIELD_FAMILY, 4)) {
		must_be(k, FIELD_SADDR4, 0, 0xffffffff);
		must_be(k, FIELD_DADDR4, 0, 0xffffffff);
		must_be(k, FIELD_FRAG_OFF, 0, 0xffff);
		must_be(k, FIELD_L3_TYPE, 0x800, 0x800);
	}
	if (only(k, FIELD_FAMILY, 6)) {
		must_be(k, FIELD_SADDR6, 0, ~(u128)0);
		must_be(k, FIELD_DADDR6, 0, ~(u128)0);
		must_be(k, FIELD_NEXTHDR, 0, 0xff);
		must_be(k, FIELD_L3_TYPE, 0x86dd, 0x86dd);
	}
	k->empty = false;
	for (int f = 0; f < FIELD_COUNT; f++)
		k->empty |= uses(k, f) && !k->field[f].n;
}

/* ---- one row against another */

static bool within(const struct spans *inner, const struct spans *outer)
{
	for (int i = 0, j = 0; i < inner->n; i++) {
		while (j < outer->n && outer->v[j].hi < inner->v[i].lo)
			j++;
		if (j == outer->n || outer->v[j].lo > inner->v[i].lo || outer->v[j].hi < inner->v[i].hi)
			return false;
	}
	return true;
}

static bool takes_all(const struct constraints *outer, const struct constraints *inner)
{
	if (outer->used & ~inner->used)
		return false;
	for (int f = 0; f < FIELD_COUNT; f++)
		if (uses(outer, f) && !within(&inner->field[f], &outer->field[f]))
			return false;
	return true;
}

/* Some row from i on and before j sets the mark: what i asks of it says nothing about what j sees. */
static bool remarked(const struct rows *rows, int i, int j)
{
	for (; i < j; i++)
		if (rows->v[i].entry & RULE_MARK_BIT)
			return true;
	return false;
}

/* `remarked`: each has a mark of its own. */
static bool meet(const struct constraints *a, const struct constraints *b, bool remarked)
{
	for (int f = 0; f < FIELD_COUNT; f++) {
		struct spans both;
		bool none;

		if (!(uses(a, f) && uses(b, f)) || (f == FIELD_MARK && remarked))
			continue;
		both = spans_intersect(&a->field[f], &b->field[f]);
		none = !both.n;
		spans_free(&both);
		if (none)
			return false;
	}
	return true;
}

/* The row takes its packets away from row i: it decides, or leads past i. */
static bool takes_from(const struct row *r, int i)
{
	return !(r->entry & RULE_CONTINUE_BIT) || r->next > (uint32_t)i;
}

/* Packets of row i may have been led past row j by an earlier one. */
static bool led_past(const struct rows *rows, int j, int i)
{
	for (int s = 0; s < j; s++)
		if (rows->v[s].entry & RULE_CONTINUE_BIT && rows->v[s].next > (uint32_t)j && rows->v[s].next <= (uint32_t)i &&
		    meet(&rows->v[s].k, &rows->v[i].k, remarked(rows, s, i)))
			return true;
	return false;
}

static int coverer(const struct rows *rows, int i)
{
	for (int j = 0; j < i; j++)
		if (!rows->v[j].k.empty && takes_from(&rows->v[j], i) && takes_all(&rows->v[j].k, &rows->v[i].k) &&
		    !(uses(&rows->v[j].k, FIELD_MARK) && remarked(rows, j, i)) && !led_past(rows, j, i))
			return j;
	return -1;
}

/* ---- rules */

struct verdict {		/* on one rule, over all its rows so far */
	bool seen, alive;
	struct lint_finding dead;
};

struct linter {
	const struct config *config;
	struct verdict **rules;	/* by chain and place */
	bool *reached;
};

static struct lint_place place_of(const struct linter *l, const struct row *r)
{
	return (struct lint_place){ r->chain, (int)(r->rule - config_chain(l->config, r->chain)->rules) };
}

static void judge_row(struct linter *l, const struct rows *rows, int i)
{
	const struct row *r = &rows->v[i];
	struct lint_place at = place_of(l, r);
	struct verdict *v = &l->rules[at.chain][at.rule];
	int by;

	if (!r->own || v->alive)
		return;
	by = r->k.empty ? -1 : coverer(rows, i);
	v->alive = !r->k.empty && by < 0;
	if (!v->seen || (by >= 0 && v->dead.kind == LINT_CONTRADICTS))
		v->dead = (struct lint_finding){ by < 0 ? LINT_CONTRADICTS : LINT_COVERED, at, by < 0 ? at : place_of(l, &rows->v[by]) };
	v->seen = true;
}

static void reach(struct linter *l, int chain);

static int reach_target(void *context, const char *target, struct where at)
{
	struct linter *l = context;
	int chain = config_find_chain(l->config, target);

	(void)at;
	if (chain >= 0 && !l->reached[chain])
		reach(l, chain);
	return 0;
}

static void reach(struct linter *l, int chain)
{
	const struct chain *k = config_chain(l->config, chain);

	l->reached[chain] = true;
	for (int i = 0; i < k->n_rules; i++)
		rule_targets(l->config, &k->rules[i], reach_target, l);
}

static int judge_chain(struct linter *l, const struct raws *raws, int chain)
{
	struct rows rows;
	int err = flatten_probed(&rows, l->config, raws, chain);

	if (err)
		return err;
	for (int i = 0; i < rows.n; i++)
		imply(&rows.v[i].k);
	for (int i = 0; i < rows.n; i++)
		judge_row(l, &rows, i);
	rows_free(&rows);
	reach(l, chain);
	return 0;
}

static void add(struct lint_findings *out, struct lint_finding f)
{
	out->v = array_room(out->v, out->n, sizeof(*out->v));
	out->v[out->n++] = f;
}

/* A rule without any row lies behind a way that contradicts it. */
static void report(struct linter *l, struct lint_findings *out)
{
	for (int k = 0; k < config_n_chains(l->config); k++) {
		if (!l->reached[k]) {
			add(out, (struct lint_finding){ LINT_UNREACHED, { k, -1 }, { k, -1 } });
			continue;
		}
		for (int i = 0; i < config_chain(l->config, k)->n_rules; i++) {
			const struct verdict *v = &l->rules[k][i];

			if (!v->seen)
				add(out, (struct lint_finding){ LINT_CONTRADICTS, { k, i }, { k, i } });
			else if (!v->alive)
				add(out, v->dead);
		}
	}
}

int lint(struct lint_findings *out, const struct config *c)
{
	int n = config_n_chains(c), err = 0;
	struct linter l = { c, must(calloc(n, sizeof(*l.rules))), must(calloc(n, 1)) };
	struct raws raws;

	*out = (struct lint_findings){ 0 };
	raws_of(&raws, c);
	for (int k = 0; k < n; k++)
		l.rules[k] = must(calloc(config_chain(c, k)->n_rules + 1, sizeof(*l.rules[k])));
	for (int k = 0; k < CHAIN_COUNT && !err; k++)
		err = judge_chain(&l, &raws, k);
	if (!err)
		report(&l, out);
	for (int k = 0; k < n; k++)
		free(l.rules[k]);
	free(l.rules);
	free(l.reached);
	return err;
}
