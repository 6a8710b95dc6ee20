/* SPDX-License-Identifier: GPL-2.0-only */
/* constraint: what each key of the language asks of which field. A rule is the conjunction of its matches. */
#include <stdlib.h>
#include <string.h>
#include "constraint.h"
#include "lookup.h"
#include "reject.h"

const uint8_t field_words[FIELD_COUNT] = {
#define WORDS(sym, words, invariant) words,
	FILTER_FIELDS(WORDS)
#undef WORDS
};

/* Largest value of a field; bits of the wide ones are 128. */
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

struct spans spans_intersect(const struct spans *a, const struct spans *b)
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
	both = spans_intersect(&c->field[f], &s);
	spans_free(&c->field[f]);
	spans_free(&s);
	c->field[f] = both;
}

static void constrain_value(struct constraints *c, enum filter_field f, u128 value)
{
	constrain(c, f, spans_of(value, value));
}

/* Which field a key looks at. Where it is a part of one: its lowest bit and how many, of eight. Keys that are read by their place have none. */
static const struct key_meaning {
	enum filter_field field;
	uint8_t shift, bits;
} meaning[KEY_COUNT] = {
	[KEY_IP_SADDR] = { FIELD_SADDR4, 0, 0 }, [KEY_IP_DADDR] = { FIELD_DADDR4, 0, 0 },
	[KEY_IP6_SADDR] = { FIELD_SADDR6, 0, 0 }, [KEY_IP6_DADDR] = { FIELD_DADDR6, 0, 0 },
	[KEY_TCP_SPORT] = { FIELD_SPORT, 0, 0 }, [KEY_TCP_DPORT] = { FIELD_DPORT, 0, 0 },
	[KEY_UDP_SPORT] = { FIELD_SPORT, 0, 0 }, [KEY_UDP_DPORT] = { FIELD_DPORT, 0, 0 },
	[KEY_SCTP_SPORT] = { FIELD_SPORT, 0, 0 }, [KEY_SCTP_DPORT] = { FIELD_DPORT, 0, 0 },
	[KEY_TH_SPORT] = { FIELD_SPORT, 0, 0 }, [KEY_TH_DPORT] = { FIELD_DPORT, 0, 0 },
	[KEY_META_L4PROTO] = { FIELD_L4PROTO, 0, 0 }, [KEY_IP_PROTOCOL] = { FIELD_L4PROTO, 0, 0 },
	[KEY_ICMP_TYPE] = { FIELD_ICMP_TYPE, 0, 0 }, [KEY_ICMP_CODE] = { FIELD_ICMP_CODE, 0, 0 },
	[KEY_ICMPV6_TYPE] = { FIELD_ICMP_TYPE, 0, 0 }, [KEY_ICMPV6_CODE] = { FIELD_ICMP_CODE, 0, 0 },
	[KEY_TCP_FLAGS] = { FIELD_TCP_FLAGS, 0, 0 },
	[KEY_VLAN_ID] = { FIELD_VLAN_ID, 0, 0 }, [KEY_VLAN_PCP] = { FIELD_VLAN_PCP, 0, 0 },
	[KEY_IIFNAME] = { FIELD_IFNAME, 0, 0 }, [KEY_OIFNAME] = { FIELD_IFNAME, 0, 0 },
	[KEY_ETHER_SADDR] = { FIELD_ETHER_SADDR, 0, 0 }, [KEY_ETHER_DADDR] = { FIELD_ETHER_DADDR, 0, 0 },
	[KEY_ETHER_TYPE] = { FIELD_ETHER_TYPE, 0, 0 }, [KEY_CT_STATE] = { FIELD_CT_STATE, 0, 0 },
	[KEY_IP_DSCP] = { FIELD_TOS, 2, 6 }, [KEY_IP6_DSCP] = { FIELD_TOS, 2, 6 },
	[KEY_IP_ECN] = { FIELD_TOS, 0, 2 }, [KEY_IP6_ECN] = { FIELD_TOS, 0, 2 },
	[KEY_IP_TTL] = { FIELD_TTL, 0, 0 }, [KEY_IP6_HOPLIMIT] = { FIELD_TTL, 0, 0 },
	[KEY_IP_LENGTH] = { FIELD_IP_LENGTH, 0, 0 }, [KEY_IP6_LENGTH] = { FIELD_IP_LENGTH, 0, 0 },
	[KEY_IP_FRAG_OFF] = { FIELD_FRAG_OFF, 0, 0 }, [KEY_IP6_NEXTHDR] = { FIELD_NEXTHDR, 0, 0 },
	[KEY_IP_OPTION_LSRR] = { FIELD_OPTIONS, 0, 1 }, [KEY_IP_OPTION_RR] = { FIELD_OPTIONS, 1, 1 },
	[KEY_IP_OPTION_SSRR] = { FIELD_OPTIONS, 2, 1 }, [KEY_IP_OPTION_RA] = { FIELD_OPTIONS, 3, 1 },
	[KEY_EXTHDR_HBH] = { FIELD_OPTIONS, 0, 1 }, [KEY_EXTHDR_RT] = { FIELD_OPTIONS, 1, 1 },
	[KEY_EXTHDR_FRAG] = { FIELD_OPTIONS, 2, 1 }, [KEY_EXTHDR_DST] = { FIELD_OPTIONS, 3, 1 }, [KEY_EXTHDR_MH] = { FIELD_OPTIONS, 4, 1 },
	[KEY_TCP_OPTION_MAXSEG] = { FIELD_TCP_OPTIONS, 0, 1 }, [KEY_TCP_OPTION_WINDOW] = { FIELD_TCP_OPTIONS, 1, 1 },
	[KEY_TCP_OPTION_SACK_PERM] = { FIELD_TCP_OPTIONS, 2, 1 }, [KEY_TCP_OPTION_SACK] = { FIELD_TCP_OPTIONS, 3, 1 },
	[KEY_TCP_OPTION_TIMESTAMP] = { FIELD_TCP_OPTIONS, 4, 1 }, [KEY_TCP_OPTION_MD5SIG] = { FIELD_TCP_OPTIONS, 5, 1 },
	[KEY_TCP_OPTION_MPTCP] = { FIELD_TCP_OPTIONS, 6, 1 }, [KEY_TCP_OPTION_FASTOPEN] = { FIELD_TCP_OPTIONS, 7, 1 },
	[KEY_TCP_OPTION_MAXSEG_SIZE] = { FIELD_TCP_MSS, 0, 0 },
	[KEY_META_LENGTH] = { FIELD_LENGTH, 0, 0 }, [KEY_META_PROTOCOL] = { FIELD_L3_TYPE, 0, 0 },
	[KEY_META_NFPROTO] = { FIELD_FAMILY, 0, 0 }, [KEY_META_MARK] = { FIELD_MARK, 0, 0 }, [KEY_META_RANDOM] = { FIELD_RANDOM, 0, 0 },
};

