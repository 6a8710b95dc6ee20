/* SPDX-License-Identifier: GPL-2.0-only */
/* lookup: see lookup.h. */
#include <string.h>
#include "../maps/set.h"
#include "lookup.h"
#include "settable.h"

static bool is_lookup(const struct lookup *l, const struct set *s, const struct match *m)
{
	return l->set == s && l->n_keys == m->n_keys && !memcmp(l->keys, m->keys, m->n_keys * sizeof(*m->keys));
}

static const struct set *live_set(const struct config *c, const struct match *m)
{
	const struct set *s = m->set ? config_set(c, m->set) : NULL;

	return s && set_is_live(s) ? s : NULL;
}

static void take(const struct config *c, struct lookup *list, const struct match *m, const struct match **over)
{
	const struct set *s = live_set(c, m);
	int from, to;

	if (!s)
		return;
	from = set_is_volatile(s) ? FILTER_LOOKUPS_FIXED : 0;
	to = set_is_volatile(s) ? FILTER_LOOKUPS : FILTER_LOOKUPS_FIXED;
	for (int i = from; i < to; i++) {
		if (is_lookup(&list[i], s, m))
			return;
		if (list[i].set)
			continue;
		list[i] = (struct lookup){ s, m->keys, m->n_keys };
		return;
	}
	*over = *over ? *over : m;
}

void lookups_list(const struct config *c, struct lookup *list, const struct match **over)
{
	bool any = false;

	memset(list, 0, FILTER_LOOKUPS * sizeof(*list));
	*over = NULL;
	for (int i = 0; i < c->n_sets; i++)
		any |= set_is_live(&c->sets[i]);
	for (int k = 0; any && k < config_n_chains(c); k++)
		for (int i = 0; i < config_chain(c, k)->n_rules; i++)
			for (int m = 0; m < config_chain(c, k)->rules[i].n_matches; m++)
				take(c, list, &config_chain(c, k)->rules[i].matches[m], over);
}

int lookup_of(const struct config *c, const struct raws *raws, const struct match *m)
{
	const struct set *s = live_set(c, m);

	for (int i = 0; s && i < FILTER_LOOKUPS; i++)
		if (is_lookup(&raws->lookup[i], s, m))
			return i;
	return -1;
}

uint32_t lookups_counted(const struct config *c, const struct raws *raws, const struct rule *r)
{
	uint32_t counted = 0;

	for (int i = 0; i < r->n_matches; i++) {
		int n = lookup_of(c, raws, &r->matches[i]);

		if (n >= 0 && raws->lookup[n].set->counter && !r->matches[i].negate)
			counted |= 1u << n;
	}
	return counted;
}

/* ---- the model's answer */

static u128 part_value(const struct field_values *v, const struct raws *raws, enum config_key key)
{
	struct key_place p = key_place(raws, key, NULL);
	u128 x = field_value(v, p.field);

	return p.bits ? x >> p.shift & ((1u << p.bits) - 1) : x;
}

static bool has_parts(const struct field_values *v, const struct raws *raws, const struct lookup *l)
{
	for (int i = 0; i < l->n_keys; i++)
		if (!(v->present & FIELD_BIT(key_place(raws, l->keys[i], NULL).field)))
			return false;
	return true;
}

static bool is_element(const struct set *s, const u128 *parts)
{
	if (!set_is_tupled(s))
		return spans_have(&s->elements, parts[0]);
	for (int i = 0; i < s->tuples.n; i++) {
		const struct value_tuple *e = &s->tuples.v[i];
		bool in = true;

		for (int k = 0; k < s->n_types && in; k++)
			in = parts[k] >= e->part[k].lo && parts[k] <= e->part[k].hi;
		if (in)
			return true;
	}
	return false;
}

void lookups_answer(struct field_values *v, const struct raws *raws)
{
	for (int n = 0; n < FILTER_LOOKUPS; n++) {
		const struct lookup *l = &raws->lookup[n];
		u128 parts[KEYS_MOST];

		v->present &= ~FIELD_BIT(FIELD_SET0 + n);
		if (!l->set || !has_parts(v, raws, l))
			continue;
		for (int i = 0; i < l->n_keys; i++)
			parts[i] = part_value(v, raws, l->keys[i]);
		v->lo[FIELD_SET0 + n] = is_element(l->set, parts);
		v->hi[FIELD_SET0 + n] = 0;
		v->present |= FIELD_BIT(FIELD_SET0 + n);
	}
}

void lookup_describe(struct set_lookup *to, const struct raws *raws, const struct set *s, const enum config_key *keys, int n_keys)
{
	to->slot = s->slot ? s->slot - 1 : 0;
	to->n_parts = n_keys;
	set_layout(s->types, n_keys, to->part);
	for (int i = 0; i < n_keys; i++) {
		struct key_place p = key_place(raws, keys[i], NULL);

		to->part[i].field = p.field;
		to->part[i].from = p.shift;
	}
}
