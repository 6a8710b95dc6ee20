/* SPDX-License-Identifier: GPL-2.0-only */
/* patch_field: the classes of a field with a unit more or less. Classes of which only some values are the new rule's are cut in two; what was cut stays
 * cut when the rule goes. */
#include <stdlib.h>
#include <string.h>
#include "edge.h"
#include "patch.h"

struct classes {
	const uint64_t *rows;	/* of the old ones */
	uint32_t n;		/* old ones */
	uint32_t *raised;	/* by old class: 1 + which of those that have come it is where the rule holds */
	uint32_t *origin;	/* of each that has come */
	uint32_t n_raised;
	bool rest;		/* values the rule does not name have the unit too: it does not ask */
};

static uint32_t stride_of(const struct patch *p)
{
	return memory_chain(p->to)->stride;
}

static void classes_begin(struct classes *c, const uint64_t *rows, uint32_t n, bool asked)
{
	*c = (struct classes){ rows, n, must(calloc(n, sizeof(*c->raised))), must(malloc(n * sizeof(*c->origin))), 0, !asked };
}

static void classes_end(struct classes *c)
{
	free(c->raised);
	free(c->origin);
}

/* The class of values of an old one that the new rule names. */
static uint32_t raised(struct classes *c, uint32_t class)
{
	if (!c->raised[class]) {
		c->origin[c->n_raised] = class;
		c->raised[class] = ++c->n_raised;
	}
	return c->n + c->raised[class] - 1;
}

static void store_row(struct patch *p, uint32_t at, const uint64_t *from, bool bit)
{
	const struct filter_chain *c = memory_chain(p->to);
	uint64_t *to = p->to->v + at, *words = to + c->summary;

	patch_bits(p, words, from + p->from->summary, bit);
	for (uint32_t i = 0; c->summary && i < c->words; i++)
		to[i / 64] |= (uint64_t)!!words[i] << i % 64;
}

/* Where they begin. */
static uint32_t store_rows(struct patch *p, const struct classes *c)
{
	uint32_t stride = stride_of(p), at = memory_take(p->to, (c->n + c->n_raised) * stride);

	for (uint32_t i = 0; i < c->n; i++)
		store_row(p, at + i * stride, c->rows + (size_t)i * p->from->stride, c->rest);
	for (uint32_t i = 0; i < c->n_raised; i++)
		store_row(p, at + (c->n + i) * stride, c->rows + (size_t)c->origin[i] * p->from->stride, true);
	return at;
}

/* ---- tries */

struct trie {
	struct memory *memory;	/* it stands at the end of; NULL: the old one, which is only looked at */
	const uint32_t *old;
	uint32_t nodes;		/* entry where it begins */
	int bits;
	struct classes *classes;
};

static uint32_t *entry_at(const struct trie *t, uint32_t i)
{
	return (uint32_t *)t->memory->v + t->nodes + i;
}

static uint32_t add_node(struct trie *t, uint32_t entry)
{
	uint32_t n = 1u << t->bits, node = memory_take(t->memory, n / 2) * 2 - t->nodes;

	for (uint32_t i = 0; i < n; i++)
		*entry_at(t, node + i) = entry;
	return node;
}

/* Let the values of [lo, hi] below entry `at` have classes of their own. The entry stands for those from `from` to below from + (1 << width). */
static void cut_entry(struct trie *t, uint32_t at, uint64_t from, int width, uint64_t lo, uint64_t hi)
{
	uint64_t last = from + (1ull << width) - 1, step;
	uint32_t entry = t->memory ? *entry_at(t, at) : t->old[at], node, first = 0, end;
	bool leaf = !(entry & FILTER_NODE);

	if (leaf && (!t->memory || (lo <= from && last <= hi))) {
		entry = raised(t->classes, entry);
		if (t->memory)
			*entry_at(t, at) = entry;
		return;
	}
	node = leaf ? add_node(t, entry) : entry & ~FILTER_NODE;
	if (leaf)
		*entry_at(t, at) = FILTER_NODE | node;
	step = 1ull << (width - t->bits);
	if (lo > from)
		first = (lo - from) / step;
	end = hi < last ? (hi - from) / step : (1u << t->bits) - 1;
	for (uint32_t i = first; i <= end; i++)
		cut_entry(t, node + i, from + i * step, width - t->bits, lo, hi);
}