/* Fields that packets of one family alone have: asking for the family too would be one more dimension. */
static const uint64_t of_one_family = FIELD_BIT(FIELD_SADDR4) | FIELD_BIT(FIELD_DADDR4) | FIELD_BIT(FIELD_SADDR6) | FIELD_BIT(FIELD_DADDR6) |
				      FIELD_BIT(FIELD_FRAG_OFF) | FIELD_BIT(FIELD_NEXTHDR);

_Static_assert(EXTHDR_MH == 1 << 4 && IP_OPTION_RA == 1 << 3 && TCP_OPTION_FASTOPEN == 1 << 7, "the bits of the table above");

void raws_of(struct raws *out, const struct config *c)
{
	const struct match *over;

	out->n = raw_list(c, out->v, FILTER_RAWS, &over);
	lookups_list(c, out->lookup, &over);
}

static enum filter_field field_of(const struct raws *raws, const struct match *m)
{
	for (int i = 0; m->raw.length && i < raws->n; i++)
		if (raw_equal(&raws->v[i], &m->raw))
			return FIELD_RAW0 + i;
	return meaning[m->key].field;
}

struct key_place key_place(const struct raws *raws, enum config_key key, const struct raw *raw)
{
	struct match m = { .key = key, .raw = key == KEY_RAW && raw ? *raw : raw_of_key(key) };

