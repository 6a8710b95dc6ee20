/* SPDX-License-Identifier: GPL-2.0-only */
/* compile: each rule becomes one span list per field it looks at; each field a sweep over the ends of all spans, which gives disjoint intervals,
 * each with the row of rules that hold there. Equal rows are stored once. */
#include <stdlib.h>
#include <string.h>
#include "compile.h"

#define MAX_BOUNDS (1u << 20)	/* MAX_STEPS of the datapath's binary search */

static const uint8_t field_words[] = {
#define WORDS(sym, words, invariant) words,
	FILTER_FIELDS(WORDS)
#undef WORDS
};

/* Largest value of a field; bits of the wide ones are 128. */
static u128 field_max(enum filter_field f)
{
	return field_words[f] == 2 ? ~(u128)0 : (u128)~0ull;
}

/* ---- spans */

static struct spans spans_of(u128 lo, u128 hi)
{
	struct spans s = {};

	spans_add(&s, lo, hi);
	return s;
}

static struct spans complement(const struct spans *s, u128 max)
{
	struct spans r = {};
	u128 next = 0;
	bool open = true;

	for (int i = 0; i < s->n; i++) {
		if (s->v[i].lo > next)
			spans_add(&r, next, s->v[i].lo - 1);
		open = s->v[i].hi < max;
		if (!open)
			break;
		next = s->v[i].hi + 1;
	}
	if (open)
		spans_add(&r, next, max);
	return r;
}

static struct spans intersect(const struct spans *a, const struct spans *b)
{
	struct spans r = {};

	for (int i = 0, j = 0; i < a->n && j < b->n;) {
		u128 lo = a->v[i].lo > b->v[j].lo ? a->v[i].lo : b->v[j].lo;
		u128 hi = a->v[i].hi < b->v[j].hi ? a->v[i].hi : b->v[j].hi;

		if (lo <= hi)
			spans_add(&r, lo, hi);
		if (a->v[i].hi < b->v[j].hi)
			i++;
		else
			j++;
	}
	return r;
}

/* ---- one rule as constraints on fields */

struct constraints {
	struct spans field[FIELD_COUNT];
	uint32_t used;
};

/* Takes s over. */
static void constrain(struct constraints *c, enum filter_field f, struct spans s)
{
	struct spans both;

	if (!(c->used & 1u << f)) {
		c->used |= 1u << f;
		c->field[f] = s;
		return;
	}
	both = intersect(&c->field[f], &s);
	spans_free(&c->field[f]);
	spans_free(&s);
	c->field[f] = both;
}

static void constrain_value(struct constraints *c, enum filter_field f, u128 value)
{
	constrain(c, f, spans_of(value, value));
}

/* Which field a key looks at, and what it takes for granted, as nft does. */
static const struct key_meaning {
	enum filter_field field;
	uint8_t family, proto;	/* 0: any */
} meaning[KEY_COUNT] = {
	[KEY_IP_SADDR] = { FIELD_SADDR4, 0, 0 }, [KEY_IP_DADDR] = { FIELD_DADDR4, 0, 0 },
	[KEY_IP6_SADDR] = { FIELD_SADDR6, 0, 0 }, [KEY_IP6_DADDR] = { FIELD_DADDR6, 0, 0 },
	[KEY_TCP_SPORT] = { FIELD_SPORT, 0, 6 }, [KEY_TCP_DPORT] = { FIELD_DPORT, 0, 6 },
	[KEY_UDP_SPORT] = { FIELD_SPORT, 0, 17 }, [KEY_UDP_DPORT] = { FIELD_DPORT, 0, 17 },
	[KEY_SCTP_SPORT] = { FIELD_SPORT, 0, 132 }, [KEY_SCTP_DPORT] = { FIELD_DPORT, 0, 132 },
	[KEY_META_L4PROTO] = { FIELD_L4PROTO, 0, 0 },
	[KEY_ICMP_TYPE] = { FIELD_ICMP_TYPE, 4, 1 }, [KEY_ICMP_CODE] = { FIELD_ICMP_CODE, 4, 1 },
	[KEY_ICMPV6_TYPE] = { FIELD_ICMP_TYPE, 6, 58 }, [KEY_ICMPV6_CODE] = { FIELD_ICMP_CODE, 6, 58 },
	[KEY_TCP_FLAGS] = { FIELD_TCP_FLAGS, 0, 6 },
	[KEY_VLAN_ID] = { FIELD_VLAN_ID, 0, 0 },
	[KEY_IIFNAME] = { FIELD_IFNAME, 0, 0 }, [KEY_OIFNAME] = { FIELD_IFNAME, 0, 0 },
	[KEY_ETHER_SADDR] = { FIELD_ETHER_SADDR, 0, 0 }, [KEY_ETHER_DADDR] = { FIELD_ETHER_DADDR, 0, 0 },
	[KEY_ETHER_TYPE] = { FIELD_ETHER_TYPE, 0, 0 },
};

