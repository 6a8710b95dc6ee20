/* SPDX-License-Identifier: GPL-2.0-only */
/* import: what the importers share: taking rules and sets by the grammar, the list of what was left out, chains at hooks. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "import.h"

char *import_format(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return must(text);
}

static void add_item(struct import *im, struct import_item item)
{
	im->items = array_room(im->items, im->n_items, sizeof(*im->items));
	im->items[im->n_items++] = item;
	im->n_left += !item.note;
}

void import_left_out(struct import *im, int line, const char *what, const char *fmt, ...)
{
	char *why;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&why, fmt, ap) < 0)
		why = NULL;
	va_end(ap);
	add_item(im, (struct import_item){ line, false, what ? must(strdup(what)) : NULL, must(why) });
}

void import_note(struct import *im, int line, const char *fmt, ...)
{
	char *why;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&why, fmt, ap) < 0)
		why = NULL;
	va_end(ap);
	add_item(im, (struct import_item){ line, true, NULL, must(why) });
}

/* The grammar's own words are the reason. */
static bool taken(struct import *im, int err, int line, const char *what)
{
	if (!err)
		return true;
	import_left_out(im, line, what, "%s", fail_message() ? fail_message() : "not understood");
	fail_clear();
	return false;
}

bool import_set(struct import *im, int line, const char *name, bool map, const char *body)
{
	char *what = import_format("%s %s", map ? "map" : "set", name);
	bool ok = taken(im, (map ? config_add_map : config_add_set)(&im->config, name, body), line, what);

	free(what);
	return ok;
}

int import_chain(struct import *im, const char *name)
{
	struct config *c = &im->config;
	int i = config_find_chain(c, name);

	if (i >= 0)
		return i;
	c->user = array_room(c->user, c->n_user, sizeof(*c->user));
	c->user[c->n_user] = (struct chain){ .name = must(strdup(name)), .present = true };
	return CHAIN_COUNT + c->n_user++;
}

bool import_rule(struct import *im, const char *chain, int line, const char *text, const char *what)
{
	if (!taken(im, config_add_rule(&im->config, import_chain(im, chain), -1, text), line, what))
		return false;
	im->origins = array_room(im->origins, im->n_origins, sizeof(*im->origins));
	im->origins[im->n_origins++] = (struct import_origin){ line, must(strdup(chain)), must(strdup(what)) };
	return true;
}

/* ---- what is reached */

struct reach {
	const struct config *config;
	bool *chains;		/* by index; NULL: only whether something accepts */
	bool accepts;
};

static void reach_chain(struct reach *r, int chain);

static int reach_target(void *context, const char *target, struct where at)
{
	struct reach *r = context;
	int chain = config_find_chain(r->config, target);

	(void)at;
	if (chain >= 0 && !r->chains[chain])
		reach_chain(r, chain);
	return 0;
}

static bool map_accepts(const struct config *c, const struct match *m)
{
	const struct value_tuples *t = m->set ? &config_set(c, m->set)->tuples : &m->tuples;

	for (int i = 0; i < t->n; i++)
		if (t->v[i].verdict == RULE_ACCEPT)
			return true;
	return false;
}

static void reach_chain(struct reach *r, int chain)
{
	const struct chain *k = config_chain(r->config, chain);

	r->chains[chain] = true;
	for (int i = 0; i < k->n_rules; i++) {
		r->accepts |= k->rules[i].verdict == RULE_ACCEPT || (k->rules[i].vmap && map_accepts(r->config, k->rules[i].vmap));
		rule_targets(r->config, &k->rules[i], reach_target, r);
	}
}

static bool chain_accepts(const struct config *c, int chain)
{
	struct reach r = { c, must(calloc(config_n_chains(c), 1)), false };

	reach_chain(&r, chain);
	free(r.chains);
	return r.accepts;
}

/* ---- hooks */

static bool rule_is_for(const struct rule *r, int family)
{
	const struct match *m = r->n_matches ? &r->matches[0] : NULL;

	if (!m || m->key != KEY_META_PROTOCOL || family == IMPORT_ALL)
		return true;
	return family == IMPORT_IP || spans_have(&m->spans, family == 4 ? 0x800 : 0x86dd);
}

static bool asks_for_route(const struct rule *r)
{
	for (int i = 0; i < r->n_matches; i++)
		for (int k = 0; k < r->matches[i].n_keys; k++)
			if (r->matches[i].keys[k] == KEY_OIFNAME)
				return true;
	return false;
}

/* The nth rule of a chain and where it came from: both lists grew together. */
static struct import_origin *origin_of(struct import *im, const char *chain, int n)
{
	for (int i = 0; i < im->n_origins; i++)
		if (!strcmp(im->origins[i].chain, chain) && !n--)
			return &im->origins[i];
	return NULL;
}

