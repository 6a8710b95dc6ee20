/* SPDX-License-Identifier: GPL-2.0-only */
/* build_value: the grammar's actions for values: into the spans of a match or a set, or as parts of the elements of concatenations and maps. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"

int take_span(struct parse *p, const struct span *s, bool interval, struct loc at)
{
	if (p->type == TYPE_RAW && s->hi > match_max(&p->match))
		return refuse(p, at, "the value does not fit in %d bits", p->match.raw.length);
	if (interval && !p->interval_at.line)
		p->interval_at = at;
	if (!p->tuples_to) {
		spans_add(p->values_to, s->lo, s->hi);
		return 0;
	}
	if (!p->n_parts)
		p->tuple.at = place_of(p, at);
	p->tuple.part[p->n_parts++] = *s;
	return 0;
}

static int flag_bits(struct parse *p, struct slice word, struct loc at, unsigned int *bits)
{
	struct trouble why;
	u128 v;

	if (value_parse(TYPE_TCP_FLAG, word, &v, &why))
		return refuse_trouble(p, at, &why);
	*bits |= v;
	return 0;
}

int build_flags(struct parse *p, const struct group *g, unsigned int *bits)
{
	*bits = g->bits;
	return g->n > 1 ? 0 : flag_bits(p, g->first, g->at, bits);
}

int build_join(struct parse *p, struct group *g, struct slice word, struct loc joint, struct loc at)
{
	if (p->type == TYPE_CT_STATE)	/* a packet has one state, so "established,related" is a list */
		return build_value(p, &(struct group){ .first = word, .at = at, .n = 1 });
	if (p->type != TYPE_TCP_FLAG)
		return refuse(p, joint, "several values stand in braces: { a, b }");
	if (g->n++ == 1) {
		g->joint = joint;
		if (flag_bits(p, g->first, g->at, &g->bits))
			return -1;
	}
	return flag_bits(p, word, at, &g->bits);
}

int build_value(struct parse *p, const struct group *g)
{
	struct trouble why;
	struct span s;
	bool interval;

	if (g->n > 1)
		return take_span(p, &(struct span){ g->bits, g->bits }, false, g->at);
	if (value_word(p->type, g->first, &s, &interval, &why))
		return refuse_trouble(p, g->at, &why);
	return take_span(p, &s, interval && s.lo != s.hi, g->at);
}

int build_range(struct parse *p, struct slice lo, struct slice hi, struct loc at, struct loc hi_at)
{
	struct trouble why;
	struct span s;

	if (!value_range(p->type, lo, hi, &s, &why))
		return take_span(p, &s, s.lo != s.hi, at);
	if (why.offset >= hi.s - lo.s) {
		why.offset -= hi.s - lo.s;
		at = hi_at;
	}
	return refuse_trouble(p, at, &why);
}

int build_prefix(struct parse *p, struct slice addr, struct slice len, struct loc at, struct loc len_at)
{
	struct trouble why;
	struct span s;

	if (!value_prefix(p->type, addr, len, &s, &why))
		return take_span(p, &s, s.lo != s.hi, at);
	if (why.offset >= len.s - addr.s) {
		why.offset -= len.s - addr.s;
		at = len_at;
	}
	return refuse_trouble(p, at, &why);
}

/* ---- elements of several parts, or with a verdict */

int build_tuples(struct parse *p, bool verdicts)
{
	struct match *m = &p->match;

	for (int i = 0; i < m->n_keys; i++)
		p->types[i] = config_key_type[m->keys[i]];
	p->n_types = m->n_keys;
	p->n_parts = 0;
	p->type = p->types[0];
	p->tuples_to = &m->tuples;
	p->verdicts = verdicts;
	return 0;
}

int build_dot(struct parse *p, struct loc at)
{
	if (!p->tuples_to)
		return refuse(p, at, "a concatenation of values needs one of keys or types: ip saddr . tcp dport");
	if (p->n_parts == p->n_types)
		return refuse(p, at, "the element has more than %d part%s", p->n_types, p->n_types > 1 ? "s" : "");
	p->type = p->types[p->n_parts];
	return 0;
}

static int element_target(struct parse *p, struct slice chain, struct loc at)
{
	struct trouble why;

	if (name_check(chain, "chain", &why))
		return refuse_trouble(p, at, &why);
	p->tuple.target = must(strndup(chain.s, chain.n));
	return 0;
}

int build_element_verdict(struct parse *p, struct slice verdict, struct slice target, struct loc at, struct loc target_at)
{
	static const struct { const char *word; enum rule_verdict verdict; } words[] = {
		{ "accept", RULE_ACCEPT }, { "drop", RULE_DROP }, { "return", RULE_RETURN }, { "continue", RULE_CONTINUE },
		{ "jump", RULE_JUMP }, { "goto", RULE_GOTO },
	};

	if (!p->verdicts)
		return refuse(p, at, "verdicts go with vmap and with maps");
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		bool leads = words[i].verdict == RULE_JUMP || words[i].verdict == RULE_GOTO;

		if (!slice_is(verdict, words[i].word))
			continue;
		p->tuple.verdict = words[i].verdict;
		p->has_verdict = true;
		if (leads && !target.n)
			return refuse(p, at, "%s needs a chain: write %s NAME", words[i].word, words[i].word);
		if (!leads && target.n)
			return refuse(p, target_at, "unexpected \"%s\" behind %s", SHOW(target), words[i].word);
		return leads ? element_target(p, target, target_at) : 0;
	}
	return refuse(p, at, "unknown verdict \"%s\", expected accept, drop, jump, goto, return or continue", SHOW(verdict));
}

int build_element(struct parse *p, struct loc at)
{
	struct value_tuples *to = p->tuples_to;

	if (!to)
		return 0;
	if (p->n_parts != p->n_types)
		return refuse(p, at, "the element has %d part%s where %d are needed", p->n_parts, p->n_parts > 1 ? "s" : "", p->n_types);
	if (p->verdicts && !p->has_verdict)
		return refuse(p, at, "the element has no verdict: write VALUE : accept");
	to->v = array_room(to->v, to->n, sizeof(*to->v));
	to->v[to->n++] = p->tuple;
	p->tuple = (struct value_tuple){ 0 };
	p->has_verdict = false;
	p->n_parts = 0;
	p->type = p->types[0];
	return 0;
}

static bool overlap(const struct value_tuple *a, const struct value_tuple *b, int n)
{
	for (int i = 0; i < n; i++)
		if (a->part[i].lo > b->part[i].hi || b->part[i].lo > a->part[i].hi)
			return false;
	return true;
}

/* Elements are sorted by their first part, so those that may meet one stand close behind it. */
int build_check_verdicts(struct parse *p, const struct value_tuples *t, int n_keys)
{
	for (int i = 0; i < t->n; i++) {
		for (int j = i + 1; j < t->n && t->v[j].part[0].lo <= t->v[i].part[0].hi; j++) {
			const struct value_tuple *a = &t->v[i], *b = &t->v[j];
			bool same = a->verdict == b->verdict && !strcmp(a->target ? a->target : "", b->target ? b->target : "");

			if (overlap(a, b, n_keys) && !same)
				return refuse(p, (struct loc){ b->at.line, b->at.column }, "the element of line %d has some of these values and leads "
					      "elsewhere", a->at.line);
		}
	}
	return 0;
}