	return (struct key_place){ field_of(raws, &m), meaning[key].shift, meaning[key].bits };
}

/* The bytes whose bits have one of these values. */
static struct spans bytes_of_bits(const struct spans *values, const struct key_meaning *k)
{
	struct spans s = {};

	for (int byte = 0; byte < 256; byte++)
		if (spans_have(values, byte >> k->shift & ((1 << k->bits) - 1)))
			spans_add(&s, byte, byte);
	spans_normalise(&s);
	return s;
}

/* What the match names, without its negation. */
static struct spans named_values(const struct config *c, const struct match *m)
{
	const struct spans *from = m->set ? &config_set(c, m->set)->elements : &m->spans;
	struct spans s = {};

	if (m->masked)
		spans_of_mask(&s, match_max(m), m->mask, m->value);
	else
		s = spans_intersect(from, &(struct spans){ .v = &(struct span){ 0, match_max(m) }, .n = 1 });
	return s;
}

static struct spans match_values(const struct config *c, const struct match *m, enum filter_field f)
{
	const struct key_meaning *k = &meaning[m->key];
	struct spans s = named_values(c, m), other;

	if (k->bits) {
		other = bytes_of_bits(&s, k);
		spans_free(&s);
		s = other;
	}
	if (!m->negate)
		return s;
	other = complement(&s, field_max(f));
	spans_free(&s);
	return other;
}

static void constrain_key(struct constraints *out, const struct config *c, const struct raws *raws, const struct match *m)
{
	enum filter_field f = field_of(raws, m);

	if (config_key_family[m->key] && !(of_one_family >> f & 1))
		constrain_value(out, FIELD_FAMILY, config_key_family[m->key]);
	if (config_key_proto[m->key])
		constrain_value(out, FIELD_L4PROTO, config_key_proto[m->key]);
	constrain(out, f, match_values(c, m, f));
}

static void constrain_present(struct constraints *out, const struct config *c, const struct raws *raws, enum config_key key)
{
	struct match any = { .key = key, .masked = true };	/* under no mask everything is 0 */

	constrain_key(out, c, raws, &any);
}

/* The key must be there to be looked up. */
static void constrain_lookup(struct constraints *out, const struct config *c, const struct raws *raws, const struct match *m, int lookup)
{
	for (int i = 0; i < m->n_keys; i++)
		constrain_present(out, c, raws, m->keys[i]);
	constrain_value(out, FIELD_SET0 + lookup, !m->negate);
}

void rule_constraints(const struct config *c, const struct raws *raws, const struct rule *r, struct constraints *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < r->n_matches; i++) {
		const struct match *m = &r->matches[i];
		int lookup = lookup_of(c, raws, m);

		if (lookup >= 0) {
			constrain_lookup(out, c, raws, m, lookup);
			continue;
		}
		if (m->n_keys < 2) {
			constrain_key(out, c, raws, m);
			continue;
		}
		for (int k = 0; k < m->n_keys; k++)
			constrain_present(out, c, raws, m->keys[k]);
	}
	for (int i = 0; i < r->limit.n_keys; i++)
		constrain_present(out, c, raws, r->limit.keys[i]);
	for (int i = 0; i < r->update.n_keys; i++)
		constrain_present(out, c, raws, r->update.keys[i]);
	if (r->verdict == RULE_REJECT && reject_family(r->reject))
		constrain_value(out, FIELD_FAMILY, reject_family(r->reject));
	if (r->verdict == RULE_REJECT && reject_proto(r->reject))
		constrain_value(out, FIELD_L4PROTO, reject_proto(r->reject));
}

