/* SPDX-License-Identifier: GPL-2.0-only */
/* flatten: see flatten.h. A rule is worked off in two steps: the ways its matches can hold, each a conjunction; then what it does for each. */
#include <stdlib.h>
#include <string.h>
#include "flatten.h"
#include "lookup.h"

enum { ROWS_MOST = FILTER_MAX_RULES - RULE_FIRST, LEVELS_MOST = 17 };

struct label {			/* rows that go on where the label will stand */
	int *rows, n;
};

struct flattener {
	const struct config *config;
	const struct raws *raws;
	struct rows *out;
	uint32_t policy, drop_bit;	/* the policy's entry; what drop means: RULE_DROP_BIT, or RULE_AUDIT_BIT */
	bool probe;			/* rows for rules that only lead on */
	bool marks;			/* rules of the configuration set the mark */
	int variant;			/* the way here asks for a mark that may be another by now */
	int level;
	int err;
};

struct spot {			/* where a rule stands */
	const struct rule *rule;
	int chain;
	bool tidy;		/* behind what it does itself */
	struct label *back;	/* where return leads; NULL: to the policy */
};

static void run_chain(struct flattener *f, int chain, const struct constraints *path, struct label *back);

/* What the rule does beside its verdict. */
static uint32_t aside_bits(const struct flattener *f, const struct rule *r)
{
	bool touches = r->update.how || lookups_counted(f->config, f->raws, r);

	return (r->mark.set ? RULE_MARK_BIT : 0) | (touches ? RULE_SET_BIT | RULE_VARIANT_BIT : 0);
}

static struct row *add_row(struct flattener *f, const struct spot *at, const struct constraints *k, uint32_t entry)
{
	struct rows *r = f->out;
	struct row *row;

	if (r->n >= ROWS_MOST && !f->err)
		f->err = fail_at(EXIT_FAILED, at->rule ? at->rule->at : (struct where){ 0 }, NULL, "with this rule the chain has more than %d rules once "
				 "jumps, concatenations and maps are written out: jump from fewer places, or use sets of one type", ROWS_MOST);
	if (f->err)
		return NULL;
	r->v = array_room(r->v, r->n, sizeof(*r->v));
	row = &r->v[r->n++];
	*row = (struct row){ .entry = entry, .next = r->n, .rule = at->rule, .chain = at->chain, .own = !at->tidy };
	constraints_copy(&row->k, k);
	if (k->used & ~FIELDS_INVARIANT || f->variant)
		row->entry |= RULE_VARIANT_BIT;
	if (at->rule && at->rule->limit.rate && entry != f->policy)
		row->entry |= RULE_LIMIT_BIT;
	return row;
}

static void label_wait(struct flattener *f, struct label *l)
{
	l->rows = array_room(l->rows, l->n, sizeof(*l->rows));
	l->rows[l->n++] = f->out->n - 1;
}

static void label_here(struct flattener *f, struct label *l)
{
	for (int i = 0; i < l->n; i++)
		f->out->v[l->rows[i]].next = f->out->n;
	free(l->rows);
	*l = (struct label){ 0 };
}

/* A row that only goes on at the label: at the policy where there is none. */
static void add_leap(struct flattener *f, const struct spot *at, const struct constraints *k, struct label *to, uint32_t id, uint32_t mark)
{
	if (!to && id)
		add_row(f, at, k, RULE_CONTINUE_BIT | id);
	if (!to)
		add_row(f, at, k, f->policy | mark);
	else if (add_row(f, at, k, RULE_CONTINUE_BIT | id | mark))
		label_wait(f, to);
}

/* The rule has had its say: those it dealt with go on at the label. */
static void add_end(struct flattener *f, const struct spot *at, const struct constraints *k, struct label *to)
{
	struct spot behind = *at;

	behind.tidy = true;
	add_leap(f, &behind, k, to, 0, 0);
}

