/* SPDX-License-Identifier: GPL-2.0-only */
/* settable6: SET_ADDRESS6 tables: prefixes of which none holds another, so that what is in the set is said once. A range comes as its prefixes; one that goes
 * is cut out of what held it. Whoever looks meanwhile finds each address as it was or as it is to be: what takes another's place is there before that goes. */
#include <stdlib.h>
#include <string.h>
#include "settable.h"

enum { LINE = 4, LOAD6 = 2, LEAST = 256 };	/* prefixes in a line, lines are made for so many times as there are, lines at least */

struct net6 {
	u128 value;
	int length;
};

/* ---- sizes */

struct sizes6 {
	uint32_t shorter, whole, directory;	/* lines, lines, bytes, and as many of hints */
};

static uint32_t power_above(uint64_t n)
{
	uint32_t p = 64;

	while (p < n)
		p *= 2;
	return p;
}

static void sizes_of(const struct spans *s, int more, struct sizes6 *out)
{
	uint64_t n[2] = { 0, 0 };

	for (int i = 0; i < s->n; i++) {
		struct prefix p = { 0 };

		while (prefix_next(&p, &s->v[i], 128))
			n[p.length == 128]++;
	}
	out->shorter = power_above(n[0] * more * LOAD6 / LINE + LEAST);
	out->whole = power_above(n[1] * more * LOAD6 / LINE + LEAST);
	out->directory = power_above((n[0] + n[1]) * more * 2);
}

static uint64_t bytes_of(const struct sizes6 *z)
{
	return sizeof(struct set_table) + ((uint64_t)z->shorter + z->whole) * 64 + 2 * (uint64_t)z->directory;
}

void set_measure(struct set *s)
{
	bool seen[129] = { false };
	int n = 0;

	s->ragged = false;
	if (s->map || s->noted || s->n_types > 1 || s->type != TYPE_IPV6_ADDR || s->elements.n <= SET_COMPILED_MOST)
		return;
	for (int i = 0; i < s->elements.n && n <= SET_LENGTHS; i++) {
		struct prefix p = { 0 };

		while (prefix_next(&p, &s->elements.v[i], 128)) {
			n += !seen[p.length];
			seen[p.length] = true;
		}
	}
	s->ragged = n > SET_LENGTHS;
}

int settable_class6(const struct set *s, int more)
{
	struct sizes6 z;

	sizes_of(&s->elements, more, &z);
	for (int class = 0; class < SET_CLASSES; class++)
		if (bytes_of(&z) <= settable_size(class))
			return class;
	return -1;
}

/* As large as the class allows. */
void settable_init6(struct settable *t, const struct set *s, int more)
{
	struct set_table *h = settable_head(t);
	struct sizes6 z;

	sizes_of(&s->elements, more, &z);
	h->buckets = sizeof(*h) / 8;
	h->mask = z.shorter - 1;
	h->entries = h->buckets + z.shorter * 8;
	h->mask_whole = z.whole - 1;
	h->directory = h->entries + z.whole * 8;
	h->directory_mask = z.directory - 1;
	h->hints = h->directory + z.directory / 8;
	h->hints_mask = z.directory / 64 - 1;
	h->bytes = bytes_of(&z);
	h->limit = ~0u;
}

/* ---- entries */

/* In `key` as an address, in `whole` as the table has it. */
static void words_of(const struct net6 *p, struct set_query *q)
{
	q->key[0] = q->whole[0] = p->value >> 64;
	q->key[1] = q->whole[1] = (uint64_t)p->value;
	set_prefix6(&q->whole[0], &q->whole[1], p->length);
}

/* The nth line where it may be. */
static uint64_t *line_at(const struct settable *t, const struct set_query *q, bool whole, uint32_t n)
{
	const struct set_table *h = settable_head(t);
	uint64_t hash = set_hash6(q->whole[0], q->whole[1], h->seed);

	return settable_words(t, (whole ? h->entries : h->buckets) + ((hash + n) & (whole ? h->mask_whole : h->mask)) * 8, 8);
}

static void reach(const struct settable *t, const struct set_query *q, bool whole)
{
	for (uint32_t n = 0; n < SET_LINES6; n++)
		line_at(t, q, whole, n);
}

static bool has_net(const struct settable *t, const struct net6 *p)
{
	struct set_query q;

	words_of(p, &q);
	reach(t, &q, p->length == 128);
	return set6_has_prefix(t->m, t->m, &q, p->length, t->size);
}

static uint32_t special(const struct net6 *p)
{
	if (p->length == 127)
		return p->value == ~(u128)1 ? SET_HAS_LAST : 0;
	return p->length < 128 ? 0 : !p->value ? SET_HAS_ZERO : !~p->value ? SET_HAS_ONES : 0;
}