static void cut_span(struct trie *t, const struct filter_class *c, u128 lo, u128 hi, int width)
{
	uint64_t last = (1ull << width) - 1;

	if (lo > last)
		return;
	if (hi > last)
		hi = last;
	for (uint64_t i = (uint64_t)lo >> c->shift; i <= (uint64_t)hi >> c->shift; i++)
		cut_entry(t, c->root + i, i << c->shift, c->shift, lo, hi);
}

/* The edges of one rule, sorted, are those of disjoint spans. */
static void cut_spans(struct trie *t, const struct filter_class *c, const struct edges *e, int width)
{
	int depth = 0;

	for (size_t i = 0; i < e->n;) {
		u128 at = e->v[i].at;

		for (; i < e->n && e->v[i].at == at; i++)
			depth += e->v[i].change;
		if (depth > 0)
			cut_span(t, c, at, i < e->n ? e->v[i].at - 1 : ~(u128)0, width);
	}
}

/* Classes are numbered as they stand in front, so those that come move all nodes. `n`: entries there were. */
static void store_trie(struct patch *p, enum filter_core core, struct trie *t, uint32_t n)
{
	const struct filter_class *was = &p->from->core[core];
	const struct classes *c = t->classes;
	uint32_t rows = store_rows(p, c), classes = c->n + c->n_raised, root = (classes + 1) & ~1u, moved = root - was->root, *to;

	t->memory = p->to;
	t->nodes = memory_take(p->to, (n + moved) / 2) * 2;
	to = entry_at(t, 0);
	for (uint32_t i = 0; i < classes; i++)
		to[i] = i;
	for (uint32_t i = was->root; i < n; i++)
		to[i + moved] = t->old[i] + (t->old[i] & FILTER_NODE ? moved : 0);
	memory_chain(p->to)->core[core] = (struct filter_class){
		.nodes = t->nodes, .root = root, .shift = was->shift, .bits = was->bits, .rows = rows,
		.absent = rows + (was->absent - was->rows) / p->from->stride * stride_of(p),
	};
}

/* Once over the old one to see which classes are cut, so that its copy has room for them; then over the copy. */
static void patch_core(struct patch *p, enum filter_core core, uint32_t end)
{
	const struct filter_class *was = &p->from->core[core];
	const uint64_t *from = (const uint64_t *)p->from;
	struct classes c;
	struct trie t = { .old = (const uint32_t *)from + was->nodes, .bits = was->bits, .classes = &c };
	struct filter_class now;
	struct edges e = {};

	classes_begin(&c, from + was->rows, (was->nodes / 2 - was->rows) / p->from->stride, p->row && core_edges(&e, &p->row->k, core));
	edges_sort(&e);
	cut_spans(&t, was, &e, core_width(core));
	store_trie(p, core, &t, end * 2 - was->nodes);
	now = memory_chain(p->to)->core[core];
	cut_spans(&t, &now, &e, core_width(core));
	classes_end(&c);
	edges_free(&e);
}

/* ---- intervals */

struct bounds {
	u128 *from;
	uint32_t *class, n;
};

static void bound_add(struct bounds *b, u128 from, uint32_t class)
{
	b->from[b->n] = from;
	b->class[b->n++] = class;
}

/* Those a field has now. One that no rule of the chain asks for has one, and one class, which all units stand in. */
static void read_bounds(struct bounds *b, const struct patch *p, enum filter_field f)
{
	const struct filter_interval *was = &p->from->interval[f];
	const uint64_t *w = (const uint64_t *)p->from;
	uint32_t wide = field_is_wide(f);

	b->from = must(malloc((was->count + 1) * sizeof(*b->from)));
	b->class = must(malloc((was->count + 1) * sizeof(*b->class)));
	b->n = 0;
	for (uint32_t i = 0; i < was->count; i++) {
		u128 from = w[was->bounds + (i << wide) + wide];

		if (wide)
			from |= (u128)w[was->bounds + 2 * i] << 64;
		bound_add(b, from, (w[was->rows + i] - was->absent) / p->from->stride);
	}
	if (!was->count)
		bound_add(b, 0, 0);
}

