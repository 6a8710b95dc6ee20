/* SPDX-License-Identifier: GPL-2.0-only */
/* build_rule: the grammar's actions for chains, rules and matches. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"

int build_chain(struct parse *p, struct slice name, struct loc at)
{
	for (int i = 0; i < CHAIN_COUNT; i++) {
		struct chain *c = &p->config->chains[i];

		if (!slice_is(name, chain_name[i]))
			continue;
		if (c->present)
			return refuse(p, at, "chain %s stands at line %d already", chain_name[i], c->at.line);
		p->chain = c;
		p->has_policy = false;
		c->present = true;
		c->at = (struct where){ p->file, at.line, at.column };
		return 0;
	}
	return refuse(p, at, "unknown chain \"%s\", expected ingress or egress", SHOW(name));
}

int build_policy(struct parse *p, struct slice policy, struct loc at)
{
	if (p->has_policy)
		return refuse(p, at, "the chain has a policy already");
	p->has_policy = true;
	p->chain->policy_drop = slice_is(policy, "drop");
	if (!p->chain->policy_drop && !slice_is(policy, "accept"))
		return refuse(p, at, "unknown policy \"%s\", expected accept or drop", SHOW(policy));
	return 0;
}

/* The fields a head has, for the message about a field it has not. */
static void list_fields(struct slice head, char *out, size_t size)
{
	size_t n = 0;

	for (int i = 0; i < KEY_COUNT; i++) {
		const char *text = config_key_text[i];

		if (!strncmp(text, head.s, head.n) && text[head.n] == ' ')
			n += snprintf(out + n, size - n, "%s%s", n ? " or " : "", text + head.n + 1);
	}
}

static int find_key(struct slice head, struct slice field)
{
	char text[64];

	if (field.n && slice_is(head, "meta") && (slice_is(field, "iifname") || slice_is(field, "oifname")))
		head = field, field.n = 0;
	snprintf(text, sizeof(text), "%.*s%s%.*s", head.n, head.s, field.n ? " " : "", field.n, field.n ? field.s : "");
	for (int i = 0; i < KEY_COUNT; i++)
		if (!strcmp(text, config_key_text[i]))
			return i;
	return -1;
}

int build_key(struct parse *p, struct slice head, struct slice field, struct loc at, struct loc field_at)
{
	int key = find_key(head, field);
	const char *instead;
	char known[64];

	if (key < 0) {
		instead = foreign_field(head, field);
		if (instead)
			return refuse(p, field_at, "%s %s is not supported yet%s%s", SHOW(head), SHOW(field),
				      instead[0] ? ": " : "", instead);
		list_fields(head, known, sizeof(known));
		return refuse(p, field_at, "%s has no field \"%s\", expected %s", SHOW(head), SHOW(field), known);
	}
	if (p->rule.counter)
		return refuse(p, at, "a match stands before counter, not behind it");
	p->match.key = key;
	p->match.at = (struct where){ p->file, at.line, at.column };
	p->type = config_key_type[key];
	p->values_to = &p->match.spans;
	return 0;
}

/* (flags & mask) == value, or != value with negate. */
static int masked(struct parse *p, unsigned int mask, unsigned int value, bool negate)
{
	p->match.masked = true;
	p->match.mask = mask;
	p->match.value = value;
	p->match.negate = negate;
	return 0;
}

/* Flags without an operator ask for any of them; with one, and any other value, the value is compared whole. */
int build_match_plain(struct parse *p, const struct group *g)
{
	unsigned int bits;
	bool range = g->n == 1 && memchr(g->first.s, '-', g->first.n);

	if (slice_is(g->first, "vmap") || slice_is(g->first, "map"))
		return refuse(p, g->at, "%s is not supported yet", SHOW(g->first));
	if (p->type != TYPE_TCP_FLAG || range || p->op)
		return build_value(p, g);
	return build_flags(p, g, &bits) || masked(p, bits, 0, true);
}

int build_match_slash(struct parse *p, const struct group *a, const struct group *b, struct loc slash)
{
	unsigned int value, mask;

	if (p->type == TYPE_TCP_FLAG)
		return build_flags(p, a, &value) || build_flags(p, b, &mask) || masked(p, mask, value, p->op == '!');
	if (a->n > 1 || b->n > 1)
		return refuse(p, slash, "a prefix is one address and one length");
	return build_prefix(p, a->first, b->first, a->at, b->at);
}

int build_match_none_of(struct parse *p, const struct group *g)
{
	unsigned int bits;

	if (p->type != TYPE_TCP_FLAG)
		return refuse(p, g->at, "! goes with tcp flags only: write !=");
	return build_flags(p, g, &bits) || masked(p, bits, 0, false);
}

int build_match_masked(struct parse *p, const struct group *mask, const struct group *value)
{
	unsigned int m, v;

	if (p->type != TYPE_TCP_FLAG)
		return refuse(p, mask->at, "masks go with tcp flags only: write a prefix or a range");
	return build_flags(p, mask, &m) || build_flags(p, value, &v) || masked(p, m, v, p->op == '!');
}

int build_match_set(struct parse *p, struct slice name, struct loc at)
{
	struct trouble why;

	if (name_check(name, "set", &why))
		return refuse(p, at, "%s", why.text);
	p->match.set = must(strndup(name.s, name.n));
	return 0;
}

int build_match_end(struct parse *p)
{
	struct rule *r = &p->rule;

	spans_normalise(&p->match.spans);
	if (!p->match.masked)
		p->match.negate = p->op == '!';
	r->matches = array_room(r->matches, r->n_matches, sizeof(*r->matches));
	r->matches[r->n_matches++] = p->match;
	p->match = (struct match){ 0 };
	p->op = 0;
	return 0;
}

int build_rule_end(struct parse *p, struct loc at)
{
	struct chain *c = p->chain;

	p->rule.at = (struct where){ p->file, at.line, at.column };
	if (p->rule.verdict == RULE_CONTINUE && !p->rule.counter)
		return refuse(p, at, "the rule does nothing: end it with accept or drop, or let it count with counter");
	if (!c)
		return 0;
	c->rules = array_room(c->rules, c->n_rules, sizeof(*c->rules));
	c->rules[c->n_rules++] = p->rule;
	p->rule = (struct rule){ 0 };
	return 0;
}