/* The two words of an entry; NULL: none in reach. `make`: a free or deleted one, where there is none. */
static uint64_t *entry_at(const struct settable *t, const struct set_query *q, bool whole, bool make)
{
	uint64_t *room = NULL;

	for (uint32_t n = 0; n < SET_LINES6; n++) {
		uint64_t *e = line_at(t, q, whole, n);
		bool full = true;

		for (int i = 0; i < LINE * 2; i += 2) {
			if (e[i] == q->whole[0] && e[i + 1] == q->whole[1])
				return &e[i];
			if (!room && (!(e[i] | e[i + 1]) || !~(e[i] & e[i + 1])))
				room = &e[i];
			full &= (e[i] | e[i + 1]) != 0;
		}
		if (!full)
			break;
	}
	return make ? room : NULL;
}

static uint32_t length_number(struct settable *t, int length)
{
	struct set_table *h = settable_head(t);
	uint32_t n = 0;

	while (n < h->n_lengths && h->length[n] != length)
		n++;
	return n;
}

static uint8_t *directory_of(const struct settable *t, u128 value)
{
	const struct set_table *h = settable_head(t);
	uint64_t net = set_net6(value >> 64, h->seed) & h->directory_mask;

	return (uint8_t *)settable_words(t, h->directory + (net >> 3), 1) + (net & 7);
}

static void put_hint(struct settable *t, const struct set_query *q, uint32_t length)
{
	const struct set_table *h = settable_head(t);
	uint64_t hash = set_hash6(q->whole[0], q->whole[1], h->seed), *w = settable_words(t, set_hint6_place(h, set_line6(q->key[0], length, h->seed), hash), 1);

	*w |= 1ull << (hash >> 58) | 1ull << (hash >> 52 & 63);
}

static int put_net(struct settable *t, const struct net6 *p)
{
	struct set_table *h = settable_head(t);
	uint32_t n = length_number(t, p->length);
	struct set_query q;
	uint64_t *e;

	if (n == SET_LENGTHS)
		return -1;
	words_of(p, &q);
	e = special(p) ? NULL : entry_at(t, &q, p->length == 128, true);
	if (!e && !special(p))
		return -1;
	if (p->length >= SET_HINTED6)
		put_hint(t, &q, p->length);
	if (p->length >= SET_NET6)
		*directory_of(t, p->value) |= 1 << set_length_bit(n);
	if (n == h->n_lengths) {
		h->length[n] = p->length;
		__atomic_store_n(&h->n_lengths, n + 1, __ATOMIC_RELEASE);
	}
	h->flags |= special(p);
	if (!e)
		return 0;
	/* a reader that meets one new word and one old one meets a prefix that nobody asks for, unless it is asked for by chance: the low word comes first,
	 * and the high one makes it what it is */
	__atomic_store_n(&e[1], q.whole[1], __ATOMIC_RELEASE);
	__atomic_store_n(&e[0], q.whole[0], __ATOMIC_RELEASE);
	return 0;
}

static void drop_net(struct settable *t, const struct net6 *p)
{
	struct set_query q;
	uint64_t *e;

	settable_head(t)->flags &= ~special(p);
	words_of(p, &q);
	e = special(p) ? NULL : entry_at(t, &q, p->length == 128, false);
	if (!e)
		return;
	__atomic_store_n(&e[0], ~0ull, __ATOMIC_RELEASE);
	__atomic_store_n(&e[1], ~0ull, __ATOMIC_RELEASE);
}

/* ---- what holds, and what is held */

static u128 low_bits(int n)
{
	return n >= 128 ? ~(u128)0 : ((u128)1 << n) - 1;
}

/* The shorter prefix that holds p. */
static bool holder_of(const struct settable *t, const struct net6 *p, struct net6 *out)
{
	const struct set_table *h = settable_head(t);

	for (uint32_t i = 0; i < h->n_lengths; i++) {
		if (h->length[i] >= p->length)
			continue;
		*out = (struct net6){ p->value & ~low_bits(128 - h->length[i]), h->length[i] };
		if (has_net(t, out))
			return true;
	}
	return false;
}

/* May anything be below p? The directory never says no where there is. */
static bool may_hold(const struct settable *t, const struct net6 *p)
{
	const struct set_table *h = settable_head(t);

	for (uint32_t i = 0; i < h->n_lengths; i++)
		if (h->length[i] > p->length && (p->length < SET_NET6 || *directory_of(t, p->value) >> set_length_bit(i) & 1))
			return true;
	return false;
}

static void each_entry(const struct settable *t, void (*one)(void *context, const struct net6 *p), void *context)
{
	const struct set_table *h = settable_head(t);

	settable_whole(t);
	for (int whole = 0; whole < 2; whole++) {
		const uint64_t *e = (uint64_t *)t->m + (whole ? h->entries : h->buckets);

		for (uint64_t i = 0; i < ((uint64_t)(whole ? h->mask_whole : h->mask) + 1) * LINE; i++, e += 2) {
			u128 v = (u128)e[0] << 64 | e[1];
			int open = whole ? 0 : v ? 1 + (e[1] ? __builtin_ctzll(e[1]) : 64 + __builtin_ctzll(e[0])) : 0;

			if (v && ~v)
				one(context, &(struct net6){ v & ~low_bits(open), 128 - open });
		}
	}
	if (h->flags & SET_HAS_ZERO)
		one(context, &(struct net6){ 0, 128 });
	if (h->flags & SET_HAS_ONES)
		one(context, &(struct net6){ ~(u128)0, 128 });
	if (h->flags & SET_HAS_LAST)
		one(context, &(struct net6){ ~(u128)1, 127 });
}

