/* SPDX-License-Identifier: GPL-2.0-only */
/* compile: each rule becomes one span list per field it looks at; rules become units (unit.h); each field a sweep over the ends of all spans, which gives
 * disjoint intervals, each with the row of units that hold there (rows.h). Equal rows are stored once. */
#include <stdlib.h>
#include <string.h>
#include "compile.h"
#include "rows.h"
#include "unit.h"

static const uint8_t field_words[] = {
#define WORDS(sym, words, invariant) words,
	FILTER_FIELDS(WORDS)
#undef WORDS
};

u128 field_max(enum filter_field f)
{
	return field_words[f] == 2 ? ~(u128)0 : (u128)~0ull;
}

bool field_is_wide(enum filter_field f)
{
	return field_words[f] == 2;
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

/* Takes s over. */
static void constrain(struct constraints *c, enum filter_field f, struct spans s)
{
	struct spans both;

	if (!(c->used & FIELD_BIT(f))) {
		c->used |= FIELD_BIT(f);
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

void rule_constraints(const struct config *c, const struct rule *r, struct constraints *out)
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

void constraints_free(struct constraints *c)
{
	for (int f = 0; f < FIELD_COUNT; f++)
		spans_free(&c->field[f]);
}

uint32_t rule_entry(const struct rule *r, const struct constraints *k)
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

uint32_t policy_entry(const struct config *c, int chain)
{
	return (chain ? RULE_POLICY_EGRESS : RULE_POLICY_INGRESS) | (c->chains[chain].policy_drop ? RULE_DROP_BIT : 0);
}

/* ---- the whole */

static void store_entries(struct memory *w, const struct config *config, int which, const struct constraints *rules, const struct units *u)
{
	const struct chain *from = &config->chains[which];
	uint32_t at = memory_take(w, (u->n_units + 63) / 64 * 64);

	memory_chain(w)->entries = at;
	for (uint32_t i = 0; i < u->n_units; i++) {
		const struct unit *unit = &u->unit[i];
		uint32_t entry = unit->group < 0 ? rule_entry(&from->rules[unit->rule], &rules[unit->rule]) : FILTER_GROUP_BIT | unit->group;

		w->v[at + i] = (uint64_t)unit->position << 32 | entry;
	}
}

static int compile_units(struct memory *w, const struct config *config, int which, const struct constraints *rules, const struct units *u)
{
	const struct chain *from = &config->chains[which];
	struct filter_chain *c = memory_chain(w);
	int err;

	c->policy = policy_entry(config, which);
	c->rules = from->n_rules;
	c->units = u->n_units;
	c->words = (u->n_units + 63) / 64;
	c->summary = c->words > 1 ? (c->words + 63) / 64 : 0;
	c->stride = c->words + c->summary;
	for (int r = 0; r < from->n_rules; r++)
		c->fields |= rules[r].used;
	store_entries(w, config, which, rules, u);
	err = rows_store(w, rules, from->n_rules, u);
	return err ? err : groups_store(w, u);
}

static int compile_chain(struct memory *w, const struct config *config, int which, int ungrouped)
{
	const struct chain *from = &config->chains[which];
	struct constraints *rules = must(calloc(from->n_rules + 1, sizeof(*rules)));
	struct units units = {};
	int err;

	for (int r = 0; r < from->n_rules; r++)
		rule_constraints(config, &from->rules[r], &rules[r]);
	memory_take(w, sizeof(struct filter_chain) / 8);
	err = units_make(&units, from, rules, from->n_rules > ungrouped);
	if (!err)
		err = compile_units(w, config, which, rules, &units);
	if (!err && memory_bytes(w) > FILTER_LARGE)
		err = fail(EXIT_FAILED, "the rules of chain %s need %zu MiB of tables, the limit is %d: use sets in place of single rules", chain_name[which],
			   memory_bytes(w) >> 20, FILTER_LARGE >> 20);
	memory_chain(w)->bytes = memory_bytes(w);
	units_free(&units);
	for (int r = 0; r < from->n_rules; r++)
		constraints_free(&rules[r]);
	free(rules);
	return err;
}

int compile_grouping(struct compiled *out, const struct config *c, int ungrouped)
{
	int err = 0, rules = 0;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < CHAIN_COUNT; i++)
		rules += c->chains[i].n_rules;
	if (rules > FILTER_MAX_RULES)
		return fail(EXIT_FAILED, "%d rules, the limit is %d", rules, FILTER_MAX_RULES);
	for (int i = 0; i < CHAIN_COUNT && !err; i++)
		err = compile_chain(&out->chain[i], c, i, ungrouped);
	if (err)
		compiled_free(out);
	return err;
}

int compile(struct compiled *out, const struct config *c)
{
	return compile_grouping(out, c, UNITS_UNGROUPED);
}

void compiled_free(struct compiled *c)
{
	for (int i = 0; i < CHAIN_COUNT; i++)
		free(c->chain[i].v);
	memset(c, 0, sizeof(*c));
}

/* ---- the language's own meaning */

static u128 value_of(const struct field_values *v, enum filter_field f)
{
	return field_words[f] == 2 ? (u128)v->hi[f] << 64 | v->lo[f] : v->lo[f];
}

static bool rule_holds(const struct config *c, const struct rule *r, const struct field_values *v)
{
	struct constraints k;
	bool holds = true;

	rule_constraints(c, r, &k);
	for (int f = 0; f < FIELD_COUNT && holds; f++)
		if (k.used & FIELD_BIT(f))
			holds = v->present & FIELD_BIT(f) && spans_have(&k.field[f], value_of(v, f));
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
