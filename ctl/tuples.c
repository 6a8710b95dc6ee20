/* SPDX-License-Identifier: GPL-2.0-only */
/* tuples: elements of concatenations and of verdict maps, and where maps and rules lead to. */
#include <stdlib.h>
#include <string.h>
#include "value.h"

static int compare_span(const struct span *a, const struct span *b)
{
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return a->hi < b->hi ? -1 : a->hi > b->hi;
}

/* Parts behind the last key are zero on both sides. */
static int by_parts(const void *a, const void *b)
{
	const struct value_tuple *x = a, *y = b;
	int d = 0;

	for (int i = 0; i < KEYS_MOST && !d; i++)
		d = compare_span(&x->part[i], &y->part[i]);
	if (!d)
		d = (int)x->verdict - (int)y->verdict;
	return d ? d : strcmp(x->target ? x->target : "", y->target ? y->target : "");
}

int tuple_compare(const struct value_tuple *a, const struct value_tuple *b)
{
	return by_parts(a, b);
}

bool tuple_equal(const struct value_tuple *a, const struct value_tuple *b)
{
	return !by_parts(a, b);
}

static void tuple_free(struct value_tuple *t)
{
	free(t->target);
	free(t->comment);
}

void tuples_normalise(struct value_tuples *t, int n_keys)
{
	int out = 0;

	for (int i = 0; i < t->n; i++)
		memset(&t->v[i].part[n_keys], 0, (KEYS_MOST - n_keys) * sizeof(struct span));
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_parts);
	for (int i = 1; i < t->n; i++) {
		if (by_parts(&t->v[out], &t->v[i]))
			t->v[++out] = t->v[i];
		else
			tuple_free(&t->v[i]);
	}
	t->n = t->n ? out + 1 : 0;
}

void tuples_free(struct value_tuples *t)
{
	for (int i = 0; i < t->n; i++)
		tuple_free(&t->v[i]);
	free(t->v);
	memset(t, 0, sizeof(*t));
}

bool set_is_tupled(const struct set *s)
{
	return s->map || s->n_types > 1 || s->noted;
}

static bool is_exact(const struct set *s)
{
	for (int i = 0; i < s->tuples.n; i++)
		for (int k = 0; k < s->n_types; k++)
			if (s->tuples.v[i].part[k].lo != s->tuples.v[i].part[k].hi)
				return false;
	return true;
}

bool set_is_live(const struct set *s)
{
	if (s->map)
		return false;
	if (s->slot || s->noted)
		return true;
	if (s->n_types > 1)
		return s->tuples.n > SET_COMPILED_MOST && is_exact(s);
	return value_is_address(s->type) && s->elements.n > SET_COMPILED_MOST && !s->ragged;
}

bool set_is_volatile(const struct set *s)
{
	return s->dynamic || s->timed || s->counter;
}

static int tuple_targets(const struct value_tuples *t, int (*visit)(void *, const char *, struct where), void *context)
{
	int err = 0;

	for (int i = 0; i < t->n && !err; i++)
		if (t->v[i].target)
			err = visit(context, t->v[i].target, t->v[i].at);
	return err;
}

int rule_targets(const struct config *c, const struct rule *r, int (*visit)(void *, const char *target, struct where at), void *context)
{
	const struct set *map = r->vmap && r->vmap->set ? config_set(c, r->vmap->set) : NULL;

	if (r->target)
		return visit(context, r->target, r->target_at);
	if (r->vmap)
		return tuple_targets(map ? &map->tuples : &r->vmap->tuples, visit, context);
	return 0;
}
