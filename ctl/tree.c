/* SPDX-License-Identifier: GPL-2.0-only */
/* tree: HiCuts (Gupta and McKeown 1999) over the records of scan.h. A node cuts the part of the packets it stands for into equal pieces along one field; a record is
 * in every piece that it reaches into. Where few records are left together there is a leaf, whose records are compared one after the other. */
#include <stdlib.h>
#include <string.h>
#include "../xdp/scan.h"
#include "ask.h"
#include "scan.h"
#include "tree.h"

/* Dimensions: the addresses, of IPv6 by 32 bits, then the numbers. */
enum { DIMS4 = 5, DIMS6 = 11, DIMS = DIMS6 };

enum {
	CUT_MOST = 8,			/* bits of a cut */
	PARTS_MOST = 0xffff,		/* that numbers of 16 bits are enough for */
	WORDS_MOST = 1 << 18,		/* of nodes and leaves: 2 MiB, in FILTER_LARGE 8 */
	SPREAD = 30,			/* how often a cut may write its records, in the mean */
	WORK_MOST = 150,		/* and all cuts together: for the time that it takes */
	WORK_LEAST = 1 << 18,
	INSIDE_MOST = 2000,		/* rows that are tried with records in the leaves */
};

/* Records that are not cut further: comparing them costs less than the memory of more nodes, which grows faster than the rules do. */
static uint32_t leaf_size(uint32_t parts, bool inside)
{
	if (inside)
		return parts < 64 ? 12 : 28;
	return parts < 2048 ? 28 : parts < 8192 ? 60 : parts < 16384 ? 90 : 120;
}

/* bits of a field, where it is in a word of the packet, and in which */
struct dim {
	uint8_t width, shift, word;
};

static const struct dim dims4[DIMS4] = {
	{ 32, 32, TREE_ADDRESSES4 }, { 32, 0, TREE_ADDRESSES4 }, { 16, SCAN_SPORT, TREE_NUMBERS4 }, { 16, SCAN_DPORT, TREE_NUMBERS4 }, { 8, SCAN_PROTO, TREE_NUMBERS4 },
};

static const struct dim dims6[DIMS6] = {
	{ 32, 32, 0 }, { 32, 0, 0 }, { 32, 32, 1 }, { 32, 0, 1 }, { 32, 32, 2 }, { 32, 0, 2 }, { 32, 32, 3 }, { 32, 0, 3 },
	{ 16, SCAN_SPORT, TREE_NUMBERS6 }, { 16, SCAN_DPORT, TREE_NUMBERS6 }, { 8, SCAN_PROTO, TREE_NUMBERS6 },
};

struct box {				/* of one dimension */
	uint32_t lo, hi;
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
	const struct dim *dim;
	int family, dims;
	struct box *box;		/* of each part, one behind the other */
	uint32_t *slots, size;		/* places of leaves by content, 0: none */
	uint32_t n_leaves, from, most;	/* where the tree begins; its words */
	uint32_t leaf, leaf_most;	/* records that are not cut further; that fit */
	uint64_t work, work_most;	/* records that have been cut */
	bool inside;			/* leaves are records, */
	bool wide;			/* or numbers of 32 bits */
	bool failed;
	uint32_t words;			/* of a record */
	uint64_t rest[16];		/* the policy's */
};

static const struct box *box(const struct tree *t, uint32_t part)
{
	return t->box + (size_t)part * t->dims;
}

/* Bits of a dimension that the region leaves open. */
static int left_open(const struct tree *t, const struct region *g, int dim)
{
	return t->dim[dim].width - g->fixed[dim];
}

static uint32_t end_of(const struct tree *t, const struct region *g, int dim)
{
	return g->lo[dim] + (uint32_t)((1ull << left_open(t, g, dim)) - 1);
}

/* A region's side along a dimension, cut into pieces of 1 << shift. */
struct side {
	uint32_t lo, end;
	int dim, shift;
};