static struct spans masked_values(uint8_t mask, uint8_t value)
{
	struct spans s = {};

	for (int v = 0; v < 256; v++)
		if ((v & mask) == value)
			spans_add(&s, v, v);
	spans_normalise(&s);
	return s;
}

static struct spans match_values(const struct config *c, const struct match *m)
{
	const struct spans *from = &m->spans;
	u128 max = field_max(meaning[m->key].field);
	struct spans s = {}, not;

	if (m->masked) {
		s = masked_values(m->mask, m->value);
	} else {
		if (m->set)
			from = &config_set(c, m->set)->elements;
		s = intersect(from, &(struct spans){ .v = &(struct span){ 0, max }, .n = 1 });
	}
	if (!m->negate)
		return s;
	not = complement(&s, max);
	spans_free(&s);
	return not;
}

static void rule_constraints(const struct config *c, const struct rule *r, struct constraints *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < r->n_matches; i++) {
		const struct key_meaning *k = &meaning[r->matches[i].key];

		if (k->family)
			constrain_value(out, FIELD_FAMILY, k->family);
		if (k->proto)
			constrain_value(out, FIELD_L4PROTO, k->proto);
		constrain(out, k->field, match_values(c, &r->matches[i]));
	}
}

static void constraints_free(struct constraints *c)
{
	for (int f = 0; f < FIELD_COUNT; f++)
		spans_free(&c->field[f]);
}

/* ---- words */

static uint32_t words_take(struct compiled *c, uint32_t n)
{
	uint32_t at = c->n_words;

	if (c->n_words + n > c->capacity) {
		c->capacity = (c->n_words + n) * 2;
		c->words = must(realloc(c->words, c->capacity * sizeof(*c->words)));
	}
	memset(c->words + at, 0, n * sizeof(*c->words));
	c->n_words += n;
	return at;
}

/* Rows of one chain, by content. */
struct row_index {
	uint32_t *slots, size, used, words;
};

static uint64_t row_hash(const uint64_t *row, uint32_t words)
{
	uint64_t h = 0x9e3779b97f4a7c15ull;

	for (uint32_t i = 0; i < words; i++) {
		h = (h ^ row[i]) * 0xd6e8feb86659fd93ull;
		h ^= h >> 32;
	}
	return h;
}

static void row_place(struct row_index *x, const struct compiled *c, uint32_t at)
{
	uint32_t i = row_hash(c->words + at, x->words) & (x->size - 1);

	while (x->slots[i])
		i = (i + 1) & (x->size - 1);
	x->slots[i] = at;
}

static void row_index_grow(struct row_index *x, const struct compiled *c)
{
	uint32_t *old = x->slots, n = x->size;

	x->size = n ? n * 2 : 1024;
	x->slots = must(calloc(x->size, sizeof(*x->slots)));
	for (uint32_t i = 0; i < n; i++)
		if (old[i])
			row_place(x, c, old[i]);
	free(old);
}

/* Where a row with this content stands; stored if it is new. */
static uint32_t row_intern(struct row_index *x, struct compiled *c, const uint64_t *row)
{
	uint32_t i, at;

	if (2 * (x->used + 1) > x->size)
		row_index_grow(x, c);
	for (i = row_hash(row, x->words) & (x->size - 1); x->slots[i]; i = (i + 1) & (x->size - 1))
		if (!memcmp(c->words + x->slots[i], row, x->words * sizeof(*row)))
			return x->slots[i];
	at = words_take(c, x->words);
	memcpy(c->words + at, row, x->words * sizeof(*row));
	x->slots[i] = at;
	x->used++;
	return at;
}

/* ---- one field of one chain */

struct edge {			/* from `at` on, rule `rule` begins or ceases to hold */
	u128 at;
	uint32_t rule;
	bool begins;
};

