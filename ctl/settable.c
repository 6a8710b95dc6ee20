/* SPDX-License-Identifier: GPL-2.0-only */
/* settable: see settable.h. */
#include <stdlib.h>
#include <string.h>
#include "jiffies.h"
#include "settable.h"
#include "value.h"

#define BITS(name, bits) bits,
static const uint8_t class_bits[SET_CLASSES] = { SET_SIZES(BITS) };
#undef BITS

enum { LOAD = 54 };	/* percent, of ways */

struct set_table *settable_head(const struct settable *t)
{
	return t->m;
}

uint32_t settable_size(int class)
{
	return 1u << class_bits[class];
}

/* ---- prefixes of a range */

static u128 low_bits(int n)
{
	return n >= 128 ? ~(u128)0 : ((u128)1 << n) - 1;
}

/* The largest prefix that begins at lo and does not pass hi: its length. */
static int prefix_at(u128 lo, u128 hi, int width)
{
	int open = 0;

	while (open < width && !(lo >> open & 1) && (lo | low_bits(open + 1)) <= hi)
		open++;
	return width - open;
}

bool prefix_next(struct prefix *p, const struct span *s, int width)
{
	u128 last = p->value | low_bits(width - p->length);

	if (p->begun && last >= s->hi)
		return false;
	p->value = p->begun ? last + 1 : s->lo;
	p->length = prefix_at(p->value, s->hi, width);
	p->begun = true;
	return true;
}

/* ---- layout */

static bool plain4(const struct set *s)
{
	return s->n_types == 1 && s->type == TYPE_IPV4_ADDR && !s->noted;
}

static bool plain6(const struct set *s)
{
	return s->n_types == 1 && s->type == TYPE_IPV6_ADDR && !s->noted;
}

static uint64_t wanted(const struct set *s)
{
	uint64_t n = set_is_tupled(s) ? (uint64_t)s->tuples.n : (uint64_t)s->elements.n;

	if (s->interval && set_is_tupled(s))
		n *= 2;
	if (s->size && s->size > n)
		n = s->size;
	return s->dynamic && !s->size && n < SET_SIZE_DEFAULT ? SET_SIZE_DEFAULT : n;
}

static uint32_t power_below(uint32_t n)
{
	return 1u << (31 - __builtin_clz(n));
}

static uint32_t buckets_of(int class)
{
	return power_below((settable_size(class) - sizeof(struct set_table)) / (64 + SET_WAYS * sizeof(struct set_entry)));
}

int settable_class(const struct set *s, int more)
{
	if (plain4(s))
		return settable_class4(s, more);
	if (plain6(s))
		return settable_class6(s, more);
	for (int class = 0; class < SET_CLASSES; class++)
		if (wanted(s) * more <= (uint64_t)buckets_of(class) * (SET_WAYS - 1) * LOAD / 100)
			return class;
	return -1;
}

int set_layout(const enum config_type *types, int n, struct set_part_of_key *parts)
{
	int word = 0, at = 0;

	for (int wide = 1; wide >= 0; wide--) {
		for (int i = 0; i < n; i++) {
			int bits = config_type_bits[types[i]];

			if ((bits == 128) != wide)
				continue;
			if (wide) {
				parts[i] = (struct set_part_of_key){ .bits = 128, .word = word };
				word += 2;
			} else {
				if (at + bits > 64) {
					word++;
					at = 0;
				}
				parts[i] = (struct set_part_of_key){ .bits = bits, .word = word, .at = at };
				at += bits;
			}
		}
	}
	if (n == 1 && types[0] == TYPE_IPV4_ADDR)	/* prefixes are of high bits */
		parts[0].at = 32;
	return word + (at > 0) <= SET_KEY_WORDS ? 0 : -1;
}

enum set_kind settable_kind(const struct set *s)
{
	return plain4(s) ? SET_ADDRESS4 : plain6(s) ? SET_ADDRESS6 : SET_ELEMENTS;
}

void settable_init(struct settable *t, const struct set *s, int more, uint64_t seed)
{
	struct set_table *h = settable_head(t);
	int class = 0;

	while (settable_size(class) != t->size)
		class++;
	*h = (struct set_table){ .kind = settable_kind(s), .seed = seed, .n_types = s->n_types, .interval = s->interval };
	h->flags = (s->dynamic ? SET_DYNAMIC : 0) | (s->counter ? SET_COUNTS : 0) | (s->timed ? SET_TIMES : 0);
	h->flags |= (s->noted ? SET_NOTED : 0) | (s->constant ? SET_CONSTANT : 0) | (s->commented ? SET_COMMENTED : 0);
	h->timeout = ticks_of_ms(s->timeout_ms);
	h->fixed = !set_is_volatile(s);
	for (int i = 0; i < s->n_types; i++)
		h->type[i] = s->types[i];
	snprintf(h->name, sizeof(h->name), "%s", s->name);
	if (h->kind == SET_ADDRESS4) {
		settable_init4(t);
	} else if (h->kind == SET_ADDRESS6) {
		settable_init6(t, s, more);
	} else {
		uint32_t buckets = buckets_of(class);

		h->buckets = sizeof(*h) / 8;
		h->entries = h->buckets + buckets * 8;
		h->mask = buckets - 1;
		h->bytes = (h->entries + (uint64_t)buckets * SET_WAYS * 8) * 8;
		h->limit = s->size ? s->size : s->dynamic ? SET_SIZE_DEFAULT : ~0u;
	}
}