struct below {
	struct net6 net, *v;
	int n;
};

static void take_below(void *context, const struct net6 *p)
{
	struct below *b = context;

	if (p->length <= b->net.length || (p->value & ~low_bits(128 - b->net.length)) != b->net.value)
		return;
	b->v = array_room(b->v, b->n, sizeof(*b->v));
	b->v[b->n++] = *p;
}

/* What p holds; v is the caller's. */
static struct below below(const struct settable *t, const struct net6 *p)
{
	struct below b = { .net = *p };

	if (may_hold(t, p))
		each_entry(t, take_below, &b);
	return b;
}

/* ---- changes */

static int add_net(struct settable *t, const struct net6 *p)
{
	struct net6 holder;
	struct below b;
	int err;

	if (has_net(t, p) || holder_of(t, p, &holder))
		return 0;
	b = below(t, p);
	err = put_net(t, p);
	for (int i = 0; i < b.n && !err; i++)
		drop_net(t, &b.v[i]);
	free(b.v);
	return err;
}

/* What lies beside p under the prefix that is one bit shorter than `length`. */
static u128 sibling(const struct net6 *p, int length)
{
	return (p->value & ~low_bits(128 - length)) ^ (u128)1 << (128 - length);
}

/* The halves of the holder that are not on the way to p stay. */
static int cut(struct settable *t, const struct net6 *holder, const struct net6 *p)
{
	int length = holder->length, err = 0;

	while (!err && length < p->length)
		err = put_net(t, &(struct net6){ sibling(p, ++length), length });
	if (!err)
		drop_net(t, holder);
	for (; err && length > holder->length; length--)	/* as it was: the holder has them all */
		drop_net(t, &(struct net6){ sibling(p, length), length });
	return err;
}

static int del_net(struct settable *t, const struct net6 *p)
{
	struct net6 holder;
	struct below b;

	if (has_net(t, p)) {
		drop_net(t, p);
		return 0;
	}
	if (holder_of(t, p, &holder))
		return cut(t, &holder, p);
	b = below(t, p);
	for (int i = 0; i < b.n; i++)
		drop_net(t, &b.v[i]);
	free(b.v);
	return 0;
}

static bool has_all(const struct settable *t, const struct net6 *p)
{
	struct net6 holder;
	struct below b;
	u128 held = 0;

	if (has_net(t, p) || holder_of(t, p, &holder))
		return true;
	b = below(t, p);
	for (int i = 0; i < b.n; i++)
		held += low_bits(128 - b.v[i].length) + 1;
	free(b.v);
	return b.n && held - 1 == low_bits(128 - p->length);
}

static int each_net(struct settable *t, const struct span *s, int (*one)(struct settable *t, const struct net6 *p))
{
	struct prefix p = { 0 };
	int err = 0;

	while (!err && prefix_next(&p, s, 128))
		err = one(t, &(struct net6){ p.value, p.length });
	return err;
}

int settable_add6(struct settable *t, const struct span *s)
{
	return each_net(t, s, add_net);
}

int settable_del6(struct settable *t, const struct span *s)
{
	return each_net(t, s, del_net);
}

static int lacks(struct settable *t, const struct net6 *p)
{
	return !has_all(t, p);
}

bool settable_has6(const struct settable *t, const struct span *s)
{
	return !each_net((struct settable *)t, s, lacks);
}

bool settable_has_address6(const struct settable *t, u128 address)
{
	const struct set_table *h = settable_head(t);
	struct set_query q = { .key = { address >> 64, (uint64_t)address } };

	uint32_t first;

	settable_whole(t);
	first = set6_any_first(t->m, h, q.key, t->size);
	for (uint32_t n = 0; n < h->n_lengths && first > 1; n++)
		if (set6_has_prefix(t->m, h, &q, h->length[n], t->size))
			return true;
	return first == 1;
}

/* Of normalised spans: nothing holds anything, so nobody has to look. */
int settable_fill6(struct settable *t, const struct spans *s)
{
	int err = 0;

	for (int i = 0; i < s->n && !err; i++)
		err = each_net(t, &s->v[i], put_net);
	return err;
}

static void take_span(void *context, const struct net6 *p)
{
	spans_add(context, p->value, p->value | low_bits(128 - p->length));
}

void settable_list6(const struct settable *t, struct spans *out)
{
	each_entry(t, take_span, out);
	spans_normalise(out);
}