static struct side side_of(const struct tree *t, const struct region *g, int dim, int bits)
{
	return (struct side){ g->lo[dim], end_of(t, g, dim), dim, left_open(t, g, dim) - bits };
}

/* The first and the last piece that a part reaches into. */
static inline void reach(const struct tree *t, const struct side *s, uint32_t part, uint32_t *first, uint32_t *last)
{
	const struct box *b = box(t, part) + s->dim;

	*first = ((b->lo > s->lo ? b->lo : s->lo) - s->lo) >> s->shift;
	*last = ((b->hi < s->end ? b->hi : s->end) - s->lo) >> s->shift;
}

/* An ask may say no, but for the one that leads to the tables. */
static bool decides(uint32_t entry)
{
	return !(entry & RULE_CONTINUE_BIT) || entry == RULE_CONTINUE_BIT;
}

/* Does what the part says hold for every packet of the region? For those without ports too. */
static bool covers(const struct tree *t, uint32_t part, const struct region *g)
{
	const struct box *b = box(t, part);

	if (t->parts.part[part].needs_ports || !decides(t->parts.part[part].entry))
		return false;
	for (int d = 0; d < t->dims; d++)
		if (b[d].lo > g->lo[d] || b[d].hi < end_of(t, g, d))
			return false;
	return true;
}

/* ---- leaves: alike ones are one */

static uint32_t a_line(const struct tree *t)
{
	return tree_a_line(t->wide ? FILTER_LARGE : FILTER_MEDIUM);
}

/* What a leaf is written in: a record, or a line of numbers. The last one has the policy. */
static uint32_t step_words(const struct tree *t)
{
	return t->inside ? t->words : FILTER_TREE_LINE;
}

static bool is_last(const struct tree *t, const uint64_t *step)
{
	if (t->inside)
		return !memcmp(step, t->rest, t->words * sizeof(*step));
	return tree_number(step, a_line(t) - 1, t->wide ? FILTER_LARGE : FILTER_MEDIUM) == t->parts.n_parts;
}