/* ---- elements */

static void reach(const struct settable *t, const struct set_query *q)
{
	const struct set_table *h = settable_head(t);

	for (uint32_t n = 0; n < SET_TRIES; n++) {
		uint64_t bucket = set_bucket(h, q->hash, n);

		settable_words(t, h->buckets + bucket * 8, 8);
		settable_words(t, h->entries + bucket * SET_WAYS * 8, SET_WAYS * 8);
	}
}

/* The place of the live entry of q->key, or 0. */
static uint32_t find(const struct settable *t, const struct set_query *q)
{
	uint32_t place;

	reach(t, q);
	place = set_find(t->m, t->m, q, 0, t->size);
	for (uint32_t n = 1; n < SET_TRIES && !place && set_spills(t->m, t->m, q, t->size); n++)
		place = set_find(t->m, t->m, q, n, t->size);
	return place;
}

static uint32_t add(struct settable *t, const struct set_query *q, uint32_t timeout)
{
	uint32_t place = 0;

	for (uint32_t n = 0; n < SET_TRIES && !place; n++)
		place = set_claim(t->m, t->m, q, n, t->size);
	if (place)
		set_fill(t->m, t->m, q, place, timeout, t->size);
	return place;
}

static void query_hash(const struct settable *t, struct set_query *q)
{
	q->hash = set_hash(q->key, settable_head(t)->seed);
}

static struct set_entry *entry_at(const struct settable *t, uint32_t place)
{
	return (struct set_entry *)((uint64_t *)t->m + place);
}

static bool by_length(const struct set_table *h)
{
	return h->interval && h->n_types == 1;
}

static void key_of(const struct set_table *h, const struct value_tuple *e, __u64 *key)
{
	struct set_part_of_key parts[KEYS_MOST];
	enum config_type types[KEYS_MOST];

	for (int i = 0; i < h->n_types; i++)
		types[i] = h->type[i];
	set_layout(types, h->n_types, parts);
	memset(key, 0, SET_KEY_WORDS * sizeof(*key));
	for (int i = 0; i < h->n_types; i++) {
		u128 v = e->part[i].lo;

		if (parts[i].bits == 128)
			key[parts[i].word] = v >> 64, key[parts[i].word + 1] = v;
		else
			key[parts[i].word] |= (uint64_t)v << parts[i].at;
	}
}

static int take_length(struct settable *t, int length)
{
	struct set_table *h = t->m;

	for (uint32_t i = 0; i < h->n_lengths; i++)
		if (h->length[i] == length)
			return 0;
	if (h->n_lengths == SET_LENGTHS)
		return -1;
	h->length[h->n_lengths] = length;
	__atomic_store_n(&h->n_lengths, h->n_lengths + 1, __ATOMIC_RELEASE);
	return 0;
}

static int put_one(struct settable *t, const struct value_tuple *e, int length, uint32_t now)
{
	struct set_query q = { .now = now };
	uint32_t timeout = e->timeout_ms ? ticks_of_ms(e->timeout_ms) : settable_head(t)->timeout, place, until;

	key_of(t->m, e, q.key);
	if (by_length(t->m)) {
		q.key[4] = length;
		if (take_length(t, length))
			return -1;
	}
	query_hash(t, &q);
	until = set_until(now, e->expires_ms ? ticks_of_ms(e->expires_ms) : timeout);
	place = find(t, &q);
	if (!place) {
		place = add(t, &q, timeout);
		if (!place)
			return -1;
		entry_at(t, place)->packets = e->packets;
		entry_at(t, place)->bytes = e->bytes;
	}
	entry_at(t, place)->timeout = timeout;
	__atomic_store_n(&entry_at(t, place)->expires, until, __ATOMIC_RELEASE);
	return 0;
}

static int width_of(const struct set_table *h)
{
	return config_type_bits[h->type[0]];
}

/* Each prefix of the element, until `one` says something else than 0. */
static int each_prefix(struct settable *t, const struct value_tuple *e, uint32_t now,
		       int (*one)(struct settable *t, const struct value_tuple *e, int length, uint32_t now))
{
	struct value_tuple part = *e;
	struct prefix p = { 0 };
	int err = 0;

	if (!by_length(t->m))
		return one(t, e, 0, now);
	while (!err && prefix_next(&p, &e->part[0], width_of(t->m))) {
		part.part[0].lo = p.value;
		err = one(t, &part, p.length, now);
	}
	return err;
}

