/* SPDX-License-Identifier: GPL-2.0-only */
/* oracle: the language's meaning on the model itself, rule after rule, jump after jump, as slow and as plain as can be. What the compiled tables
 * are held against. */
#include <stdlib.h>
#include <string.h>
#include "lookup.h"

enum outcome { GOES_ON, RETURNS, DECIDED };

struct oracle {
	const struct config *config;
	struct raws raws;
	struct field_values *packet;	/* its mark changes on the way */
	int first;		/* chain */
	uint64_t used;		/* fields that the rules on the way here look at */
	uint32_t entry;
	uint32_t left;			/* what the return that led to the policy does beside */
	const struct rule_visit *visit;	/* or NULL */
};

u128 field_value(const struct field_values *v, enum filter_field f)
{
	return field_words[f] == 2 ? (u128)v->hi[f] << 64 | v->lo[f] : v->lo[f];
}

static bool holds(const struct constraints *k, const struct field_values *v)
{
	for (int f = 0; f < FIELD_COUNT; f++)
		if (k->used & FIELD_BIT(f) && !(v->present & FIELD_BIT(f) && spans_have(&k->field[f], field_value(v, f))))
			return false;
	return true;
}

/* The element that has the packet: in ways->v[*found]. */
static bool way_found(const struct oracle *o, const struct match *m, struct ways *ways, int *found)
{
	ways_of(ways, o->config, &o->raws, m);
	for (*found = 0; *found < ways->n; ++*found)
		if (holds(&ways->v[*found].k, o->packet))
			return true;
	return false;
}

static bool concatenation_holds(const struct oracle *o, const struct match *m)
{
	struct ways ways;
	int found;
	bool in = way_found(o, m, &ways, &found);

	ways_free(&ways);
	return in != m->negate;
}

/* *used gets the fields of the rule's matches. */
static bool rule_holds(const struct oracle *o, const struct rule *r, uint64_t *used)
{
	struct constraints k;
	bool in;

	rule_constraints(o->config, &o->raws, r, &k);
	*used = k.used;
	in = holds(&k, o->packet) && !(r->limit.rate && r->limit.over);	/* buckets are taken to be full */
	constraints_free(&k);
	for (int i = 0; i < r->n_matches && in; i++)
		if (match_has_ways(o->config, &r->matches[i]))
			in = concatenation_holds(o, &r->matches[i]);
	return in;
}

static enum outcome decide(struct oracle *o, uint32_t entry)
{
	o->entry = entry | (o->used & ~FIELDS_INVARIANT ? RULE_VARIANT_BIT : 0);
	return DECIDED;
}

static enum outcome walk(struct oracle *o, int chain);

static enum outcome follow(struct oracle *o, const struct rule *r, enum rule_verdict verdict, const char *target)
{
	uint32_t drop = o->config->chains[o->first].audit ? RULE_AUDIT_BIT : RULE_DROP_BIT;
	bool touches = r->update.how || lookups_counted(o->config, &o->raws, r);
	uint32_t aside = (touches ? RULE_SET_BIT | RULE_VARIANT_BIT : 0) | (r->mark.set ? RULE_MARK_BIT : 0);
	uint32_t more = aside | (r->limit.rate ? RULE_LIMIT_BIT : 0) | (r->log ? RULE_LOG_BIT | RULE_VARIANT_BIT : 0);
	enum outcome end;

	switch (verdict) {
	case RULE_ACCEPT:
		return decide(o, r->id | more);
	case RULE_DROP:
		return decide(o, r->id | drop | more);
	case RULE_REJECT:
		return decide(o, r->id | drop | more | (drop == RULE_DROP_BIT ? (uint32_t)r->reject << RULE_REJECT_SHIFT : 0));
	case RULE_RETURN:
		o->left = aside;
		return RETURNS;
	case RULE_JUMP:
	case RULE_GOTO:
		end = walk(o, config_find_chain(o->config, target));
		o->left = end == RETURNS ? o->left : 0;
		return end == DECIDED ? DECIDED : verdict == RULE_GOTO ? RETURNS : GOES_ON;
	default:
		return GOES_ON;
	}
}

static enum outcome follow_map(struct oracle *o, const struct rule *r)
{
	enum outcome end = GOES_ON;
	struct ways ways;
	int found;

	if (way_found(o, r->vmap, &ways, &found)) {
		o->used |= ways.v[found].k.used;
		end = follow(o, r, ways.v[found].verdict, ways.v[found].target);
	}
	ways_free(&ways);
	return end;
}

static enum outcome walk(struct oracle *o, int chain)
{
	const struct chain *k = config_chain(o->config, chain);
	uint64_t path = o->used, used;
	enum outcome end = GOES_ON;

	for (int i = 0; i < k->n_rules && end == GOES_ON; i++) {
		const struct rule *r = &k->rules[i];

		bool in = rule_holds(o, r, &used);

		if (o->visit ? !o->visit->rule(o->visit->ctx, chain, r, in, o->packet->lo[FIELD_MARK]) : !in)
			continue;
		o->used = path | used;
		if (r->mark.set)
			o->packet->lo[FIELD_MARK] = mark_apply(&r->mark, o->packet->lo[FIELD_MARK]);
		end = r->vmap ? follow_map(o, r) : follow(o, r, r->verdict, r->target);
		if (end == RETURNS && chain == o->first)
			return decide(o, policy_entry(o->config, chain) | o->left);
		o->used = end == GOES_ON ? path : o->used;
	}
	return end;
}

uint32_t model_walk(const struct config *c, int chain, struct field_values *v, const struct rule_visit *visit)
{
	struct oracle o = { .config = c, .packet = v, .first = chain, .visit = visit };

	raws_of(&o.raws, c);
	return walk(&o, chain) == DECIDED ? o.entry : policy_entry(c, chain);
}

uint32_t model_classify(const struct config *c, int chain, struct field_values *v)
{
	return model_walk(c, chain, v, NULL);
}

bool model_rule_holds(const struct config *c, const struct raws *raws, const struct rule *r, const struct field_values *v)
{
	struct field_values packet = *v;
	struct oracle o = { .config = c, .packet = &packet, .raws = *raws };
	struct ways ways = {};
	uint64_t used;
	bool in = rule_holds(&o, r, &used);
	int found;

	if (in && r->vmap) {
		in = way_found(&o, r->vmap, &ways, &found);
		ways_free(&ways);
	}
	return in;
}