static uint32_t leaf_words(const struct tree *t, const uint64_t *v)
{
	uint32_t n = 0;

	while (!is_last(t, v + n))
		n += step_words(t);
	return n + step_words(t);
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

/* Its words. */
static uint32_t leaf_numbers(const struct tree *t, struct list l, uint64_t *words)
{
	uint32_t lines = l.n / a_line(t) + 1;
	tree_narrow *narrow = (tree_narrow *)words;
	tree_wide *wide = (tree_wide *)words;

	for (uint32_t i = 0; i < lines * a_line(t); i++) {
		uint32_t number = i < l.n ? l.v[i] : t->parts.n_parts;

		if (t->wide)
			wide[i] = number;
		else
			narrow[i] = number;
	}
	return lines * FILTER_TREE_LINE;
}

static uint32_t leaf_inside(const struct tree *t, struct list l, uint64_t *words)
{
	for (uint32_t i = 0; i < l.n; i++)
		scan_record(words + i * t->words, &t->parts.part[l.v[i]]);
	memcpy(words + l.n * t->words, t->rest, t->words * sizeof(*words));
	return (l.n + 1) * t->words;
}

static uint64_t leaf(struct tree *t, struct list l)
{
	uint64_t words[FILTER_LEAF_MOST * sizeof(struct filter_scan6) / 8];
	uint32_t n, *slot;

	if (l.n >= t->leaf_most) {
		t->failed = true;
		return FILTER_TREE_LEAF;
	}
	n = t->inside ? leaf_inside(t, l, words) : leaf_numbers(t, l, words);
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
	int left = left_open(t, g, dim);
	struct side side;

	memset(p, 0, sizeof(*p));
	p->bits = left < CUT_MOST ? left : CUT_MOST;
	side = side_of(t, g, dim, p->bits);
	for (uint32_t i = 0; i < l.n; i++) {
		uint32_t first, last;

		reach(t, &side, l.v[i], &first, &last);
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
	for (int dim = 0; dim < t->dims; dim++) {
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
	struct side side = side_of(t, g, c->dim, c->bits);
	uint32_t pieces = 1u << c->bits, *v, first, last;

	memset(at, 0, (pieces + 1) * sizeof(*at));
	for (uint32_t i = 0; i < l.n; i++) {
		reach(t, &side, l.v[i], &first, &last);
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
		reach(t, &side, l.v[i], &first, &last);
		for (uint32_t n = first; n <= last; n++)
			v[--at[n]] = l.v[i];
	}
	return v;
}

static uint64_t edge(struct tree *t, struct list l, const struct region *g, int depth);

static uint64_t node(struct tree *t, struct list l, const struct region *g, const struct cut *c, int depth)
{
	int shift = left_open(t, g, c->dim) - c->bits;
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
	return edges | (uint64_t)(t->dim[c->dim].shift + shift) << FILTER_TREE_SHIFT | (uint64_t)t->dim[c->dim].word << FILTER_TREE_WORD |
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

/* A prefix, by 32 bits. */
static void box_prefix(struct box *b, const __u64 words[2], int n, int length)
{
	for (int i = 0; i < n; i++) {
		int here = length - 32 * i;
		uint32_t open = here <= 0 ? ~0u : here >= 32 ? 0 : ~0u >> here, v = words[i / 2] >> (i & 1 ? 0 : 32);

		b[i] = (struct box){ v & ~open, v | open };
	}
}

static void box_of(const struct tree *t, struct box *b, const struct part *p)
{
	int words = t->family == 4 ? 1 : 4;

	box_prefix(b, p->saddr, words, p->slength);
	box_prefix(b += words, p->daddr, words, p->dlength);
	b += words;
	b[0] = (struct box){ p->sport[0], p->sport[1] };
	b[1] = (struct box){ p->dport[0], p->dport[1] };
	b[2] = (struct box){ p->proto, p->proto_mask ? p->proto : 255 };
}

/* A record in front that leads all packets to the tables would make the tree a detour. */
static bool is_vain(const struct tree *t, const struct region *whole)
{
	for (uint32_t i = 0; i < t->parts.n_parts / 2; i++)
		if (t->parts.part[i].entry == RULE_CONTINUE_BIT && covers(t, i, whole))
			return true;
	return false;
}

static uint64_t build(struct tree *t)
{
	struct list all = { must(malloc(t->parts.n_parts * sizeof(*all.v) + 1)), t->parts.n_parts };
	struct region whole = { 0 };
	uint64_t root = 0;

	t->box = must(malloc((size_t)all.n * t->dims * sizeof(*t->box) + 1));
	for (uint32_t i = 0; i < all.n; i++) {
		all.v[i] = i;
		box_of(t, t->box + (size_t)i * t->dims, &t->parts.part[i]);
	}
	t->failed = is_vain(t, &whole);
	if (!t->failed)
		root = edge(t, all, &whole, 0);
	free(t->box);
	free(all.v);
	return root;
}

static uint32_t store_records(struct tree *t)
{
	const uint32_t n = t->parts.n_parts, at = memory_take_at(t->memory, (n + 1) * t->words, t->words);

	for (uint32_t i = 0; i < n; i++)
		scan_record(t->memory->v + at + i * t->words, &t->parts.part[i]);
	memcpy(t->memory->v + at + n * t->words, t->rest, t->words * sizeof(*t->rest));
	return at;
}

/* Rows of the family, under their entries; false: one of them is too many parts, or all are. */
static bool cut_rows(struct tree *t, const struct rows *rows, const uint32_t *entries)
{
	for (int i = 0; i < rows->n; i++)
		if (!units_cut(&t->parts, &rows->v[i], i, t->family, entries[i], UNITS_PARTS) || (t->parts.n_parts >= PARTS_MOST && !t->wide))
			return false;
	return true;
}

static bool any_asks(const struct units *parts)
{
	for (uint32_t i = 0; i < parts->n_parts; i++)
		if (parts->part[i].entry & RULE_CONTINUE_BIT)
			return true;
	return false;
}

static bool store_tree(struct memory *w, const struct rows *rows, const uint32_t *entries, uint32_t policy, int family, bool inside)
{
	struct tree t = { .memory = w, .from = w->n, .wide = memory_bytes(w) > FILTER_MEDIUM, .family = family, .inside = inside };
	const struct part rest = { .family = family, .entry = policy };
	uint32_t records = 0;
	uint64_t root = 0;

	t.dim = family == 4 ? dims4 : dims6;
	t.dims = family == 4 ? DIMS4 : DIMS6;
	t.words = (family == 4 ? sizeof(struct filter_scan4) : sizeof(struct filter_scan6)) / 8;
	scan_record(t.rest, &rest);
	t.failed = !cut_rows(&t, rows, entries);
	t.leaf = leaf_size(t.parts.n_parts, inside);
	t.leaf_most = inside ? FILTER_LEAF_MOST : FILTER_TREE_MOST;
	t.most = inside ? FILTER_SMALL / 8 : t.wide ? 4 * WORDS_MOST : WORDS_MOST;
	t.work_most = WORK_LEAST + (uint64_t)t.parts.n_parts * WORK_MOST;
	if (!t.failed)
		root = build(&t);
	if (!t.failed && !inside)
		records = store_records(&t);
	t.failed |= memory_bytes(w) + FILTER_LEAF_MOST * t.words * 8 > (inside ? FILTER_SMALL : t.wide ? FILTER_LARGE : FILTER_MEDIUM);
	if (t.failed) {
		w->n = t.from;
	} else {
		*(family == 4 ? &memory_chain(w)->tree4 : &memory_chain(w)->tree6) = root;
		*(family == 4 ? &memory_chain(w)->records4 : &memory_chain(w)->records6) = records;
		memory_chain(w)->scans |= family == 4 ? FILTER_TREE4 : FILTER_TREE6;
		if (!any_asks(&t.parts))
			memory_chain(w)->scans |= family == 4 ? FILTER_PLAIN4 : FILTER_PLAIN6;
	}
	free(t.slots);
	units_free(&t.parts);
	return !t.failed;
}

/* Both trees with their records inside, in the smallest memory, or none. */
static bool store_small(struct memory *w, const struct rows *rows, const uint32_t *entries, uint32_t policy)
{
	uint32_t from = w->n;

	if (memory_chain(w)->scans & FILTER_NOT_SMALL || rows->n > INSIDE_MOST)
		return false;
	if (store_tree(w, rows, entries, policy, 4, true) && store_tree(w, rows, entries, policy, 6, true))
		return true;
	memory_chain(w)->scans &= ~(uint32_t)(FILTER_TREE4 | FILTER_PLAIN4);
	w->n = from;
	return false;
}

/* Programs have for the largest chains the tree of plain rules for IPv4 alone. */
static bool store_larger(struct memory *w, const struct rows *rows, const uint32_t *entries, uint32_t policy, bool asks)
{
	bool large = memory_bytes(w) > FILTER_MEDIUM, any;

	if (large && asks)
		return false;
	any = store_tree(w, rows, entries, policy, 4, false);
	any |= !large && store_tree(w, rows, entries, policy, 6, false);
	if (any)
		memory_chain(w)->scans |= FILTER_NOT_SMALL;
	return any;
}

void trees_store(struct memory *w, const struct rows *rows, const struct raws *raws, uint32_t policy)
{
	uint32_t *entries = must(malloc((rows->n + 1) * sizeof(*entries))), from = w->n;
	bool asks = asks_store(w, rows, raws, entries);

	if (!asks)
		w->n = from;
	if (!store_small(w, rows, entries, policy) && !store_larger(w, rows, entries, policy, asks))
		w->n = from;
	else if (asks)
		memory_chain(w)->scans |= FILTER_ASKS;
	free(entries);
}
