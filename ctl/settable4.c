/* SPDX-License-Identifier: GPL-2.0-only */
/* settable4: SET_ADDRESS4 tables. Whoever looks meanwhile finds each address as it was or as it is to be. */
#include <string.h>
#include "settable.h"

enum { LOAD4 = 50 };	/* percent, of ways */

/* ---- sizes */

static uint64_t blocks_in(const struct spans *s)
{
	uint64_t n = 0;

	for (int i = 0; i < s->n; i++)	/* of each end its /24, at most */
		n += s->v[i].lo >> 4 == s->v[i].hi >> 4 ? 1 : ((s->v[i].lo & 255) || (s->v[i].hi & 255) != 255 ? 2 * 16 : 0);
	return n;
}

int settable_class4(const struct set *s, int more)
{
	uint64_t n = blocks_in(&s->elements) * more;

	for (int class = 0; class < SET_CLASSES; class++)
		if (settable_size(class) > SET_MAP4_WORDS * 8 && n <= (uint64_t)SET_BUCKETS4(settable_size(class)) * SET_WAYS4 * LOAD4 / 100)
			return class;
	return -1;
}

void settable_init4(struct settable *t)
{
	struct set_table *h = settable_head(t);
	uint32_t buckets = SET_BUCKETS4(t->size);

	h->entries = SET_MAP4;
	h->buckets = SET_BLOCKS4;
	h->mask = buckets - 1;
	h->shift = __builtin_ctz(buckets);
	h->bytes = (uint64_t)(h->buckets + buckets * 8) * 8;
	h->limit = ~0u;
}

/* ---- addresses */

static uint64_t *map_word(const struct settable *t, uint32_t net)
{
	return settable_words(t, settable_head(t)->entries + (net >> 5), 1);
}

static uint32_t part_get(const struct settable *t, uint32_t net)
{
	return *map_word(t, net) >> (net & 31) * 2 & 3;
}

static void part_put(struct settable *t, uint32_t net, uint32_t part)
{
	uint64_t *w = map_word(t, net), shift = (net & 31) * 2;

	__atomic_store_n(w, (*w & ~(3ull << shift)) | (uint64_t)part << shift, __ATOMIC_RELEASE);
}

/* The entry of a block, in one of its buckets, *nth; NULL: none. `make`: a free one where there is none. */
static uint32_t *block_at(const struct settable *t, uint32_t block, bool make, uint32_t *nth)
{
	const struct set_table *h = t->m;
	uint32_t p = set_permute(block), tag = p >> h->shift, *free_one = NULL;

	for (uint32_t n = 0; n < SET_TRIES; n++) {
		uint32_t *b = settable_words(t, h->buckets + (uint64_t)set_bucket4(p & h->mask, tag, n, h->mask) * 8, 8);

		for (int i = 0; i < SET_WAYS4; i++) {
			if (b[i] && b[i] >> 16 == (tag | n << 14)) {
				*nth = n;
				return &b[i];
			}
			if (make && !b[i] && !free_one) {
				free_one = &b[i];
				*nth = n;
			}
		}
	}
	return free_one;
}

static uint32_t block_get(const struct settable *t, uint32_t block)
{
	uint32_t nth, *e = block_at(t, block, false, &nth);

	return e ? *e & 0xffff : 0;
}

static int block_put(struct settable *t, uint32_t block, uint32_t bits, bool *elsewhere)
{
	const struct set_table *h = t->m;
	uint32_t nth = 0, *e = block_at(t, block, bits != 0, &nth);

	if (!e)
		return bits ? -1 : 0;
	__atomic_store_n(e, bits ? SET_BLOCK(bits, set_permute(block) >> h->shift, nth) : 0, __ATOMIC_RELEASE);
	*elsewhere |= bits && nth;
	return 0;
}

/* What a /24 has, as 16 maps of 16 bits. */
static void net_get(const struct settable *t, uint32_t net, uint16_t *bits)
{
	uint32_t part = part_get(t, net);

	for (int i = 0; i < 16; i++)
		bits[i] = part == SET_PART_ALL ? 0xffff : part >= SET_PART_SOME ? block_get(t, net << 4 | i) : 0;
}

static void net_clear(struct settable *t, uint32_t net)
{
	bool elsewhere = false;

	for (int i = 0; i < 16; i++)
		block_put(t, net << 4 | i, 0, &elsewhere);
}

