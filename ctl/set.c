/* SPDX-License-Identifier: GPL-2.0-only */
/* set: addresses, prefixes, ports … that rules look up by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "generation.h"
#include "verb.h"

static void emit(const struct set *s)
{
	char *text = NULL;
	size_t size;
	FILE *f = must(open_memstream(&text, &size));

	set_type_print(f, s);
	fclose(f);
	out_row();
	out_text("name", s->name);
	out_text("type", text);
	free(text);
	f = must(open_memstream(&text, &size));
	if (set_is_tupled(s))
		set_elements_print(f, s, ", ");
	else
		spans_print(f, s->type, &s->elements, false);
	fclose(f);
	out_bool("interval", s->interval);
	out_number("count", set_is_tupled(s) ? s->tuples.n : s->elements.n);
	out_text("elements", text);
	free(text);
}

static int no_such_set(const char *name)
{
	return fail(EXIT_NOTHING, "no set is named %s (set list shows them)", name);
}

static int set_list(int argc, char **argv)
{
	struct config c;
	int err;

	if (argc > 1)
		return fail(EXIT_USAGE, "takes at most one name");
	err = generation_read(&c, NULL);
	if (!err && argc && !config_set(&c, argv[0]))
		err = no_such_set(argv[0]);
	if (!err) {
		out_list("sets");
		for (int i = 0; i < c.n_sets; i++)
			if (!argc || !strcmp(c.sets[i].name, argv[0]))
				emit(&c.sets[i]);
		out_list_end();
	}
	config_free(&c);
	return err;
}

static void subtract(struct spans *from, const struct spans *gone)
{
	struct spans left = {};

	for (int i = 0, j = 0; i < from->n; i++) {
		u128 lo = from->v[i].lo, hi = from->v[i].hi;
		bool rest = true;

		while (j < gone->n && gone->v[j].hi < lo)
			j++;
		for (int k = j; k < gone->n && gone->v[k].lo <= hi && rest; k++) {
			if (gone->v[k].lo > lo)
				spans_add(&left, lo, gone->v[k].lo - 1);
			rest = gone->v[k].hi < hi;
			lo = gone->v[k].hi + 1;
		}
		if (rest)
			spans_add(&left, lo, hi);
	}
	spans_free(from);
	*from = left;
}

/* Every value of `part` is in `whole`. */
static bool contains(const struct spans *whole, const struct spans *part)
{
	struct spans rest = {};
	bool all;

	for (int i = 0; i < part->n; i++)
		spans_add(&rest, part->v[i].lo, part->v[i].hi);
	subtract(&rest, whole);
	all = !rest.n;
	spans_free(&rest);
	return all;
}

static int change_spans(struct set *s, const char *text, bool add)
{
	struct spans elements = {};
	int err = config_parse_elements(s, &elements, text);

	spans_normalise(&elements);
	if (!err && !add && !contains(&s->elements, &elements))
		err = fail(EXIT_NOTHING, "%s: not all of it is in set %s (set list shows it)", text, s->name);
	for (int i = 0; !err && add && i < elements.n; i++)
		spans_add(&s->elements, elements.v[i].lo, elements.v[i].hi);
	if (!err && !add)
		subtract(&s->elements, &elements);
	spans_normalise(&s->elements);
	spans_free(&elements);
	return err;
}

static int tuple_place(const struct value_tuples *t, const struct value_tuple *v)
{
	for (int i = 0; i < t->n; i++)
		if (tuple_equal(&t->v[i], v))
			return i;
	return -1;
}

