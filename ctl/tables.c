/* SPDX-License-Identifier: GPL-2.0-only */
/* tables: a field's spans → disjoint intervals → classes of values with equal rows. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "edge.h"
#include "tables.h"

enum {
	FEW_BITS = 10, FEW_UNITS = 64, FEW_NODES = 80 << 10,	/* units, and bytes, for which nodes of 10 bits are worth a step less */
	WIDE_NODES = 24 << 20,	/* bytes that a trie of wide nodes with its rows may take: a walk of half the steps */
};

static const size_t HUGE_PAGE = 2 << 20;

/* ---- words */

/* A page fault for each 4 KiB of some MiB takes longer than filling them. */
void memory_reserve(struct memory *w, uint32_t capacity)
{
	size_t bytes = ((size_t)capacity * sizeof(*w->v) + HUGE_PAGE - 1) & -HUGE_PAGE;

	*w = (struct memory){ .v = must(aligned_alloc(HUGE_PAGE, bytes)), .capacity = bytes / sizeof(*w->v) };
	madvise(w->v, bytes, MADV_HUGEPAGE);
}

uint32_t memory_take(struct memory *w, uint32_t n)
{
	uint32_t at = w->n;

	if (w->n + n > w->capacity) {
		w->capacity = (w->n + n) * 2;
		w->v = must(realloc(w->v, w->capacity * sizeof(*w->v)));
	}
	memset(w->v + at, 0, n * sizeof(*w->v));
	w->n += n;
	return at;
}

uint32_t memory_take_at(struct memory *w, uint32_t n, uint32_t multiple)
{
	memory_take(w, -w->n & (multiple - 1));
	return memory_take(w, n);
}

struct filter_chain *memory_chain(struct memory *w)
{
	return (struct filter_chain *)w->v;
}

size_t memory_bytes(const struct memory *w)
{
	return w->n * sizeof(*w->v);
}

uint32_t memory_size(const struct memory *w)
{
	const struct filter_chain *c = (const struct filter_chain *)w->v;
	size_t bytes = memory_bytes(w);

	return bytes <= FILTER_SMALL && !(c->scans & FILTER_NOT_SMALL) ? FILTER_SMALL : bytes <= FILTER_MEDIUM ? FILTER_MEDIUM : FILTER_LARGE;
}

/* ---- rows, by content */

