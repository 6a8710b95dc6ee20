/* SPDX-License-Identifier: GPL-2.0-only */
/* set: addresses, prefixes, ports … that rules look up by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "generation.h"
#include "set_change.h"
#include "setstore.h"
#include "verb.h"

static void print_into(const char *name, const struct set *s, void (*print)(FILE *f, const struct set *s))
{
	size_t size;
	char *text;
	FILE *f = must(open_memstream(&text, &size));

	print(f, s);
	fclose(f);
	out_text(name, text);
	free(text);
}

static void flags_short(FILE *f, const struct set *s)
{
	const struct { bool on; const char *name; } flags[] = {
		{ s->constant, "constant" }, { s->interval, "interval" }, { s->dynamic, "dynamic" }, { s->timed, "timeout" }, { s->counter, "counter" },
	};
	const char *sep = "";

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (flags[i].on)
			fprintf(f, "%s%s", sep, flags[i].name), sep = ",";
}

static void elements_short(FILE *f, const struct set *s)
{
	if (set_is_tupled(s))
		set_elements_print(f, s, ", ");
	else
		spans_print(f, s->type, &s->elements, false);
}

/* Has it a table of its own, how large is that, and for how many elements that rules wanted to add was there no room. */
static int emit_table(const struct set *s)
{
	struct settable t = { 0 };
	int err = s->slot ? setstore_open(s->slot - 1, &t) : 0;

	out_bool("table", t.m);
	out_number("bytes", t.m ? t.size : 0);
	out_number("refused", t.m ? settable_head(&t)->refused : 0);
	setstore_close(&t);
	return err;
}

/* How many, how large and how full; then the elements. */
static int emit(struct set *s)
{
	int err;

	out_row();
	out_text("name", s->name);
	print_into("type", s, set_type_print);
	print_into("flags", s, flags_short);
	out_bool("interval", s->interval);
	err = emit_table(s);
	if (!err)
		err = setstore_load(s);
	if (err)
		return err;
	out_number("count", set_is_tupled(s) ? s->tuples.n : s->elements.n);
	print_into("elements", s, elements_short);
	return 0;
}

static int no_such_set(const char *name)
{
	return fail(EXIT_NOTHING, "no set is named %s (set list shows them)", name);
}

static int set_verb_list(int argc, char **argv)
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
		for (int i = 0; i < c.n_sets && !err; i++)
			if (!argc || !strcmp(c.sets[i].name, argv[0]))
				err = emit(&c.sets[i]);
		out_list_end();
	}
	config_free(&c);
	return err;
}

static int change(int argc, char **argv, enum set_change how)
{
	char *text;
	int err;

	if (argc < 2)
		return fail(EXIT_USAGE, "takes a set and elements: set %s bogons 192.0.2.0/24", how == SET_CHANGE_ADD ? "add" : "del");
	text = words_join(argc - 1, argv + 1);
	err = set_change(argv[0], how, NULL, text);
	free(text);
	return err;
}

static int set_verb_add(int argc, char **argv)
{
	return change(argc, argv, SET_CHANGE_ADD);
}

static int set_verb_del(int argc, char **argv)
{
	return change(argc, argv, SET_CHANGE_DEL);
}

static int set_verb_load(int argc, char **argv)
{
	const char *name;
	char *text = NULL;
	int err;

	if (argc != 2)
		return fail(EXIT_USAGE, "takes a set and a file: set load bogons FILE (-: standard input)");
	err = text_read(&text, &name, argv[1]);
	if (!err)
		err = set_change(argv[0], SET_CHANGE_ALL, name, text);
	free(text);
	return err;
}

static int set_verb_flush(int argc, char **argv)
{
	return argc == 1 ? set_change(argv[0], SET_CHANGE_ALL, NULL, "") : fail(EXIT_USAGE, "takes one name");
}

static int set_verb_create(int argc, char **argv)
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
	if (r->update.set && !strcmp(r->update.set, name))
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

static int set_verb_delete(int argc, char **argv)
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
	{ "list", "[NAME]", "sets and their elements", set_verb_list, NULL },
	{ "add", "NAME ELEMENT[, ELEMENT…]", "add elements", set_verb_add, NULL },
	{ "del", "NAME ELEMENT[, ELEMENT…]", "take elements out", set_verb_del, NULL },
	{ "load", "NAME FILE", "have the file's elements, and no others", set_verb_load, NULL },
	{ "flush", "NAME", "take all elements out", set_verb_flush, NULL },
	{ "create", "NAME type TYPE [flags interval] …", "make a set", set_verb_create, NULL },
	{ "delete", "NAME", "remove a set that no rule looks up", set_verb_delete, NULL },
	{}
};

const struct object set_object = { "set", "addresses, prefixes, ports … that rules look up as @NAME", verbs };
