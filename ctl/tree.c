/* SPDX-License-Identifier: GPL-2.0-only */
/* tree: HiCuts (Gupta and McKeown 1999) over the records of scan.h. A node cuts the part of the packets it stands for into equal pieces along one field; a record is
 * in every piece that it reaches into. Where few records are left together there is a leaf, whose records are compared one after the other. */
#include <stdlib.h>
#include <string.h>
#include "../xdp/scan.h"
#include "scan.h"
#include "tree.h"

enum { DIM_SADDR, DIM_DADDR, DIM_SPORT, DIM_DPORT, DIM_PROTO, DIMS };

enum {
	CUT_MOST = 8,			/* bits of a cut */
	PARTS_MOST = 0xffff,		/* that numbers of 16 bits are enough for */
	WORDS_MOST = 1 << 18,		/* of nodes and leaves: 2 MiB, in FILTER_LARGE 8 */
	SPREAD = 30,			/* how often a cut may write its records, in the mean */
	WORK_MOST = 150,		/* and all cuts together: for the time that it takes */
	WORK_LEAST = 1 << 18,
};

/* Records that are not cut further: comparing them costs less than the memory of more nodes, which grows faster than the rules do. */
static uint32_t leaf_size(uint32_t parts)
{
	return parts < 2048 ? 28 : parts < 8192 ? 60 : parts < 16384 ? 90 : 120;
}

static const uint8_t width[DIMS] = { 32, 32, 16, 16, 8 };
/* where a field is in the packet's two words, and in which of them */
static const struct { uint8_t shift, word; } place[DIMS] = { { 32, 0 }, { 0, 0 }, { SCAN_SPORT, 1 }, { SCAN_DPORT, 1 }, { SCAN_PROTO, 1 } };

struct box {
	uint32_t lo[DIMS], hi[DIMS];
};

struct region {				/* a box whose sides are prefixes */
	uint32_t lo[DIMS];
	uint8_t fixed[DIMS];		/* bits of each that it fixes */
};

struct cut {
	int dim, bits;
	double cost;
};

struct list {				/* of parts, in the order of the rules */
	uint32_t *v, n;
};

struct tree {
	struct memory *memory;
	struct units parts;
	struct box *box;		/* of each part */
	uint32_t *slots, size;		/* places of leaves by content, 0: none */
	uint32_t n_leaves, from, most;	/* where the tree begins; its words */
	uint32_t leaf;			/* records */
	uint64_t work, work_most;	/* records that have been cut */
	bool wide, failed;		/* numbers have 32 bits */
};

static uint32_t piece(const struct region *g, int dim, uint32_t value, int shift)
{
	return (value - g->lo[dim]) >> shift;
}

/* The first and the last piece that a part reaches into. */
static void reach(const struct region *g, const struct box *b, int dim, int shift, uint32_t *first, uint32_t *last)
{
	int left = width[dim] - g->fixed[dim];
	uint32_t end = g->lo[dim] + (uint32_t)((1ull << left) - 1);

	*first = piece(g, dim, b->lo[dim] > g->lo[dim] ? b->lo[dim] : g->lo[dim], shift);
	*last = piece(g, dim, b->hi[dim] < end ? b->hi[dim] : end, shift);
}

/* Does every packet of the region match? Of those without ports too. */
static bool covers(const struct tree *t, uint32_t part, const struct region *g)
{
	const struct box *b = &t->box[part];

	if (t->parts.part[part].needs_ports)
		return false;
	for (int d = 0; d < DIMS; d++)
		if (b->lo[d] > g->lo[d] || b->hi[d] < g->lo[d] + (uint32_t)((1ull << (width[d] - g->fixed[d])) - 1))
			return false;
	return true;
}

/* ---- leaves: alike ones are one */

static uint32_t a_line(const struct tree *t)
{
	return tree_a_line(t->wide ? FILTER_LARGE : FILTER_MEDIUM);
}

/* Of a leaf: its last number is that of the policy's record. */
static uint32_t leaf_words(const struct tree *t, const uint64_t *v)
{
	uint32_t n = FILTER_TREE_LINE;

	while (tree_number(v + n - FILTER_TREE_LINE, a_line(t) - 1, t->wide ? FILTER_LARGE : FILTER_MEDIUM) != t->parts.n_parts)
		n += FILTER_TREE_LINE;
	return n;
}