/* Whoever looks finds each address as it was or as it is to be. */
static int net_put(struct settable *t, uint32_t net, const uint16_t *bits)
{
	uint32_t had = part_get(t, net), all = 0xffff, any = 0;
	bool elsewhere = had == SET_PART_ELSEWHERE;

	for (int i = 0; i < 16; i++) {
		all &= bits[i];
		any |= bits[i];
	}
	if (all == 0xffff || !any) {
		part_put(t, net, any ? SET_PART_ALL : SET_PART_NONE);
		if (had >= SET_PART_SOME)
			net_clear(t, net);
		return 0;
	}
	if (had < SET_PART_SOME)	/* what the map hid until now */
		net_clear(t, net);
	for (int i = 0; i < 16; i++)
		if (block_put(t, net << 4 | i, bits[i], &elsewhere)) {
			if (had < SET_PART_SOME)
				net_clear(t, net);
			return -1;
		}
	part_put(t, net, elsewhere ? SET_PART_ELSEWHERE : SET_PART_SOME);
	return 0;
}

static int net_change(struct settable *t, uint32_t net, uint32_t lo, uint32_t hi, bool add)
{
	uint16_t bits[16];

	net_get(t, net, bits);
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t first = i * 16 > lo ? i * 16 : lo, last = i * 16 + 15 < hi ? i * 16 + 15 : hi, these;

		if (first > last)
			continue;
		these = ((2u << (last & 15)) - 1) & ~((1u << (first & 15)) - 1);
		bits[i] = add ? bits[i] | these : bits[i] & ~these;
	}
	return net_put(t, net, bits);
}

static int change4(struct settable *t, uint32_t lo, uint32_t hi, bool add)
{
	uint32_t last = hi >> 8;

	for (uint32_t net = lo >> 8;; net++) {
		uint32_t from = net == lo >> 8 ? lo & 255 : 0, to = net == last ? hi & 255 : 255, part = part_get(t, net);

		if (!from && to == 255) {
			part_put(t, net, add ? SET_PART_ALL : SET_PART_NONE);
			if (part >= SET_PART_SOME)
				net_clear(t, net);
		} else if (part != (add ? SET_PART_ALL : SET_PART_NONE) && net_change(t, net, from, to, add)) {
			return -1;
		}
		if (net == last)
			return 0;
	}
}

int settable_add4(struct settable *t, uint32_t lo, uint32_t hi)
{
	return change4(t, lo, hi, true);
}

int settable_del4(struct settable *t, uint32_t lo, uint32_t hi)
{
	return change4(t, lo, hi, false);
}

bool settable_has4(const struct settable *t, uint32_t lo, uint32_t hi)
{
	for (uint64_t a = lo; a <= hi; ) {
		uint32_t nth;

		map_word(t, a >> 8);
		block_at(t, a >> 4, false, &nth);
		if (!set4_has(t->m, a, t->size))
			return false;
		a = !(a & 255) && part_get(t, a >> 8) == SET_PART_ALL ? a + 256 : a + 1;
	}
	return true;
}

/* Ranges in their order; the next one may join the last. */
static void take_range(struct spans *out, uint32_t lo, uint32_t hi)
{
	if (out->n && out->v[out->n - 1].hi + 1 == lo)
		out->v[out->n - 1].hi = hi;
	else
		spans_add(out, lo, hi);
}

static void list_net(const struct settable *t, uint32_t net, struct spans *out)
{
	uint16_t bits[16];

	net_get(t, net, bits);
	for (uint32_t i = 0; i < 256; i++)
		if (bits[i >> 4] >> (i & 15) & 1)
			take_range(out, net << 8 | i, net << 8 | i);
}

void settable_list4(const struct settable *t, struct spans *out)
{
	settable_whole(t);
	for (uint32_t net = 0; net < 1 << 24; net++) {
		uint32_t part;

		if (!(net & 31) && !*map_word(t, net)) {
			net += 31;
			continue;
		}
		part = part_get(t, net);
		if (part == SET_PART_ALL)
			take_range(out, net << 8, net << 8 | 255);
		else if (part)
			list_net(t, net, out);
	}
}

int settable_fill4(struct settable *t, const struct spans *s)
{
	int err = 0;

	for (int i = 0; i < s->n && !err; i++)
		err = settable_add4(t, s->v[i].lo, s->v[i].hi);
	return err;
}