/* Rules about the way out, in chains that ingress shall lead to. */
static void leave_routes_out(struct import *im, int chain)
{
	struct chain *k = config_chain(&im->config, chain);

	for (int i = 0; i < k->n_rules; i++) {
		struct import_origin *o = asks_for_route(&k->rules[i]) ? origin_of(im, k->name, i) : NULL;

		if (!o)
			continue;
		import_left_out(im, o->line, o->text, "ingress leads here, where the way out is not known yet");
		free(o->chain), free(o->text);
		memmove(o, o + 1, (im->origins + --im->n_origins - o) * sizeof(*o));
		rule_free(&k->rules[i]);
		memmove(&k->rules[i], &k->rules[i + 1], (--k->n_rules - i) * sizeof(k->rules[0]));
		i--;
	}
}

static void leave_all_routes_out(struct import *im, int chain)
{
	struct reach r = { &im->config, must(calloc(config_n_chains(&im->config), 1)), false };

	reach_chain(&r, chain);
	for (int i = CHAIN_COUNT; i < config_n_chains(&im->config); i++)
		if (r.chains[i])
			leave_routes_out(im, i);
	free(r.chains);
}

bool import_base(struct import *im, int first, const char *chain, int family, const char *device, int line)
{
	const char *which = family == 4 ? "meta protocol ip " : family == 6 ? "meta protocol ip6 " : family == IMPORT_IP ?
			    "meta protocol { ip, ip6 } " : "";
	const struct chain *k = &im->config.chains[first];
	char *text;
	bool ok;

	for (int i = 0; i < k->n_rules; i++) {
		const char *earlier = k->rules[i].target;

		if (!earlier || !rule_is_for(&k->rules[i], family) || !chain_accepts(&im->config, config_find_chain(&im->config, earlier)))
			continue;
		import_left_out(im, line, chain, "chain %s stands before it at %s and accepts: there nothing comes after that", earlier, chain_name[first]);
		return false;
	}
	if (first == CHAIN_INGRESS)
		leave_all_routes_out(im, import_chain(im, chain));
	text = device ? import_format("%siifname \"%s\" jump %s", which, device, chain) : import_format("%sjump %s", which, chain);
	ok = taken(im, config_add_rule(&im->config, first, -1, text), line, text);
	free(text);
	return ok;
}

/* ---- names */

static char *fitting(const char *like, const char *tail)
{
	enum { MOST = 31 };
	int room = MOST - strlen(tail), n = (int)strlen(like) < room ? (int)strlen(like) : room;
	char *name = import_format("%.*s%s", n, like, tail);

	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_' && (p == name || (*p != '-' && *p != '.')))
			*p = '_';
	return name;
}

char *import_name(bool (*is_taken)(void *, const char *), void *context, const char *const *like)
{
	char *name, tail[16];

	for (int i = 0; like[i]; i++) {
		name = fitting(like[i], "");
		if (*name && (strlen(like[i]) == strlen(name)) && !is_taken(context, name))
			return name;
		free(name);
	}
	for (int i = 2; ; i++) {
		snprintf(tail, sizeof(tail), "-%d", i);
		name = fitting(like[0][0] ? like[0] : "x", tail);
		if (!is_taken(context, name))
			return name;
		free(name);
	}
}

/* ---- the end */

static void leave_chain_out(struct import *im, const char *name)
{
	for (int i = 0; i < im->n_origins; i++)
		if (!strcmp(im->origins[i].chain, name))
			import_left_out(im, im->origins[i].line, im->origins[i].text, "no chain that could be translated leads to chain %s", name);
}

static int by_line(const void *a, const void *b)
{
	const struct import_item *x = a, *y = b;

	return x->line != y->line ? x->line - y->line : x < y ? -1 : x > y;
}

void import_finish(struct import *im)
{
	struct config *c = &im->config;
	struct reach r = { c, must(calloc(config_n_chains(c), 1)), false };
	int kept = 0;

	for (int i = 0; i < CHAIN_COUNT; i++)
		reach_chain(&r, i);
	for (int i = 0; i < c->n_user; i++)
		if (!r.chains[CHAIN_COUNT + i])
			leave_chain_out(im, c->user[i].name);
	for (int i = 0; i < c->n_user; i++) {
		if (r.chains[CHAIN_COUNT + i])
			c->user[kept++] = c->user[i];
		else
			chain_free(&c->user[i]);
	}
	c->n_user = kept;
	free(r.chains);
	if (im->n_items)
		qsort(im->items, im->n_items, sizeof(*im->items), by_line);
}

void import_free(struct import *im)
{
	for (int i = 0; i < im->n_items; i++) {
		free(im->items[i].what);
		free(im->items[i].why);
	}
	for (int i = 0; i < im->n_origins; i++) {
		free(im->origins[i].chain);
		free(im->origins[i].text);
	}
	free(im->items);
	free(im->origins);
	config_free(&im->config);
	memset(im, 0, sizeof(*im));
}
