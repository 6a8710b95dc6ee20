/* SPDX-License-Identifier: GPL-2.0-only */
/* set_change: see set_change.h. */
#include <stdlib.h>
#include <string.h>
#include "generation.h"
#include "ids.h"
#include "set_change.h"
#include "setstore.h"

static int no_such_element(const char *text, const char *set)
{
	return fail(EXIT_NOTHING, "%s: not all of it is in set %s (set list shows it)", text, set);
}

/* ---- the elements themselves */

/* Every value of `part` is in `whole`. */
static bool contains(const struct spans *whole, const struct spans *part)
{
	struct spans rest;
	bool all;

	spans_subtract(&rest, part, whole);
	all = !rest.n;
	spans_free(&rest);
	return all;
}

static int change_spans(struct set *s, enum set_change how, struct spans *elements, const char *text)
{
	struct spans left;

	if (how == SET_CHANGE_ALL) {
		spans_free(&s->elements);
		s->elements = *elements;
		*elements = (struct spans){ 0 };
		return 0;
	}
	if (how == SET_CHANGE_DEL) {
		if (!contains(&s->elements, elements))
			return no_such_element(text, s->name);
		spans_subtract(&left, &s->elements, elements);
		spans_free(&s->elements);
		s->elements = left;
		return 0;
	}
	for (int i = 0; i < elements->n; i++)
		spans_add(&s->elements, elements->v[i].lo, elements->v[i].hi);
	spans_normalise(&s->elements);
	return 0;
}

static int tuple_place(const struct value_tuples *t, const struct value_tuple *v)
{
	for (int i = 0; i < t->n; i++)
		if (tuple_equal(&t->v[i], v))
			return i;
	return -1;
}

static void tuple_remove(struct value_tuples *t, int at)
{
	struct value_tuples one = { must(malloc(sizeof(*t->v))), 1 };

	*one.v = t->v[at];
	memmove(&t->v[at], &t->v[at + 1], (--t->n - at) * sizeof(*t->v));
	tuples_free(&one);
}

/* Elements of several parts come and go as they are written: a smaller one is not cut out of a larger one. What is added anew replaces what there was. */
static int change_tuples(struct set *s, enum set_change how, struct value_tuples *elements, const char *text)
{
	struct value_tuples *has = &s->tuples;

	if (how == SET_CHANGE_ALL)
		tuples_free(has);
	for (int i = 0; how == SET_CHANGE_DEL && i < elements->n; i++)
		if (tuple_place(has, &elements->v[i]) < 0)
			return no_such_element(text, s->name);
	for (int i = 0; i < elements->n; i++) {
		int at = how == SET_CHANGE_ALL ? -1 : tuple_place(has, &elements->v[i]);

		if (at >= 0)
			tuple_remove(has, at);
		if (how == SET_CHANGE_DEL)
			continue;
		has->v = array_room(has->v, has->n, sizeof(*has->v));
		has->v[has->n++] = elements->v[i];
		elements->v[i].comment = elements->v[i].target = NULL;
	}
	tuples_normalise(has, s->n_types);
	return 0;
}

struct elements {		/* of a text, as the set has them */
	struct spans spans;
	struct value_tuples tuples;
};

static bool is_blank(const char *text)
{
	for (; *text; text++) {
		if (*text == '#')
			text += strcspn(text, "\n");
		if (*text && !strchr(" \t\r\n,", *text))
			return false;
		if (!*text)
			break;
	}
	return true;
}

static int parse(const struct set *s, const char *name, const char *text, struct elements *e)
{
	memset(e, 0, sizeof(*e));
	if (is_blank(text))		/* of a file; the command line has words */
		return 0;
	return set_is_tupled(s) ? config_parse_tuples(s, &e->tuples, name, text) : config_parse_elements(s, &e->spans, name, text);
}

static void elements_free(struct elements *e)
{
	spans_free(&e->spans);
	tuples_free(&e->tuples);
}

static int change_model(struct set *s, enum set_change how, struct elements *e, const char *text)
{
	return set_is_tupled(s) ? change_tuples(s, how, &e->tuples, text) : change_spans(s, how, &e->spans, text);
}

/* ---- a set of the generation */

static int by_generation(const char *name, enum set_change how, const char *file, const char *text)
{
	struct elements e = { 0 };
	struct config c;
	struct set *s;
	int err = generation_edit(&c);

	s = err ? NULL : config_set(&c, name);
	if (!err && !s)
		err = fail(EXIT_NOTHING, "no set is named %s (set list shows them)", name);
	if (!err && s->map)
		err = fail(EXIT_USAGE, "%s is a map: its elements are changed in the file: apply", name);
	if (!err && s->constant)
		err = fail(EXIT_REFUSED, "set %s has flags constant: apply a file to change it", name);
	if (!err)
		err = parse(s, file, text, &e);
	if (!err && how != SET_CHANGE_ALL)
		err = setstore_load(s);
	if (!err)
		s->slot = 0;
	if (!err)
		err = change_model(s, how, &e, text);
	if (!err)
		err = generation_apply(&c);
	elements_free(&e);
	config_free(&c);
	return err;
}

/* ---- a table */

enum { MADE_ANEW = -1, COMPILED = -2 };	/* beside exit codes: how the change has to be made */