static void bounds_free(struct bounds *b)
{
	free(b->from);
	free(b->class);
}

/* Cut where the spans begin and end. */
static void cut_bounds(struct bounds *out, const struct bounds *in, const struct spans *s, u128 max, struct classes *c)
{
	out->from = must(malloc((in->n + 2 * s->n + 1) * sizeof(*out->from)));
	out->class = must(malloc((in->n + 2 * s->n + 1) * sizeof(*out->class)));
	out->n = 0;
	for (uint32_t i = 0, k = 0; i < in->n; i++) {
		u128 at = in->from[i], last = i + 1 < in->n ? in->from[i + 1] - 1 : max;

		for (bool more = true; more;) {		/* what is left of the interval: at, …, last */
			u128 end = last;
			bool in_span;

			while (k < (uint32_t)s->n && s->v[k].hi < at)
				k++;
			in_span = k < (uint32_t)s->n && s->v[k].lo <= at;
			if (in_span && s->v[k].hi < last)
				end = s->v[k].hi;
			else if (!in_span && k < (uint32_t)s->n && s->v[k].lo <= last)
				end = s->v[k].lo - 1;
			bound_add(out, at, in_span ? raised(c, in->class[i]) : in->class[i]);
			more = end < last;
			at = end + 1;
		}
	}
}

static void store_bounds(struct patch *p, enum filter_field f, const struct bounds *b, const struct classes *c)
{
	uint32_t wide = field_is_wide(f), base = store_rows(p, c), bounds = memory_take(p->to, b->n << wide), rows = memory_take(p->to, b->n);
	uint64_t *v = p->to->v;

	for (uint32_t i = 0; i < b->n; i++) {
		if (wide)
			v[bounds + 2 * i] = b->from[i] >> 64;
		v[bounds + (i << wide) + wide] = (uint64_t)b->from[i];
		v[rows + i] = base + b->class[i] * stride_of(p);
	}
	memory_chain(p->to)->interval[f] = (struct filter_interval){ bounds, b->n, rows, base };	/* absent is the first class */
}

static bool patch_interval(struct patch *p, enum filter_field f)
{
	const struct filter_interval *was = &p->from->interval[f];
	const struct spans *s = p->row && p->row->k.used & FIELD_BIT(f) ? &p->row->k.field[f] : NULL;
	uint64_t *everyone = was->count ? NULL : must(calloc(p->from->stride + 1, sizeof(*everyone)));
	struct bounds in, out = {};
	struct classes c;
	bool fits;

	for (uint32_t i = 0; everyone && i < p->from->units; i++)
		everyone[p->from->summary + i / 64] |= 1ull << i % 64;
	classes_begin(&c, everyone ? everyone : (const uint64_t *)p->from + was->absent,
		      everyone ? 1 : (was->bounds - was->absent) / p->from->stride, s);
	read_bounds(&in, p, f);
	if (s)
		cut_bounds(&out, &in, s, field_max(f), &c);
	fits = out.n <= FIELD_BOUNDS_MOST;
	if (fits)
		store_bounds(p, f, s ? &out : &in, &c);
	classes_end(&c);
	bounds_free(&in);
	bounds_free(&out);
	free(everyone);
	return fits;
}

/* Tables stand one behind the other: where the one behind core table i begins. */
static uint32_t core_end(const struct filter_chain *c, int i)
{
	if (i + 1 < CORE_COUNT)
		return c->core[i + 1].rows;
	for (int f = 0; f < FIELD_COUNT; f++)
		if (c->interval[f].count)
			return c->interval[f].absent;
	return c->groups;
}

bool patch_fields(struct patch *p)
{
	uint64_t fields = p->from->fields | (p->row ? p->row->k.used : 0);
	bool fits = true;

	memory_chain(p->to)->fields = fields;
	for (int i = 0; i < CORE_COUNT; i++)
		patch_core(p, i, core_end(p->from, i));
	for (int f = 0; f < FIELD_COUNT && fits; f++)
		if (fields & FIELDS_AS_INTERVALS & FIELD_BIT(f))
			fits = patch_interval(p, f);
	return fits;
}
