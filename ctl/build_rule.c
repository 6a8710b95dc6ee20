/* SPDX-License-Identifier: GPL-2.0-only */
/* build_rule: the grammar's actions for chains, rules and matches. */
#include <stdlib.h>
#include <string.h>
#include "../maps/rule.h"
#include "parse.h"

int build_chain(struct parse *p, struct slice name, struct loc at)
{
	struct config *c = p->config;
	char text[64];
	int i;

	if (build_named(p, name, "chain", at))
		return -1;
	snprintf(text, sizeof(text), "%.*s", name.n, name.s);
	i = config_find_chain(c, text);
	if (i >= 0 && config_chain(c, i)->present)
		return refuse(p, at, "chain %s stands at line %d already", text, config_chain(c, i)->at.line);
	if (i < 0) {
		c->user = array_room(c->user, c->n_user, sizeof(*c->user));
		c->user[c->n_user] = (struct chain){ .name = must(strdup(text)) };
		i = CHAIN_COUNT + c->n_user++;
	}
	p->chain = config_chain(c, i);
	p->has_policy = false;
	p->chain->present = true;
	p->chain->at = place_of(p, at);
	return 0;
}

int build_audit(struct parse *p, struct loc at)
{
	if (p->chain->name)
		return refuse(p, at, "audit is for ingress and egress: it holds for the chains they jump to");
	p->chain->audit = true;
	return 0;
}

int build_policy(struct parse *p, struct slice policy, struct loc at)
{
	if (p->chain->name)
		return refuse(p, at, "only ingress and egress have a policy: the end of chain %s leads back to where it was jumped to from", p->chain->name);
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
	const char *last = NULL;
	size_t n = 0;

	*out = 0;
	for (int i = 0; i <= KEY_COUNT && n < size; i++) {
		const char *text = i < KEY_COUNT ? config_key_text[i] : NULL;

		if (text && (strncmp(text, head.s, head.n) || text[head.n] != ' '))
			continue;
		if (last)
			n += snprintf(out + n, size - n, "%s%s", !n ? "" : text ? ", " : " or ", last);
		last = text ? text + head.n + 1 : NULL;
	}
}

static int find_key(const struct key_words *w)
{
	struct slice head = w->head, field = w->field;
	char text[96];

	if (field.n && slice_is(head, "meta") && (slice_is(field, "iifname") || slice_is(field, "oifname")))
		head = field, field.n = 0;
	snprintf(text, sizeof(text), "%.*s%s%s%s%.*s%s%s", head.n, head.s, w->option ? " " : "", w->option ? w->option : "",
		 field.n ? " " : "", field.n, field.n ? field.s : "", w->part ? " " : "", w->part ? w->part : "");
	for (int i = 0; i < KEY_COUNT; i++)
		if (!strcmp(text, config_key_text[i]))
			return i;
	return -1;
}

static int unknown_key(struct parse *p, const struct key_words *w, struct loc at)
{
	const char *instead = w->option ? NULL : foreign_field(w->head, w->field);
	char head[64], known[256];

	if (instead)
		return refuse(p, at, "%s %s is not supported yet%s%s", SHOW(w->head), SHOW(w->field), instead[0] ? ": " : "", instead);
	snprintf(head, sizeof(head), "%s%s%s", SHOW(w->head), w->option ? " " : "", w->option ? w->option : "");
	list_fields((struct slice){ head, strlen(head) }, known, sizeof(known));
	if (w->option && !known[0])
		return refuse(p, at, "%s has no options", SHOW(w->head));
	return refuse(p, at, "%s has no field \"%s%s%s\", expected %s", head, SHOW(w->field), w->part ? " " : "", w->part ? w->part : "", known);
}

static int take_key(struct parse *p, enum config_key key, struct loc at)
{
	struct match *m = &p->match;

	if (m->n_keys == KEYS_MOST)
		return refuse(p, at, "a concatenation has at most %d parts", KEYS_MOST);
	if (m->n_keys && (m->raw.length || key == KEY_RAW || raw_of_key(key).length))
		return refuse(p, at, "what is read by its place (@…, ip id, tcp window …) does not go into a concatenation");
	m->keys[m->n_keys++] = key;
	m->key = m->keys[0];
	if (m->n_keys == 1) {
		m->raw = raw_of_key(key);
		m->at = place_of(p, at);
	}
	p->type = config_key_type[key];
	p->values_to = &m->spans;
	p->tuples_to = NULL;
	return 0;
}

int build_key(struct parse *p, const struct key_words *words, struct loc at, struct loc field_at)
{
	int key = find_key(words);

	return key < 0 ? unknown_key(p, words, field_at) : take_key(p, key, at);
}

/* "@nh,96,32": the lexer saw to the form. */
int build_raw(struct parse *p, struct slice word, struct loc at)
{
	enum { OFFSET_MOST = 65535, LENGTH_MOST = 64 };
	unsigned long offset, length;
	char *rest;

	if (take_key(p, KEY_RAW, at))
		return -1;
	p->match.raw.base = word.s[1] == 'l' ? RAW_LINK : word.s[1] == 'n' ? RAW_NETWORK : RAW_TRANSPORT;
	offset = strtoul(strchr(word.s, ',') + 1, &rest, 10);
	length = strtoul(strchr(rest, ',') + 1, NULL, 10);
	if (offset > OFFSET_MOST)
		return refuse(p, at, "offset %lu is out of range 0-%d (bits)", offset, OFFSET_MOST);
	if (!length || length > LENGTH_MOST)
		return refuse(p, at, "length %lu is out of range 1-%d (bits)", length, LENGTH_MOST);
	p->match.raw.offset = offset;
	p->match.raw.length = length;
	return 0;
}

