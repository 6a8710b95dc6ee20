/* SPDX-License-Identifier: GPL-2.0-only */
/* edge: see edge.h. */
#include <stdlib.h>
#include <string.h>
#include "edge.h"

static int edge_order(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void edges_add(struct edges *e, u128 at, uint32_t unit, int change)
{
	if (e->n == e->capacity) {
		e->capacity = e->capacity ? e->capacity * 2 : 256;
		e->v = must(realloc(e->v, e->capacity * sizeof(*e->v)));
	}
	e->v[e->n++] = (struct edge){ at, unit, change };
}

static void edges_span(struct edges *e, u128 lo, u128 hi, u128 max, uint32_t unit)
{
	edges_add(e, lo, unit, 1);
	if (hi < max)
		edges_add(e, hi + 1, unit, -1);
}

void edges_free(struct edges *e)
{
	free(e->v);
	free(e->holds);
}

static bool edges_of_field(struct edges *e, const struct constraints *k, int f, uint32_t unit)
{
	const struct spans *s = &k->field[f];

	if (!(k->used & FIELD_BIT(f)))
		return false;
	for (int i = 0; i < s->n; i++)
		edges_span(e, s->v[i].lo, s->v[i].hi, field_max(f), unit);
	return true;
}

/* Family and protocol are one value; addresses and what asks for a protocol ask for the family too. */
static bool edges_of_proto(struct edges *e, const struct constraints *k, int f, uint32_t unit)
{
	static const int families[] = { 0, 4, 6 };
	const uint64_t v4 = FIELD_BIT(FIELD_SADDR4) | FIELD_BIT(FIELD_DADDR4), v6 = FIELD_BIT(FIELD_SADDR6) | FIELD_BIT(FIELD_DADDR6);
	const struct spans *s = &k->field[FIELD_L4PROTO];
	const u128 max = (1 << CORE_PROTO_BITS) - 1;

	(void)f;
	for (int i = 0; i < 3; i++) {
		if (k->used & FIELD_BIT(FIELD_FAMILY) && !(families[i] && spans_have(&k->field[FIELD_FAMILY], families[i])))
			continue;
		if ((k->used & v4 && families[i] != 4) || (k->used & v6 && families[i] != 6))
			continue;
		if (!(k->used & FIELD_BIT(FIELD_L4PROTO)))
			edges_span(e, i << 8, i << 8 | 255, max, unit);
		else if (families[i])
			for (int n = 0; n < s->n && s->v[n].lo < 256; n++)
				edges_span(e, i << 8 | s->v[n].lo, i << 8 | (s->v[n].hi < 255 ? s->v[n].hi : 255), max, unit);
	}
	return true;
}

void edges_sort(struct edges *e)
{
	if (e->n)
		qsort(e->v, e->n, sizeof(*e->v), edge_order);
}

/* What a rule asks of a field; false: nothing. */
typedef bool edges_of(struct edges *e, const struct constraints *k, int field, uint32_t unit);

static const struct { enum filter_field field; uint8_t width; edges_of *of; } cores[CORE_COUNT] = {
	[CORE_PROTO] = { FIELD_L4PROTO, CORE_PROTO_BITS, edges_of_proto },
	[CORE_SADDR4] = { FIELD_SADDR4, 32, edges_of_field }, [CORE_DADDR4] = { FIELD_DADDR4, 32, edges_of_field },
	[CORE_SPORT] = { FIELD_SPORT, 16, edges_of_field }, [CORE_DPORT] = { FIELD_DPORT, 16, edges_of_field },
};

int core_width(enum filter_core core)
{
	return cores[core].width;
}

bool core_edges(struct edges *e, const struct constraints *k, enum filter_core core)
{
	return cores[core].of(e, k, cores[core].field, 0);
}

static void edges_collect(struct edges *e, const struct rows *rows, const struct units *u, int field, edges_of *of)
{
	memset(e, 0, sizeof(*e));
	e->holds = must(calloc(u->n_units + 1, sizeof(*e->holds)));
	for (int r = 0; r < rows->n; r++)
		if (u->unit_of[r] != ~0u && !of(e, &rows->v[r].k, field, u->unit_of[r]))
			e->holds[u->unit_of[r]]++;
	for (uint32_t i = 0, last = ~0u, unit = ~0u; i < u->n_parts; i++) {
		const struct part *p = &u->part[i];

		if (p->row == last && p->unit == unit)
			continue;	/* another part of the row in the same group */
		last = p->row;
		unit = p->unit;
		if (!of(e, &rows->v[last].k, field, unit))
			e->holds[unit]++;
	}
	edges_sort(e);
}

void edges_of_core(struct edges *e, const struct rows *rows, const struct units *u, enum filter_core core)
{
	edges_collect(e, rows, u, cores[core].field, cores[core].of);
}

void edges_of_interval(struct edges *e, const struct rows *rows, const struct units *u, enum filter_field f)
{
	edges_collect(e, rows, u, f, edges_of_field);
}