struct bits {
	struct memory *words;
	uint64_t *row;		/* the one at hand: summary, words */
	uint64_t hash;		/* of it: the sum of its units' numbers, so that a change of one costs nothing */
	uint32_t first, n;	/* where the rows begin, how many */
	uint64_t *hashes;
	uint32_t *slots, size;	/* row number + 1 */
};

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t unit_number(uint32_t unit)
{
	uint64_t z = (unit + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void bits_flip(struct bits *r, uint32_t unit)
{
	const struct filter_chain *c = memory_chain(r->words);
	uint64_t *word = &r->row[c->summary + unit / 64];

	*word ^= 1ull << unit % 64;
	r->hash ^= unit_number(unit);
	if (!c->summary)
		return;
	if (*word)
		r->row[unit / 4096] |= 1ull << unit / 64 % 64;
	else
		r->row[unit / 4096] &= ~(1ull << unit / 64 % 64);
}

static void bits_begin(struct bits *r, struct memory *w, const struct edges *e, uint32_t units)
{
	memset(r, 0, sizeof(*r));
	r->words = w;
	r->row = must(calloc(memory_chain(w)->stride + 1, sizeof(*r->row)));
	r->first = w->n;
	for (uint32_t i = 0; i < units; i++)
		if (e->holds[i])
			bits_flip(r, i);
}

static void bits_grow(struct bits *r)
{
	r->size = r->size ? r->size * 2 : 256;
	free(r->slots);
	r->slots = must(calloc(r->size, sizeof(*r->slots)));
	r->hashes = must(realloc(r->hashes, r->size * sizeof(*r->hashes)));
	for (uint32_t n = 0; n < r->n; n++) {
		uint32_t i = r->hashes[n] & (r->size - 1);

		while (r->slots[i])
			i = (i + 1) & (r->size - 1);
		r->slots[i] = n + 1;
	}
}

/* The number of the row at hand; stored if it is new. */
static uint32_t bits_intern(struct bits *r)
{
	uint32_t stride = memory_chain(r->words)->stride, i;

	if (2 * (r->n + 1) > r->size)
		bits_grow(r);
	for (i = r->hash & (r->size - 1); r->slots[i]; i = (i + 1) & (r->size - 1)) {
		uint32_t n = r->slots[i] - 1;

		if (r->hashes[n] == r->hash && !memcmp(r->words->v + r->first + (size_t)n * stride, r->row, stride * sizeof(*r->row)))
			return n;
	}
	memory_take(r->words, stride);
	memcpy(r->words->v + r->first + (size_t)r->n * stride, r->row, stride * sizeof(*r->row));
	r->hashes[r->n] = r->hash;
	r->slots[i] = ++r->n;
	return r->n - 1;
}

static void bits_end(struct bits *r)
{
	free(r->row);
	free(r->hashes);
	free(r->slots);
}

/* ---- intervals */

struct interval {
	u128 from;
	uint32_t class;		/* number of its row */
};

struct intervals {
	struct interval *v;
	uint32_t n, absent;
	uint32_t rows, classes;	/* where the rows begin, how many */
};

static void intervals_add(struct intervals *t, u128 from, uint32_t class)
{
	if (!t->n || t->v[t->n - 1].class != class)
		t->v[t->n++] = (struct interval){ from, class };
}

/* Sweep over the edges. The class of a packet without the field is that of the rules that do not ask for it. */
static void intervals_make(struct intervals *t, struct memory *w, struct edges *e, uint32_t units)
{
	struct bits bits;

	bits_begin(&bits, w, e, units);
	t->v = must(malloc((e->n + 1) * sizeof(*t->v)));
	t->n = 0;
	t->absent = bits_intern(&bits);
	intervals_add(t, 0, t->absent);
	for (size_t i = 0; i < e->n && memory_bytes(w) <= FILTER_LARGE;) {
		u128 at = e->v[i].at;

		for (; i < e->n && e->v[i].at == at; i++) {
			uint32_t unit = e->v[i].unit, had = e->holds[unit];

			e->holds[unit] += e->v[i].change;
			if (!had != !e->holds[unit])
				bits_flip(&bits, unit);
		}
		if (!at)
			t->n = 0;
		intervals_add(t, at, bits_intern(&bits));
	}
	t->rows = bits.first;
	t->classes = bits.n;
	bits_end(&bits);
}

/* ---- tries */

struct trie {
	struct memory *memory;
	const struct intervals *from;
	uint32_t nodes, used;	/* entries; place and number */
	int bits;
};

static uint32_t *trie_entries(const struct trie *t)
{
	return (uint32_t *)t->memory->v + t->nodes;
}

/* Room for n entries (an even number); nothing else takes memory while a trie grows. */
static uint32_t trie_room(struct trie *t, uint32_t n)
{
	uint32_t at = t->used;

	memory_take(t->memory, n / 2);
	t->used += n;
	return at;
}

static uint32_t trie_node(struct trie *t, uint32_t *i, uint64_t from, int width, int bits);

/* The entry for the values from `from` to those below from + (1 << width); *i: the interval that `from` is in, moved on to the last one met. */
static uint32_t trie_entry(struct trie *t, uint32_t *i, uint64_t from, int width)
{
	const struct intervals *v = t->from;

	while (*i + 1 < v->n && v->v[*i + 1].from <= from)
		++*i;
	if (*i + 1 == v->n || v->v[*i + 1].from >= from + (1ull << width))
		return v->v[*i].class;
	return FILTER_NODE | trie_node(t, i, from, width, t->bits);
}

static uint32_t trie_node(struct trie *t, uint32_t *i, uint64_t from, int width, int bits)
{
	uint32_t node = trie_room(t, 1u << bits);

	for (uint32_t n = 0; n < 1u << bits && memory_bytes(t->memory) <= FILTER_LARGE; n++) {
		uint32_t entry = trie_entry(t, i, from + ((uint64_t)n << (width - bits)), width - bits);

		trie_entries(t)[node + n] = entry;	/* which may have moved */
	}
	return node;
}

/* Bits of the root: all where that is small, or where intervals are so many that a large root is the smaller evil; of few addresses what leaves two steps. */
static int root_bits(uint32_t intervals, int width, int bits)
{
	if (width <= CORE_PROTO_BITS)
		return width;
	if (bits == FEW_BITS)
		return width - 2 * FEW_BITS;
	return intervals > 512 ? 16 : 8;
}

static void store_trie(struct memory *m, enum filter_core core, const struct intervals *v, int width, int bits)
{
	struct trie t = { .memory = m, .from = v, .nodes = m->n * 2, .bits = bits };
	int top = root_bits(v->n, width, bits);
	uint32_t i = 0, root;

	trie_room(&t, (v->classes + 1) & ~1u);
	for (uint32_t c = 0; c < v->classes; c++)
		trie_entries(&t)[c] = c;
	root = trie_node(&t, &i, 0, width, top);
	memory_chain(m)->core[core] = (struct filter_class){
		.nodes = t.nodes, .root = root, .shift = width - top, .bits = bits, .rows = v->rows,
		.absent = v->rows + v->absent * memory_chain(m)->stride,
	};
}

static int store_interval(struct memory *w, enum filter_field f, const struct intervals *t)
{
	uint32_t wide = field_is_wide(f), bounds, rows;

	if (t->n > FIELD_BOUNDS_MOST)
		return fail(EXIT_FAILED, "the rules cut one field into %u intervals, the limit is %u: use fewer or shorter sets", t->n, FIELD_BOUNDS_MOST);
	bounds = memory_take(w, t->n << wide);
	rows = memory_take(w, t->n);
	for (uint32_t i = 0; i < t->n; i++) {
		if (wide)
			w->v[bounds + 2 * i] = t->v[i].from >> 64;
		w->v[bounds + (i << wide) + wide] = (uint64_t)t->v[i].from;
		w->v[rows + i] = t->rows + t->v[i].class * memory_chain(w)->stride;
	}
	memory_chain(w)->interval[f] = (struct filter_interval){
		.bounds = bounds, .count = t->n, .rows = rows, .absent = t->rows + t->absent * memory_chain(w)->stride,
	};
	return 0;
}

static void store_core(struct memory *w, const struct rows *rows, const struct units *u, enum filter_core core, int bits)
{
	struct intervals t;
	struct edges e;

	edges_of_core(&e, rows, u, core);
	intervals_make(&t, w, &e, u->n_units);
	while (t.n > 1 && t.v[t.n - 1].from >> core_width(core))	/* values that no packet has */
		t.n--;
	store_trie(w, core, &t, core_width(core), bits);
	free(t.v);
	edges_free(&e);
}

static int store_field(struct memory *w, const struct rows *rows, const struct units *u, enum filter_field f)
{
	struct intervals t;
	struct edges e;
	int err;

	edges_of_interval(&e, rows, u, f);
	intervals_make(&t, w, &e, u->n_units);
	err = store_interval(w, f, &t);
	free(t.v);
	edges_free(&e);
	return err;
}

int tables_store(struct memory *w, const struct rows *rows, const struct units *u)
{
	int err = 0;

	for (int i = 0; i < CORE_COUNT; i++) {
		uint32_t before = w->n;

		if (core_width(i) == 32 && u->n_units <= FEW_UNITS) {
			store_core(w, rows, u, i, FEW_BITS);
			if (memory_bytes(w) - before * sizeof(*w->v) <= FEW_NODES)
				continue;
			w->n = before;
		}
		store_core(w, rows, u, i, 8);
		if (memory_bytes(w) - before * sizeof(*w->v) <= WIDE_NODES)
			continue;
		w->n = before;
		store_core(w, rows, u, i, 4);
	}
	for (int f = 0; f < FIELD_COUNT && !err; f++)
		if (memory_chain(w)->fields & FIELDS_AS_INTERVALS & FIELD_BIT(f))
			err = store_field(w, rows, u, f);
	return err;
}
