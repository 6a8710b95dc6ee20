/* SPDX-License-Identifier: GPL-2.0-only */
/* explain: the oracle's walk, watched. */
#include <stdlib.h>
#include <string.h>
#include "explain.h"
#include "value.h"

struct watch {
	const struct config *config;
	struct explained *out;
	const struct rule_place *without;	/* rules that are taken not to hold */
	int n_without;
	struct rule_place last;		/* the last that held */
};

static struct rule_place place_of(const struct config *c, int chain, const struct rule *r, uint32_t mark)
{
	return (struct rule_place){ r, chain, r - config_chain(c, chain)->rules + 1, mark };
}

static bool watch_first(void *ctx, int chain, const struct rule *r, bool holds, uint32_t mark)
{
	struct rule_place here;
	struct watch *w = ctx;
	struct explained *e = w->out;

	here = place_of(w->config, chain, r, mark);
	if (holds) {
		if (e->n_path < PATH_MOST)
			e->path[e->n_path++] = here;
		w->last = here;
		return true;
	}
	if (e->n_losers < LOSERS_MOST)
		e->losers[e->n_losers++] = here;
	e->lost++;
	return false;
}

static bool watch_without(void *ctx, int chain, const struct rule *r, bool holds, uint32_t mark)
{
	struct watch *w = ctx;

	for (int i = 0; i < w->n_without; i++)
		if (w->without[i].rule == r)
			return false;
	if (holds)
		w->last = place_of(w->config, chain, r, mark);
	return holds;
}

static bool is_policy(uint32_t entry)
{
	return (entry & RULE_ID_MASK) < RULE_FIRST;
}

/* A packet that came to the policy by `return` has a last rule that decided nothing. */
static void explain_shadows(struct explained *e, const struct config *c, int chain, const struct field_values *v)
{
	struct rule_place without[SHADOWS_MOST + 1] = { e->winner };
	struct watch w = { .config = c, .without = without, .n_without = 1 };

	while (e->n_shadows < SHADOWS_MOST) {
		struct field_values packet = *v;

		if (is_policy(model_walk(c, chain, &packet, &(struct rule_visit){ watch_without, &w })))
			return;
		without[w.n_without++] = w.last;
		e->shadows[e->n_shadows++] = w.last;
	}
}

void explain(struct explained *out, const struct config *c, int chain, const struct field_values *v)
{
	struct watch w = { .config = c, .out = out };
	struct field_values packet = *v;

	memset(out, 0, sizeof(*out));
	out->entry = model_walk(c, chain, &packet, &(struct rule_visit){ watch_first, &w });
	out->mark = packet.lo[FIELD_MARK];
	if (is_policy(out->entry))
		return;
	out->winner = w.last;
	if (out->n_path && out->path[out->n_path - 1].rule == w.last.rule)
		out->n_path--;
	explain_shadows(out, c, chain, v);
}

/* ---- a match and the packet */

static bool is_there(const struct field_values *v, enum filter_field f, uint64_t value)
{
	return v->present & FIELD_BIT(f) && v->lo[f] == value;
}

/* What nft would read: a key of TCP has no value in a packet of UDP. */
static bool has_value(const struct field_values *v, enum config_key key, enum filter_field f)
{
	if (config_key_family[key] && !is_there(v, FIELD_FAMILY, config_key_family[key]))
		return false;
	if (config_key_proto[key] && !is_there(v, FIELD_L4PROTO, config_key_proto[key]))
		return false;
	return v->present & FIELD_BIT(f);
}

static bool print_value(FILE *f, const struct raws *raws, const struct match *m, enum config_key key, const struct field_values *v)
{
	struct key_place place = key_place(raws, key, &m->raw);
	u128 value = field_value(v, place.field);

	if (!has_value(v, key, place.field))
		return false;
	if (place.bits)
		value = value >> place.shift & ((1u << place.bits) - 1);
	if (config_key_type[key] == TYPE_TCP_FLAG)
		spans_print(f, TYPE_TCP_FLAG, &(struct spans){ .v = &(struct span){ value, value }, .n = 1 }, false);
	else
		value_print(f, config_key_type[key], value);
	return true;
}

static char *values_of(const struct raws *raws, const struct match *m, const struct field_values *v)
{
	size_t size;
	char *text;
	FILE *f = must(open_memstream(&text, &size));
	bool all = true;

	for (int i = 0; i < m->n_keys && all; i++) {
		fputs(i ? " . " : "", f);
		all = print_value(f, raws, m, m->keys[i], v);
	}
	fclose(f);
	if (all)
		return text;
	free(text);
	return NULL;
}

bool explain_match(struct explained_match *out, const struct config *c, const struct rule *r, int n, const struct field_values *v)
{
	struct rule one = { .verdict = RULE_CONTINUE };
	const struct match *m;
	struct raws raws;

	if (n < r->n_matches) {
		one.matches = r->matches + n;
		one.n_matches = 1;
		m = one.matches;
	} else if (n == r->n_matches && r->vmap) {
		one.verdict = RULE_VMAP;
		one.vmap = r->vmap;
		m = r->vmap;
	} else {
		return false;
	}
	raws_of(&raws, c);
	out->text = rule_text(&one);
	out->matched = model_rule_holds(c, &raws, &one, v);
	out->values = values_of(&raws, m, v);
	return true;
}