/* Elements of several parts come and go as they are written: a smaller one is not cut out of a larger one. */
static int change_tuples(struct set *s, const char *text, bool add)
{
	struct value_tuples elements, *has = &s->tuples;
	int err = config_parse_tuples(s, &elements, text), at;

	for (int i = 0; !err && !add && i < elements.n; i++)
		if (tuple_place(has, &elements.v[i]) < 0)
			err = fail(EXIT_NOTHING, "%s: not all of it is in set %s (set list shows it)", text, s->name);
	for (int i = 0; !err && i < elements.n; i++) {
		if (add) {
			has->v = array_room(has->v, has->n, sizeof(*has->v));
			has->v[has->n++] = elements.v[i];
		} else {
			at = tuple_place(has, &elements.v[i]);
			memmove(&has->v[at], &has->v[at + 1], (--has->n - at) * sizeof(*has->v));
		}
	}
	tuples_normalise(has, s->n_types);
	tuples_free(&elements);
	return err;
}

static int change(int argc, char **argv, bool add)
{
	struct config c;
	struct set *s;
	char *text;
	int err;

	if (argc < 2)
		return fail(EXIT_USAGE, "takes a set and elements: set %s bogons 192.0.2.0/24", add ? "add" : "del");
	err = generation_edit(&c);
	s = err ? NULL : config_set(&c, argv[0]);
	if (!err && !s)
		err = no_such_set(argv[0]);
	if (!err && s->map)
		err = fail(EXIT_USAGE, "%s is a map: its elements are changed in the file: apply", argv[0]);
	text = words_join(argc - 1, argv + 1);
	if (!err)
		err = (s->n_types > 1 ? change_tuples : change_spans)(s, text, add);
	if (!err)
		err = generation_apply(&c);
	free(text);
	config_free(&c);
	return err;
}

static int set_add(int argc, char **argv)
{
	return change(argc, argv, true);
}

static int set_del(int argc, char **argv)
{
	return change(argc, argv, false);
}

static int set_create(int argc, char **argv)
{
	struct config c;
	char *text;
	int err;

	if (argc < 2)
		return fail(EXIT_USAGE, "takes a name and a body: set create bogons type ipv4_addr flags interval");
	err = generation_edit(&c);
	text = words_join(argc - 1, argv + 1);
	if (!err)
		err = config_add_set(&c, argv[0], text);
	if (!err)
		err = generation_apply(&c);
	free(text);
	config_free(&c);
	return err;
}

static bool rule_uses(const struct rule *r, const char *name)
{
	for (int m = 0; m < r->n_matches; m++)
		if (r->matches[m].set && !strcmp(r->matches[m].set, name))
			return true;
	return r->vmap && r->vmap->set && !strcmp(r->vmap->set, name);
}

static bool in_use(const struct config *c, const char *name)
{
	for (int k = 0; k < config_n_chains(c); k++)
		for (int i = 0; i < config_chain(c, k)->n_rules; i++)
			if (rule_uses(&config_chain(c, k)->rules[i], name))
				return true;
	return false;
}

static int set_delete(int argc, char **argv)
{
	struct config c;
	struct set *s;
	int err;

	if (argc != 1)
		return fail(EXIT_USAGE, "takes one name");
	err = generation_edit(&c);
	s = err ? NULL : config_set(&c, argv[0]);
	if (!err && !s)
		err = no_such_set(argv[0]);
	if (!err && in_use(&c, argv[0]))
		err = fail(EXIT_REFUSED, "rules look up @%s: delete them first", argv[0]);
	if (!err) {
		set_free(s);
		memmove(s, s + 1, (c.sets + c.n_sets - s - 1) * sizeof(*s));
		c.n_sets--;
		err = generation_apply(&c);
	}
	config_free(&c);
	return err;
}

static const struct verb verbs[] = {
	{ "list", "[NAME]", "sets and their elements", set_list, NULL },
	{ "add", "NAME ELEMENT[, ELEMENT…]", "add elements", set_add, NULL },
	{ "del", "NAME ELEMENT[, ELEMENT…]", "take elements out", set_del, NULL },
	{ "create", "NAME type TYPE [flags interval] …", "make a set", set_create, NULL },
	{ "delete", "NAME", "remove a set that no rule looks up", set_delete, NULL },
	{}
};

const struct object set_object = { "set", "addresses, prefixes, ports … that rules look up as @NAME", verbs };