static uint32_t leaf_hash(const uint64_t *v, uint32_t n)
{
	uint64_t h = 0;

	for (uint32_t i = 0; i < n; i++)
		h = (h ^ v[i]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
	return h ^ h >> 32;
}

static uint32_t *leaf_slot(const struct tree *t, const uint64_t *v)
{
	uint32_t n = leaf_words(t, v), i = leaf_hash(v, n) & (t->size - 1);

	for (; t->slots[i]; i = (i + 1) & (t->size - 1)) {
		const uint64_t *there = t->memory->v + t->slots[i];

		if (leaf_words(t, there) == n && !memcmp(there, v, n * sizeof(*v)))
			break;
	}
	return &t->slots[i];
}

static void leaves_grow(struct tree *t)
{
	uint32_t *had = t->slots, size = t->size;

	t->size = size ? size * 2 : 1024;
	t->slots = must(calloc(t->size, sizeof(*t->slots)));
	for (uint32_t i = 0; i < size; i++)
		if (had[i])
			*leaf_slot(t, t->memory->v + had[i]) = had[i];
	free(had);
}

static void leaf_fill(const struct tree *t, struct list l, uint64_t *words, uint32_t n)
{
	tree_narrow *narrow = (tree_narrow *)words;
	tree_wide *wide = (tree_wide *)words;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t number = i < l.n ? l.v[i] : t->parts.n_parts;

		if (t->wide)
			wide[i] = number;
		else
			narrow[i] = number;
	}
}

static uint64_t leaf(struct tree *t, struct list l)
{
	uint64_t words[FILTER_TREE_MOST / 2];
	uint32_t lines = l.n / a_line(t) + 1, n = lines * FILTER_TREE_LINE, *slot;

	if (l.n >= FILTER_TREE_MOST) {
		t->failed = true;
		return FILTER_TREE_LEAF;
	}
	leaf_fill(t, l, words, lines * a_line(t));
	if (2 * (t->n_leaves + 1) > t->size)
		leaves_grow(t);
	slot = leaf_slot(t, words);
	if (!*slot) {
		uint32_t at = memory_take_at(t->memory, n, FILTER_TREE_LINE);

		memcpy(t->memory->v + at, words, n * sizeof(*words));
		*slot = at;
		t->n_leaves++;
	}
	return FILTER_TREE_LEAF | *slot;
}

/* ---- nodes */

/* How many parts begin and end in each of the smallest pieces along a field. */
struct profile {
	uint32_t begins[1 << CUT_MOST], ends[1 << CUT_MOST];
	int bits;
};

static void profile_make(struct profile *p, const struct tree *t, struct list l, const struct region *g, int dim)
{
	int left = width[dim] - g->fixed[dim];

	memset(p, 0, sizeof(*p));
	p->bits = left < CUT_MOST ? left : CUT_MOST;
	for (uint32_t i = 0; i < l.n; i++) {
		uint32_t first, last;

		reach(g, &t->box[l.v[i]], dim, left - p->bits, &first, &last);
		p->begins[first]++;
		p->ends[last]++;
	}
}

/* What a cut would leave: how many records a packet meets that hits one of them, and how often all of them would be written; less than 0: it is of no use. */
static double cut_cost(const struct profile *p, uint32_t n, int bits, uint32_t leaf)
{
	double squares = 0, total = 0, seen;
	uint32_t open = 0, each = 1u << (p->bits - bits);

	for (uint32_t at = 0; at < 1u << p->bits; at += each) {
		uint32_t here = open;

		for (uint32_t i = at; i < at + each; i++) {
			here += p->begins[i];
			open += p->begins[i] - p->ends[i];
		}
		total += here;
		squares += (double)here * here;
	}
	seen = squares / total;
	if (seen >= n * 0.95 || total > (double)n * SPREAD)
		return -1;
	/* a level costs as much as halving what is left gains; memory counts, less; wide cuts leave fewer levels */
	return __builtin_log2(seen > leaf ? seen : leaf) + 0.3 * __builtin_log2((total + (1 << bits) / 4.0) / n) + 0.05 * bits;
}

static bool choose(const struct tree *t, struct list l, const struct region *g, struct cut *best)
{
	struct profile p;

	best->dim = -1;
	for (int dim = 0; dim < DIMS; dim++) {
		profile_make(&p, t, l, g, dim);
		for (int bits = 2; bits <= p.bits; bits += 2) {
			double cost = cut_cost(&p, l.n, bits, t->leaf);

			if (cost >= 0 && (best->dim < 0 || cost < best->cost))
				*best = (struct cut){ dim, bits, cost };
		}
	}
	return best->dim >= 0;
}

/* The parts of l by the pieces that they reach into: those of piece n from at[n] on, up to at[n + 1]. */
static uint32_t *divide(struct tree *t, struct list l, const struct region *g, const struct cut *c, uint32_t *at)
{
	int shift = width[c->dim] - g->fixed[c->dim] - c->bits;
	uint32_t pieces = 1u << c->bits, *v, first, last;

	memset(at, 0, (pieces + 1) * sizeof(*at));
	for (uint32_t i = 0; i < l.n; i++) {
		reach(g, &t->box[l.v[i]], c->dim, shift, &first, &last);
		for (uint32_t n = first; n <= last; n++)
			at[n]++;
	}
	for (uint32_t n = 0, sum = 0; n <= pieces; n++) {
		sum += at[n];
		at[n] = sum;		/* its end, for now */
	}
	t->work += l.n;
	v = must(malloc(at[pieces] * sizeof(*v) + 1));
	for (uint32_t i = l.n; i--;) {
		reach(g, &t->box[l.v[i]], c->dim, shift, &first, &last);
		for (uint32_t n = first; n <= last; n++)
			v[--at[n]] = l.v[i];
	}
	return v;
}