int build_order(struct parse *p, char op, struct loc at)
{
	p->op = op;
	p->op_at = at;
	if (p->type == TYPE_IFNAME || p->type == TYPE_PRESENCE || p->type == TYPE_NF_PROTO)
		return refuse(p, at, "%s is not a number: nothing is below or above it", config_key_text[p->match.key]);
	return 0;
}

/* (flags & mask) == value, or != value with negate. */
static int masked(struct parse *p, u128 mask, u128 value, bool negate)
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

static int one_number(struct parse *p, const struct group *g, u128 *v)
{
	struct trouble why;

	if (g->n > 1)
		return refuse(p, g->joint, "a mask and its value are one number each");
	if (value_parse(p->type, g->first, v, &why))
		return refuse(p, g->at, "%s", why.text);
	if (*v > match_max(&p->match))
		return refuse(p, g->at, "%s does not fit in %d bits", SHOW(g->first), p->match.raw.length);
	return 0;
}

int build_match_masked(struct parse *p, const struct group *mask, const struct group *value)
{
	unsigned int flags_mask, flags;
	u128 m, v;

	if (p->type == TYPE_TCP_FLAG)
		return build_flags(p, mask, &flags_mask) || build_flags(p, value, &flags) || masked(p, flags_mask, flags, p->op == '!');
	if (p->type == TYPE_IFNAME || p->type == TYPE_PRESENCE || p->type == TYPE_NF_PROTO)
		return refuse(p, mask->at, "%s is not a number: it has no bits to mask", config_key_text[p->match.key]);
	if (one_number(p, mask, &m) || one_number(p, value, &v))
		return -1;
	if (spans_of_mask(NULL, match_max(&p->match), m, v))
		return refuse(p, mask->at, "the mask leaves more than %d ranges of values: write ranges, or @nh,offset,length for the bits alone",
			      MASK_SPANS);
	return masked(p, m, v, p->op == '!');
}

int build_match_set(struct parse *p, struct slice name, struct loc at)
{
	struct trouble why;

	if (name_check(name, "set", &why))
		return refuse(p, at, "%s", why.text);
	p->match.set = must(strndup(name.s, name.n));
	return 0;
}

/* An order becomes the range it means. */
static int order_to_range(struct parse *p)
{
	struct match *m = &p->match;
	struct span *s = m->spans.v;
	u128 max = match_max(m);

	if (m->set || m->masked || m->spans.n != 1 || s->lo != s->hi)
		return refuse(p, p->op_at, "an order asks for one value");
	if ((p->op == '<' && !s->lo) || (p->op == '>' && s->lo == max))
		return refuse(p, p->op_at, "nothing is %s that", p->op == '<' ? "below" : "above");
	if (p->op == '<' || p->op == 'l')
		*s = (struct span){ 0, s->lo - (p->op == '<') };
	else
		*s = (struct span){ s->lo + (p->op == '>'), max };
	return 0;
}

int build_match_end(struct parse *p)
{
	struct rule *r = &p->rule;

	if (r->counter || r->log || r->mark.set || r->update.how)
		return refuse(p, (struct loc){ p->match.at.line, p->match.at.column }, "a match stands before %s, not behind it",
			      r->counter ? "counter" : r->log ? "log" : r->mark.set ? "meta mark set" : "add and update");
	if (p->op && strchr("<>lg", p->op) && order_to_range(p))
		return -1;
	spans_normalise(&p->match.spans);
	tuples_normalise(&p->match.tuples, p->match.n_keys);
	if (!p->match.masked)
		p->match.negate = p->op == '!';
	r->matches = array_room(r->matches, r->n_matches, sizeof(*r->matches));
	r->matches[r->n_matches++] = p->match;
	p->match = (struct match){ 0 };
	p->op = 0;
	return 0;
}

int build_jump(struct parse *p, enum rule_verdict how, struct slice chain, struct loc at)
{
	struct trouble why;

	if (name_check(chain, "chain", &why))
		return refuse_trouble(p, at, &why);
	p->rule.verdict = how;
	p->rule.target = must(strndup(chain.s, chain.n));
	p->rule.target_at = place_of(p, at);
	return 0;
}

int build_vmap_end(struct parse *p)
{
	struct rule *r = &p->rule;

	tuples_normalise(&p->match.tuples, p->match.n_keys);
	if (build_check_verdicts(p, &p->match.tuples, p->match.n_keys))
		return -1;
	r->vmap = must(malloc(sizeof(*r->vmap)));
	*r->vmap = p->match;
	r->verdict = RULE_VMAP;
	p->match = (struct match){ 0 };
	return 0;
}

int build_rule_end(struct parse *p, struct loc at)
{
	struct chain *c = p->chain;

	p->rule.at = (struct where){ p->file, at.line, at.column };
	if (p->rule.verdict == RULE_CONTINUE && !p->rule.counter && !p->rule.log && !p->rule.mark.set && !p->rule.update.how)
		return refuse(p, at, "the rule does nothing: end it with accept or drop, or let it count with counter");
	if (!c)
		return 0;
	c->rules = array_room(c->rules, c->n_rules, sizeof(*c->rules));
	c->rules[c->n_rules++] = p->rule;
	p->rule = (struct rule){ 0 };
	return 0;
}