/* All elements, changed, into a table made for them. COMPILED: no table can have them. */
static int rewrite(const struct set *head, uint32_t slot, enum set_change how, struct elements *e, const char *text)
{
	struct set s = *head;
	int err;

	s.slot = how == SET_CHANGE_ALL ? 0 : slot + 1;
	err = setstore_load(&s);
	if (!err)
		err = change_model(&s, how, e, text);
	if (!err && s.size && (uint32_t)s.tuples.n > s.size)
		err = fail(EXIT_REFUSED, "set %s is full: its size is %u", s.name, s.size);
	if (!err)
		set_measure(&s);
	if (!err)
		err = s.ragged ? COMPILED : setstore_write(&s, slot, how == SET_CHANGE_ADD ? 2 : 1);
	spans_free(&s.elements);
	tuples_free(&s.tuples);
	return err;
}

static int span_in_place(struct settable *t, enum set_change how, const struct span *s)
{
	if (settable_head(t)->kind == SET_ADDRESS4)
		return (how == SET_CHANGE_ADD ? settable_add4 : settable_del4)(t, s->lo, s->hi);
	return (how == SET_CHANGE_ADD ? settable_add6 : settable_del6)(t, s);
}

/* 0: done, or MADE_ANEW. */
static int spans_in_place(struct settable *t, enum set_change how, const struct spans *elements)
{
	for (int i = 0; i < elements->n; i++)
		if (span_in_place(t, how, &elements->v[i]))
			return MADE_ANEW;
	return 0;
}

static bool table_has(const struct settable *t, const struct spans *elements)
{
	bool has = true, four = settable_head(t)->kind == SET_ADDRESS4;

	for (int i = 0; i < elements->n && has; i++)
		has = four ? settable_has4(t, elements->v[i].lo, elements->v[i].hi) : settable_has6(t, &elements->v[i]);
	return has;
}

static int tuples_in_place(struct settable *t, enum set_change how, const struct value_tuples *elements, uint32_t now)
{
	for (int i = 0; i < elements->n; i++) {
		if (how == SET_CHANGE_DEL)
			settable_del(t, &elements->v[i], now);
		else if (settable_put(t, &elements->v[i], now))
			return MADE_ANEW;
	}
	return 0;
}

static bool table_has_tuples(const struct settable *t, const struct value_tuples *elements, uint32_t now)
{
	for (int i = 0; i < elements->n; i++)
		if (!settable_has(t, &elements->v[i], now))
			return false;
	return true;
}

/* 0: done, MADE_ANEW, or an exit code. Nothing has changed unless 0 (of additions, some may have come: rewriting brings the others). */
static int in_place(struct settable *t, const struct set *s, enum set_change how, const struct elements *e, const char *text)
{
	uint32_t now = settable_now();

	if (how == SET_CHANGE_ALL)
		return MADE_ANEW;
	if (!set_is_tupled(s)) {
		if (how == SET_CHANGE_DEL && !table_has(t, &e->spans))
			return no_such_element(text, s->name);
		return spans_in_place(t, how, &e->spans);
	}
	if (how == SET_CHANGE_DEL && !table_has_tuples(t, &e->tuples, now))
		return no_such_element(text, s->name);
	return tuples_in_place(t, how, &e->tuples, now);
}

/* Where an element has, or has had, a comment, each change is noted. */
static char *notes_of(const struct set *s, enum set_change how, const struct value_tuples *elements)
{
	char *lines;
	size_t size;
	FILE *f = must(open_memstream(&lines, &size));

	for (int i = 0; i < elements->n && s->commented; i++)
		note_print(f, s, how == SET_CHANGE_DEL ? "del" : "add", &elements->v[i]);
	fclose(f);
	return lines;
}

static int by_table(struct settable *t, uint32_t slot, enum set_change how, const char *file, const char *text)
{
	struct set s = setstore_head(t);
	struct elements e = { 0 };
	char *notes;
	int err;

	if (s.constant)
		return fail(EXIT_REFUSED, "set %s has flags constant: apply a file to change it", s.name);
	err = parse(&s, file, text, &e);
	if (err) {
		elements_free(&e);
		return err;
	}
	for (int i = 0; i < e.tuples.n && how != SET_CHANGE_DEL; i++)
		s.commented |= e.tuples.v[i].comment != NULL;
	notes = notes_of(&s, how, &e.tuples);
	err = in_place(t, &s, how, &e, text);
	settable_head(t)->flags |= s.commented && !err ? SET_COMMENTED : 0;
	if (err == MADE_ANEW)
		err = rewrite(&s, slot, how, &e, text);
	if (err == COMPILED) {
		elements_free(&e);
		free(notes);
		return by_generation(s.name, how, file, text);
	}
	if (!err)
		err = generation_append(notes);
	free(notes);
	if (!err && !set_is_volatile(&s))
		err = generation_renew();
	elements_free(&e);
	return err;
}

int set_change(const char *set, enum set_change how, const char *file, const char *text)
{
	struct settable t = { 0 };
	uint32_t slot;
	int err = generation_lock();

	if (!err)
		err = setstore_find(set, &slot, &t);
	if (err)
		return err;
	err = t.m ? by_table(&t, slot, how, file, text) : by_generation(set, how, file, text);
	setstore_close(&t);
	return err;
}