static uint64_t edge(struct tree *t, struct list l, const struct region *g, int depth);

static uint64_t node(struct tree *t, struct list l, const struct region *g, const struct cut *c, int depth)
{
	int shift = width[c->dim] - g->fixed[c->dim] - c->bits;
	uint32_t edges = memory_take(t->memory, 1u << c->bits), at[(1 << CUT_MOST) + 1], *v = divide(t, l, g, c, at);

	for (uint32_t n = 0; n < 1u << c->bits && !t->failed; n++) {
		struct list here = { v + at[n], at[n + 1] - at[n] };
		struct region in = *g;
		uint64_t e;

		in.fixed[c->dim] += c->bits;
		in.lo[c->dim] += n << shift;
		e = edge(t, here, &in, depth + 1);
		t->memory->v[edges + n] = e;	/* which may have moved */
	}
	free(v);
	return edges | (uint64_t)(place[c->dim].shift + shift) << FILTER_TREE_SHIFT | (uint64_t)place[c->dim].word << FILTER_TREE_WORD |
	       ((1ull << c->bits) - 1) << FILTER_TREE_MASK;
}

static uint64_t edge(struct tree *t, struct list l, const struct region *g, int depth)
{
	struct cut c;

	for (uint32_t i = 0; i < l.n; i++)
		if (covers(t, l.v[i], g)) {
			l.n = i + 1;
			break;
		}
	if (t->memory->n - t->from > t->most || t->work > t->work_most)
		t->failed = true;
	if (t->failed || l.n <= t->leaf || depth == FILTER_TREE_DEPTH || !choose(t, l, g, &c))
		return leaf(t, l);
	return node(t, l, g, &c, depth);
}

/* ---- the whole */

static struct box box_of(const struct part *p)
{
	struct box b = { .lo = { p->saddr[0] >> 32, p->daddr[0] >> 32, p->sport[0], p->dport[0], p->proto },
			 .hi = { 0, 0, p->sport[1], p->dport[1], p->proto_mask ? p->proto : 255 } };

	b.hi[DIM_SADDR] = b.lo[DIM_SADDR] + (uint32_t)((1ull << (32 - p->slength)) - 1);
	b.hi[DIM_DADDR] = b.lo[DIM_DADDR] + (uint32_t)((1ull << (32 - p->dlength)) - 1);
	return b;
}

static void build(struct tree *t)
{
	struct list all = { must(malloc(t->parts.n_parts * sizeof(*all.v) + 1)), t->parts.n_parts };
	struct region whole = { 0 };
	uint64_t root;

	t->box = must(malloc(all.n * sizeof(*t->box) + 1));
	for (uint32_t i = 0; i < all.n; i++) {
		all.v[i] = i;
		t->box[i] = box_of(&t->parts.part[i]);
	}
	root = edge(t, all, &whole, 0);
	memory_chain(t->memory)->tree = root;
	free(t->box);
	free(all.v);
}

static void store_records(struct memory *w, const struct units *parts, uint32_t policy)
{
	const uint32_t words = sizeof(struct filter_scan4) / 8, at = memory_take_at(w, (parts->n_parts + 1) * words, words);
	const struct part rest = { .family = 4, .entry = policy };
	struct filter_scan4 *r = (struct filter_scan4 *)(w->v + at);

	memory_chain(w)->records = at;
	for (uint32_t i = 0; i < parts->n_parts; i++)
		scan_record4(r + i, &parts->part[i]);
	scan_record4(r + parts->n_parts, &rest);
}

void tree_store(struct memory *w, const struct rows *rows, uint32_t policy)
{
	struct tree t = { .memory = w, .from = w->n, .wide = memory_bytes(w) > FILTER_MEDIUM };

	if (memory_chain(w)->scans & FILTER_SCAN4 || !scan_is_plain(rows))
		return;
	for (int i = 0; i < rows->n && !t.failed; i++)
		t.failed = !units_cut(&t.parts, &rows->v[i], i, 4) || (t.parts.n_parts >= PARTS_MOST && !t.wide);
	t.leaf = leaf_size(t.parts.n_parts);
	t.most = t.wide ? 4 * WORDS_MOST : WORDS_MOST;
	t.work_most = WORK_LEAST + (uint64_t)t.parts.n_parts * WORK_MOST;
	if (!t.failed)
		build(&t);
	if (!t.failed)
		store_records(w, &t.parts, policy);
	if (t.failed || (!t.wide && memory_bytes(w) > FILTER_MEDIUM))
		w->n = t.from;
	else
		memory_chain(w)->scans |= FILTER_TREE4;
	free(t.slots);
	units_free(&t.parts);
}