int settable_put(struct settable *t, const struct value_tuple *e, uint32_t now)
{
	return each_prefix(t, e, now, put_one);
}

static uint32_t find_one(const struct settable *t, const struct value_tuple *e, int length, uint32_t now, struct set_query *q)
{
	*q = (struct set_query){ .now = now };
	key_of(t->m, e, q->key);
	if (by_length(t->m))
		q->key[4] = length;
	query_hash(t, q);
	return find(t, q);
}

static int lacks_one(struct settable *t, const struct value_tuple *e, int length, uint32_t now)
{
	struct set_query q;

	return !find_one(t, e, length, now, &q);
}

bool settable_has(const struct settable *t, const struct value_tuple *e, uint32_t now)
{
	return !each_prefix((struct settable *)t, e, now, lacks_one);
}

/* Two CPUs may have made two of it. */
static int del_one(struct settable *t, const struct value_tuple *e, int length, uint32_t now)
{
	struct set_table *h = t->m;
	struct set_query q;
	uint32_t place;

	while ((place = find_one(t, e, length, now, &q))) {
		uint32_t way = (place - h->entries) / 8, *tags = (uint32_t *)((uint64_t *)t->m + h->buckets) + way;

		__atomic_store_n(&entry_at(t, place)->expires, SET_BUSY, __ATOMIC_SEQ_CST);
		*tags = 0;
		__atomic_store_n(&entry_at(t, place)->expires, SET_FREE, __ATOMIC_SEQ_CST);
		__atomic_fetch_sub(&h->used, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

int settable_del(struct settable *t, const struct value_tuple *e, uint32_t now)
{
	return each_prefix(t, e, now, del_one);
}

static void tuple_of(const struct set_table *h, const struct set_entry *e, uint32_t now, struct value_tuple *out)
{
	struct set_part_of_key parts[KEYS_MOST];
	enum config_type types[KEYS_MOST];

	*out = (struct value_tuple){ .packets = e->packets, .bytes = e->bytes };
	for (int i = 0; i < h->n_types; i++)
		types[i] = h->type[i];
	set_layout(types, h->n_types, parts);
	for (int i = 0; i < h->n_types; i++) {
		u128 v = parts[i].bits == 128 ? (u128)e->key[parts[i].word] << 64 | e->key[parts[i].word + 1] :
			 e->key[parts[i].word] >> parts[i].at & low_bits(parts[i].bits);

		out->part[i] = (struct span){ v, by_length(h) ? v | low_bits(width_of(h) - (int)e->key[4]) : v };
	}
	if (e->timeout)
		out->timeout_ms = ms_of_ticks(e->timeout);
	if (e->expires != SET_NEVER)
		out->expires_ms = ms_of_ticks(e->expires - now);
}

void settable_list(const struct settable *t, struct value_tuples *out, uint32_t now)
{
	const struct set_table *h = t->m;
	uint64_t n = ((uint64_t)h->mask + 1) * SET_WAYS;

	settable_whole(t);
	for (uint64_t i = 0; i < n; i++) {
		const struct set_entry e = *entry_at(t, h->entries + i * 8);

		if (!(i & (SET_WAYS - 1)) || !set_alive(e.expires, now))
			continue;
		out->v = array_room(out->v, out->n, sizeof(*out->v));
		tuple_of(h, &e, now, &out->v[out->n++]);
	}
	tuples_normalise(out, h->n_types);
}

/* ---- the whole */

int settable_fill(struct settable *t, const struct set *s, uint32_t now)
{
	int err = 0;

	if (!set_is_tupled(s))
		return settable_head(t)->kind == SET_ADDRESS4 ? settable_fill4(t, &s->elements) : settable_fill6(t, &s->elements);
	for (int i = 0; i < s->tuples.n && !err; i++) {
		settable_head(t)->flags |= s->tuples.v[i].comment ? SET_COMMENTED : 0;
		err = settable_put(t, &s->tuples.v[i], now);
	}
	return err;
}

/* ---- time */

uint32_t settable_now(void)
{
	return set_tick(jiffies_now64());
}

uint32_t ticks_of_ms(uint64_t ms)
{
	uint64_t tick_ns = jiffy_ns() << SET_TICK_SHIFT, n = (ms * 1000000 + tick_ns - 1) / tick_ns;

	return n > INT32_MAX ? INT32_MAX : n;
}

uint64_t ms_of_ticks(uint32_t ticks)
{
	return ticks * (jiffy_ns() << SET_TICK_SHIFT) / 1000000;
}