static int edge_order(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

struct edges {
	struct edge *v;
	size_t n, capacity;
};

static void edges_add(struct edges *e, u128 at, uint32_t rule, bool begins)
{
	if (e->n == e->capacity) {
		e->capacity = e->capacity ? e->capacity * 2 : 256;
		e->v = must(realloc(e->v, e->capacity * sizeof(*e->v)));
	}
	e->v[e->n++] = (struct edge){ at, rule, begins };
}

static void edges_of(struct edges *e, const struct constraints *rules, int n, enum filter_field f)
{
	u128 max = field_max(f);

	for (int r = 0; r < n; r++) {
		const struct spans *s = &rules[r].field[f];

		for (int i = 0; i < s->n; i++) {
			edges_add(e, s->v[i].lo, r, true);
			if (s->v[i].hi < max)
				edges_add(e, s->v[i].hi + 1, r, false);
		}
	}
	if (e->n)
		qsort(e->v, e->n, sizeof(*e->v), edge_order);
}

struct interval {
	u128 from;
	uint32_t row;
};

static void store_table(struct compiled *c, struct filter_table *t, enum filter_field f, const struct interval *v, uint32_t n)
{
	t->count = n;
	t->bounds = words_take(c, n * field_words[f]);
	t->rows = words_take(c, n);
	for (uint32_t i = 0; i < n; i++) {
		if (field_words[f] == 2) {
			c->words[t->bounds + 2 * i] = v[i].from >> 64;
			c->words[t->bounds + 2 * i + 1] = (uint64_t)v[i].from;
		} else {
			c->words[t->bounds + i] = (uint64_t)v[i].from;
		}
		c->words[t->rows + i] = v[i].row;
	}
}

static int compile_field(struct compiled *c, struct filter_chain *chain, struct row_index *rows, const struct constraints *rules, int n,
			 enum filter_field f)
{
	uint64_t *row = must(calloc(rows->words, sizeof(*row)));
	struct interval *intervals;
	struct edges edges = {};
	uint32_t count = 0;
	int err = 0;

	for (int r = 0; r < n; r++)
		if (!(rules[r].used & 1u << f))
			row[r / 64] |= 1ull << (r % 64);
	chain->table[f].absent = row_intern(rows, c, row);
	edges_of(&edges, rules, n, f);
	intervals = must(malloc((edges.n + 1) * sizeof(*intervals)));
	if (!edges.n || edges.v[0].at)
		intervals[count++] = (struct interval){ 0, chain->table[f].absent };
	for (size_t i = 0; i < edges.n && c->n_words < FILTER_LARGE;) {
		u128 at = edges.v[i].at;

		for (; i < edges.n && edges.v[i].at == at; i++) {
			uint64_t bit = 1ull << (edges.v[i].rule % 64);

			if (edges.v[i].begins)
				row[edges.v[i].rule / 64] |= bit;
			else
				row[edges.v[i].rule / 64] &= ~bit;
		}
		intervals[count++] = (struct interval){ at, row_intern(rows, c, row) };
	}
	if (count > MAX_BOUNDS)
		err = fail(EXIT_FAILED, "the rules cut one field into %u intervals, the limit is %u: use fewer or shorter sets", count, MAX_BOUNDS);
	else
		store_table(c, &chain->table[f], f, intervals, count);
	free(intervals);
	free(edges.v);
	free(row);
	return err;
}

static uint32_t rule_entry(const struct rule *r, const struct constraints *k)
{
	uint32_t e = r->id & RULE_ID_MASK;

	if (r->verdict == RULE_DROP)
		e |= RULE_DROP_BIT;
	if (r->verdict == RULE_CONTINUE)
		e |= RULE_CONTINUE_BIT;
	if (k->used & ~FIELDS_INVARIANT)
		e |= RULE_VARIANT_BIT;
	return e;
}

static uint32_t policy_entry(const struct config *c, int chain)
{
	return (chain ? RULE_POLICY_EGRESS : RULE_POLICY_INGRESS) | (c->chains[chain].policy_drop ? RULE_DROP_BIT : 0);
}

static int compile_chain(struct compiled *c, const struct config *config, int which)
{
	const struct chain *from = &config->chains[which];
	struct filter_chain *to = &c->filter.chain[which];
	struct constraints *rules = must(calloc(from->n_rules + 1, sizeof(*rules)));
	struct row_index rows = { .words = (from->n_rules + 63) / 64 };
	int err = 0;

	to->policy = policy_entry(config, which);
	to->words = rows.words;
	to->rules = words_take(c, rows.words * 64);
	for (int r = 0; r < from->n_rules; r++) {
		rule_constraints(config, &from->rules[r], &rules[r]);
		c->words[to->rules + r] = rule_entry(&from->rules[r], &rules[r]);
		to->fields |= rules[r].used;
	}
	/* a chain without matches still needs one row, for rules that match everything */
	if (from->n_rules)
		to->fields |= 1u << FIELD_FAMILY;
	for (int f = 0; f < FIELD_COUNT && !err; f++)
		if (to->fields & 1u << f)
			err = compile_field(c, to, &rows, rules, from->n_rules, f);
	for (int r = 0; r < from->n_rules; r++)
		constraints_free(&rules[r]);
	free(rows.slots);
	free(rules);
	return err;
}

int compile(struct compiled *out, const struct config *c)
{
	int err = 0;

	memset(out, 0, sizeof(*out));
	words_take(out, 1);	/* word 0 stands for "no row" */
	for (int i = 0; i < CHAIN_COUNT && !err; i++) {
		if (c->chains[i].n_rules > FILTER_MAX_RULES - RULE_FIRST)
			err = fail(EXIT_FAILED, "chain %s has %d rules, the limit is %d", chain_name[i], c->chains[i].n_rules,
				   FILTER_MAX_RULES - RULE_FIRST);
		else
			err = compile_chain(out, c, i);
	}
	if (!err && out->n_words > FILTER_LARGE)
		err = fail(EXIT_FAILED, "the rules need more than %d MiB of tables: use sets in place of single rules", FILTER_LARGE / (1 << 17));
	out->filter.size_class = out->n_words <= FILTER_SMALL ? FILTER_SMALL : out->n_words <= FILTER_MEDIUM ? FILTER_MEDIUM : FILTER_LARGE;
	if (err)
		compiled_free(out);
	return err;
}

void compiled_free(struct compiled *c)
{
	free(c->words);
	memset(c, 0, sizeof(*c));
}

/* ---- the two ways to classify in user space */

static u128 value_of(const struct field_values *v, enum filter_field f)
{
	return field_words[f] == 2 ? (u128)v->hi[f] << 64 | v->lo[f] : v->lo[f];
}

static uint32_t find_row(const struct compiled *c, const struct filter_table *t, enum filter_field f, const struct field_values *v)
{
	uint32_t low = 0, left = t->count;
	u128 x = value_of(v, f), bound;

	if (!(v->present & 1u << f))
		return t->absent;
	while (left > 1) {
		uint32_t half = left / 2, i = low + half;

		if (field_words[f] == 2)
			bound = (u128)c->words[t->bounds + 2 * i] << 64 | c->words[t->bounds + 2 * i + 1];
		else
			bound = c->words[t->bounds + i];
		if (bound <= x) {
			low = i;
			left -= half;
		} else {
			left = half;
		}
	}
	return c->words[t->rows + low];
}

uint32_t compiled_classify(const struct compiled *c, int chain, const struct field_values *v)
{
	const struct filter_chain *k = &c->filter.chain[chain];
	uint32_t row[FIELD_COUNT], entry;

	for (int f = 0; f < FIELD_COUNT; f++)
		if (k->fields & 1u << f)
			row[f] = find_row(c, &k->table[f], f, v);
	for (uint32_t w = 0; w < k->words; w++) {
		uint64_t all = ~0ull;

		for (int f = 0; f < FIELD_COUNT; f++)
			if (k->fields & 1u << f)
				all &= c->words[row[f] + w];
		for (; all; all &= all - 1) {
			entry = c->words[k->rules + w * 64 + __builtin_ctzll(all)];
			if (!(entry & RULE_CONTINUE_BIT))
				return entry;
		}
	}
	return k->policy;
}

static bool rule_holds(const struct config *c, const struct rule *r, const struct field_values *v)
{
	struct constraints k;
	bool holds = true;

	rule_constraints(c, r, &k);
	for (int f = 0; f < FIELD_COUNT && holds; f++)
		if (k.used & 1u << f)
			holds = v->present & 1u << f && spans_have(&k.field[f], value_of(v, f));
	constraints_free(&k);
	return holds;
}

uint32_t model_classify(const struct config *c, int chain, const struct field_values *v)
{
	struct constraints k;
	uint32_t entry;

	for (int i = 0; i < c->chains[chain].n_rules; i++) {
		const struct rule *r = &c->chains[chain].rules[i];

		if (r->verdict == RULE_CONTINUE || !rule_holds(c, r, v))
			continue;
		rule_constraints(c, r, &k);
		entry = rule_entry(r, &k);
		constraints_free(&k);
		return entry;
	}
	return policy_entry(c, chain);
}