void constraints_copy(struct constraints *out, const struct constraints *c)
{
	*out = (struct constraints){ .used = c->used, .empty = c->empty };
	for (int f = 0; f < FIELD_COUNT; f++)
		for (int i = 0; i < c->field[f].n; i++)
			spans_add(&out->field[f], c->field[f].v[i].lo, c->field[f].v[i].hi);
}

void constraints_drop(struct constraints *c, enum filter_field f)
{
	spans_free(&c->field[f]);
	c->field[f] = (struct spans){ 0 };
	c->used &= ~FIELD_BIT(f);
}

void constraints_join(struct constraints *out, const struct constraints *a, const struct constraints *b)
{
	constraints_copy(out, a);
	for (int f = 0; f < FIELD_COUNT; f++) {
		struct spans s = {};

		if (!(b->used >> f & 1))
			continue;
		for (int i = 0; i < b->field[f].n; i++)
			spans_add(&s, b->field[f].v[i].lo, b->field[f].v[i].hi);
		constrain(out, f, s);
	}
	for (int f = 0; f < FIELD_COUNT; f++)
		out->empty |= out->used >> f & 1 && !out->field[f].n;
}

/* ---- ways */

static int by_rest(const void *a, const void *b)
{
	const struct value_tuple *x = *(const struct value_tuple *const *)a, *y = *(const struct value_tuple *const *)b;
	int d = memcmp(&x->part[1], &y->part[1], (KEYS_MOST - 1) * sizeof(x->part[0]));

	if (!d)
		d = (int)x->verdict - (int)y->verdict;
	return d ? d : strcmp(x->target ? x->target : "", y->target ? y->target : "");
}

/* The way of tuples from v[0] on that differ in their first part only; how many they are. */
static int take_way(struct way *out, const struct config *c, const struct raws *raws, const struct match *m, const struct value_tuple **v, int n)
{
	struct match part = { .key = m->keys[0], .raw = m->raw };
	int taken = 0;

	*out = (struct way){ .verdict = v[0]->verdict, .target = v[0]->target };
	for (; taken < n && !by_rest(&v[0], &v[taken]); taken++)
		spans_add(&part.spans, v[taken]->part[0].lo, v[taken]->part[0].hi);
	spans_normalise(&part.spans);
	constrain_key(&out->k, c, raws, &part);
	spans_free(&part.spans);
	for (int i = 1; i < m->n_keys; i++) {
		struct span one = v[0]->part[i];
		struct match next = { .key = m->keys[i], .spans = { &one, 1, 1 } };

		constrain_key(&out->k, c, raws, &next);
	}
	return taken;
}

bool match_has_ways(const struct config *c, const struct match *m)
{
	return m->n_keys > 1 && !(m->set && set_is_live(config_set(c, m->set)));
}

void ways_of(struct ways *out, const struct config *c, const struct raws *raws, const struct match *m)
{
	const struct value_tuples *t = m->set ? &config_set(c, m->set)->tuples : &m->tuples;
	const struct value_tuple **v = must(malloc((t->n + 1) * sizeof(*v)));

	*out = (struct ways){ 0 };
	for (int i = 0; i < t->n; i++)
		v[i] = &t->v[i];
	qsort(v, t->n, sizeof(*v), by_rest);
	for (int i = 0; i < t->n;) {
		out->v = array_room(out->v, out->n, sizeof(*out->v));
		i += take_way(&out->v[out->n++], c, raws, m, v + i, t->n - i);
	}
	free(v);
}

void ways_free(struct ways *w)
{
	for (int i = 0; i < w->n; i++)
		constraints_free(&w->v[i].k);
	free(w->v);
	*w = (struct ways){ 0 };
}

void constraints_free(struct constraints *c)
{
	for (int f = 0; f < FIELD_COUNT; f++)
		spans_free(&c->field[f]);
}