/* The chain's rows under k. `end`: where those go that come back, or NULL: on behind. */
static void lead_to(struct flattener *f, const struct spot *at, const struct constraints *k, enum rule_verdict how, const char *target, struct label *end)
{
	struct label back = { 0 };
	int chain = config_find_chain(f->config, target);

	if (f->level == LEVELS_MOST && !f->err)
		f->err = fail_at(EXIT_FAILED, at->rule->at, NULL, "chains lead more than %d levels deep", LEVELS_MOST - 1);
	if (f->err || chain < 0)
		return;
	f->level++;
	if (how == RULE_JUMP) {
		run_chain(f, chain, k, &back);
		label_here(f, &back);
		if (end)
			add_end(f, at, k, end);
	} else {
		run_chain(f, chain, k, at->back);
		add_end(f, at, k, at->back);
	}
	f->level--;
}

/* The same where k asks for the mark, which may be another when the packet comes to a row of the chain: so it is asked for once, here, and all others are led
 * past the chain. */
static void lead_by_mark(struct flattener *f, const struct spot *at, const struct constraints *k, enum rule_verdict how, const char *target,
			 struct label *end, uint32_t entry)
{
	struct label inside = { 0 }, past = { 0 };
	struct constraints rest;

	constraints_copy(&rest, k);
	constraints_drop(&rest, FIELD_MARK);
	f->variant++;
	if (add_row(f, at, k, RULE_CONTINUE_BIT | entry)) {
		label_wait(f, &inside);
		add_end(f, at, &rest, &past);
		label_here(f, &inside);
		lead_to(f, at, &rest, how, target, end);
	}
	label_here(f, &past);
	f->variant--;
	constraints_free(&rest);
}

/* What the rule does with the packets of one way. `end`: the rule's, where those go that have been dealt with and not decided on. */
static void act(struct flattener *f, const struct spot *at, const struct constraints *k, enum rule_verdict verdict, const char *target,
		struct label *end)
{
	uint32_t log = at->rule->log ? RULE_LOG_BIT | RULE_VARIANT_BIT : 0;	/* each packet is logged, not the first of a flow */
	uint32_t id = (at->rule->id & RULE_ID_MASK) | log, counted = at->rule->counter || at->rule->log ? id : 0;
	uint32_t aside = aside_bits(f, at->rule);

	switch (verdict) {
	case RULE_ACCEPT:
		add_row(f, at, k, id | aside);
		break;
	case RULE_DROP:
		add_row(f, at, k, id | aside | f->drop_bit);
		break;
	case RULE_REJECT:
		add_row(f, at, k, id | aside | f->drop_bit | (f->drop_bit == RULE_DROP_BIT ? (uint32_t)at->rule->reject << RULE_REJECT_SHIFT : 0));
		break;
	case RULE_RETURN:
		add_leap(f, at, k, at->back, counted, aside);
		break;
	case RULE_JUMP:
	case RULE_GOTO:
		if (f->marks && k->used & FIELD_BIT(FIELD_MARK)) {
			lead_by_mark(f, at, k, verdict, target, end, counted | aside);
			break;
		}
		if (counted || aside || f->probe)
			add_row(f, at, k, RULE_CONTINUE_BIT | counted | aside);
		lead_to(f, at, k, verdict, target, end);
		break;
	default:	/* counts; an element that says continue does not even that */
		if ((f->probe || (at->rule->vmap ? counted | aside : id)) && add_row(f, at, k, RULE_CONTINUE_BIT | aside | (at->rule->vmap ? counted : id)) && end)
			label_wait(f, end);
	}
}

static void act_by_map(struct flattener *f, const struct spot *at, const struct constraints *k, struct label *end)
{
	struct ways ways;

	ways_of(&ways, f->config, f->raws, at->rule->vmap);
	for (int i = 0; i < ways.n && !f->err; i++) {
		struct constraints both;

		constraints_join(&both, k, &ways.v[i].k);
		if (!both.empty)
			act(f, at, &both, ways.v[i].verdict, ways.v[i].target, end);
		constraints_free(&both);
	}
	ways_free(&ways);
}

