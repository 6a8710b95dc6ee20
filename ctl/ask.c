/* SPDX-License-Identifier: GPL-2.0-only */
/* ask: see ask.h. */
#include <string.h>
#include "../maps/set.h"
#include "ask.h"
#include "compile.h"
#include "lookup.h"
#include "settable.h"

enum { DOES_MORE = RULE_CONTINUE_BIT | RULE_MARK_BIT | RULE_SET_BIT | RULE_LOG_BIT };	/* than decide, if its limit lets it */

bool row_is_plain(const struct row *r)
{
	return !(r->entry & (DOES_MORE | RULE_LIMIT_BIT | RULE_VARIANT_BIT)) && !(r->k.used & FIELDS_EXTRA);
}

static void term_bits(struct filter_term *t, const struct spans *s)
{
	for (int i = 0; i < s->n; i++)
		for (u128 v = s->v[i].lo; v <= s->v[i].hi && v < 256; v++)
			t->v[v >> 6] |= 1ull << (v & 63);
}

static bool term_span(struct filter_term *t, const struct spans *s)
{
	if (s->n != 1)
		return false;
	t->v[0] = s->v[0].lo;
	t->v[1] = s->v[0].hi > UINT64_MAX ? UINT64_MAX : (uint64_t)s->v[0].hi;
	return true;
}

static bool term_name(struct filter_term *t, const struct spans *s)
{
	if (s->n != 1 || s->v[0].lo != s->v[0].hi)
		return false;
	t->v[0] = s->v[0].lo >> 64;
	t->v[1] = (uint64_t)s->v[0].lo;
	return true;
}

/* One of addresses alone. */
static bool term_set(struct filter_term *t, const struct spans *s, const struct raws *raws, int n)
{
	const struct lookup *l = &raws->lookup[n];
	struct set_lookup as;

	if (s->n != 1 || s->v[0].lo != s->v[0].hi || l->n_keys != 1)
		return false;
	if (l->set->interval && settable_kind(l->set) == SET_ELEMENTS)		/* asked once for each prefix length, which takes more stack than is left */
		return false;
	memset(&as, 0, sizeof(as));
	lookup_describe(&as, raws, l->set, l->keys, l->n_keys);
	t->slot = as.slot;
	t->v[0] = s->v[0].lo;
	switch (as.part[0].field) {
	case FIELD_SADDR4:
	case FIELD_DADDR4:
		t->kind = settable_kind(l->set) == SET_ADDRESS4 ? TERM_LIST_SADDR4 : TERM_SET_SADDR4;
		t->kind += as.part[0].field == FIELD_DADDR4;
		return true;
	case FIELD_SADDR6:
	case FIELD_DADDR6:
		t->kind = TERM_SET_SADDR6 + (as.part[0].field == FIELD_DADDR6);
		return true;
	default:
		return false;
	}
}

/* False: only the tables can tell. */
static bool term_make(struct filter_term *t, const struct row *r, enum filter_field f, const struct raws *raws)
{
	const struct spans *s = &r->k.field[f];

	t->field = f;
	t->varies = !(FIELDS_INVARIANT >> f & 1);
	switch (f) {
	case FIELD_CT_STATE:
		t->kind = TERM_STATE;
		term_bits(t, s);
		return true;
	case FIELD_TCP_FLAGS:
		t->kind = TERM_TCP_FLAGS;
		term_bits(t, s);
		return true;
	case FIELD_ICMP_TYPE:
		t->kind = TERM_ICMP_TYPE;
		term_bits(t, s);
		return true;
	case FIELD_ICMP_CODE:
		t->kind = TERM_ICMP_CODE;
		term_bits(t, s);
		return true;
	case FIELD_VLAN_ID:
		t->kind = TERM_VLAN_ID;
		return term_span(t, s);
	case FIELD_IFNAME:
		t->kind = TERM_IFNAME;
		return term_name(t, s);
	default:
		return FIELDS_SET >> f & 1 && term_set(t, s, raws, f - FIELD_SET0);
	}
}

/* Terms of fields that do not vary come first: one of them that does not hold says so of the whole flow. */
static bool ask_make(struct filter_ask *to, const struct row *r, const struct raws *raws)
{
	/* packets of another EtherType do not come to the rule's records: unit.c */
	uint64_t more = r->k.used & FIELDS_EXTRA & ~FIELD_BIT(FIELD_L3_TYPE), turn[] = { more & FIELDS_INVARIANT, more & ~FIELDS_INVARIANT };

	memset(to, 0, sizeof(*to));
	if (__builtin_popcountll(more) > FILTER_TERMS)
		return false;
	for (int i = 0; i < 2; i++)
		for (; turn[i]; turn[i] &= turn[i] - 1)
			if (!term_make(&to->term[to->n++], r, __builtin_ctzll(turn[i]), raws))
				return false;
	/* `over` takes from its bucket where it does not match: tables that were asked later would take again */
	if (r->entry & DOES_MORE || (r->entry & RULE_LIMIT_BIT && r->rule->limit.over))
		return true;
	to->entry = r->entry;
	to->limited = !!(to->entry & RULE_LIMIT_BIT);
	if (to->limited)
		limit_write(&to->limit, r->rule);
	return true;
}

bool asks_store(struct memory *w, const struct rows *rows, const struct raws *raws, uint32_t *entries)
{
	const uint32_t words = sizeof(struct filter_ask) / 8, at = memory_take_at(w, words, words);
	uint32_t n = 1;
	bool more = false;

	memory_chain(w)->asks = at;
	for (int i = 0; i < rows->n; i++) {
		struct filter_ask ask;

		entries[i] = rows->v[i].entry;
		if (row_is_plain(&rows->v[i]))
			continue;
		more = true;
		entries[i] = RULE_CONTINUE_BIT;
		if (!ask_make(&ask, &rows->v[i], raws))
			continue;
		memory_take(w, words);		/* which may move it */
		memcpy(w->v + at + n * words, &ask, sizeof(ask));
		entries[i] |= n++;
	}
	return more;
}