/* Rows that lead what is in a negated concatenation past the rule. */
static void pass_by(struct flattener *f, const struct spot *at, const struct constraints *k, const struct match *m, struct label *end)
{
	struct ways ways;

	ways_of(&ways, f->config, f->raws, m);
	for (int i = 0; i < ways.n && !f->err; i++) {
		struct constraints both;

		constraints_join(&both, k, &ways.v[i].k);
		if (!both.empty)
			add_end(f, at, &both, end);
		constraints_free(&both);
	}
	ways_free(&ways);
}

/* The concatenations of the rule from the mth match on, under k. `end`: NULL when there is one way only. */
static void concatenations(struct flattener *f, const struct spot *at, const struct constraints *k, int m, struct label *end)
{
	const struct rule *r = at->rule;
	struct ways ways;

	while (m < r->n_matches && (!match_has_ways(f->config, &r->matches[m]) || r->matches[m].negate))
		m++;
	if (m < r->n_matches) {
		ways_of(&ways, f->config, f->raws, &r->matches[m]);
		for (int i = 0; i < ways.n && !f->err; i++) {
			struct constraints both;

			constraints_join(&both, k, &ways.v[i].k);
			if (!both.empty)
				concatenations(f, at, &both, m + 1, end);
			constraints_free(&both);
		}
		ways_free(&ways);
		return;
	}
	for (m = 0; m < r->n_matches && !f->err; m++)
		if (match_has_ways(f->config, &r->matches[m]) && r->matches[m].negate)
			pass_by(f, at, k, &r->matches[m], end);
	if (r->vmap)
		act_by_map(f, at, k, end);
	else
		act(f, at, k, r->verdict, r->target, end);
}

static void run_rule(struct flattener *f, const struct spot *at, const struct constraints *path)
{
	struct constraints own, k;
	struct label end = { 0 };
	bool ways = false;

	for (int m = 0; m < at->rule->n_matches; m++)
		ways |= match_has_ways(f->config, &at->rule->matches[m]);
	rule_constraints(f->config, f->raws, at->rule, &own);
	constraints_join(&k, path, &own);
	/* a rule of the first chain that contradicts itself keeps its row, for lint to find */
	if (!k.empty || !path->used)
		concatenations(f, at, &k, 0, ways ? &end : NULL);
	label_here(f, &end);
	constraints_free(&own);
	constraints_free(&k);
}

static void run_chain(struct flattener *f, int chain, const struct constraints *path, struct label *back)
{
	const struct chain *k = config_chain(f->config, chain);

	for (int i = 0; i < k->n_rules && !f->err; i++) {
		if (!f->level)
			f->out->starts[i] = f->out->n;
		run_rule(f, &(struct spot){ &k->rules[i], chain, false, back }, path);
	}
}

static int flatten_as(struct rows *out, const struct config *c, const struct raws *raws, int chain, bool probe)
{
	bool audit = c->chains[chain].audit;
	struct flattener f = { c, raws, out, policy_entry(c, chain), audit ? RULE_AUDIT_BIT : RULE_DROP_BIT, probe, config_marks(c), 0, 0, 0 };

	*out = (struct rows){ .n_starts = c->chains[chain].n_rules };
	out->starts = must(malloc((out->n_starts + 1) * sizeof(*out->starts)));
	run_chain(&f, chain, &(struct constraints){ 0 }, NULL);
	out->starts[out->n_starts] = out->n;
	if (f.err)
		rows_free(out);
	return f.err;
}

int flatten(struct rows *out, const struct config *c, const struct raws *raws, int chain)
{
	return flatten_as(out, c, raws, chain, false);
}

int flatten_probed(struct rows *out, const struct config *c, const struct raws *raws, int chain)
{
	return flatten_as(out, c, raws, chain, true);
}

void rows_free(struct rows *r)
{
	for (int i = 0; i < r->n; i++)
		constraints_free(&r->v[i].k);
	free(r->v);
	free(r->starts);
	*r = (struct rows){ 0 };
}
