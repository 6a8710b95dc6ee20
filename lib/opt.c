/* SPDX-License-Identifier: GPL-2.0-only */
/* opt: options by table, for parsing and for help. Forms: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, flags joined as -ab. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "err.h"
#include "opt.h"

struct cursor {
	int argc, at;
	char **argv;
	const struct opt *tables[2];
	bool *help;
};

static const struct opt *find(const struct cursor *c, const char *name, int n, char letter)
{
	for (int t = 0; t < 2; t++)
		for (const struct opt *o = c->tables[t]; o && o->name; o++)
			if (name ? strlen(o->name) == (size_t)n && !memcmp(o->name, name, n) : o->letter == letter)
				return o;
	return NULL;
}

static int number(const struct opt *o, const char *text)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 0);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return fail(EXIT_USAGE, "--%s: \"%s\" is not a number", o->name, text);
	*(unsigned long *)o->value = v;
	return 0;
}

/* `inner` is what stands behind the name in the same word, or NULL; otherwise the value is the next word. */
static int take(struct cursor *c, const struct opt *o, const char *inner)
{
	if (o->kind == OPT_FLAG) {
		if (inner)
			return fail(EXIT_USAGE, "--%s takes no value", o->name);
		*(bool *)o->value = true;
		return 0;
	}
	if (!inner && c->at + 1 >= c->argc)
		return fail(EXIT_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->arg ? o->arg : "VALUE");
	if (!inner)
		inner = c->argv[++c->at];
	if (o->kind == OPT_NUMBER)
		return number(o, inner);
	*(const char **)o->value = inner;
	return 0;
}

static int take_long(struct cursor *c, const char *word)
{
	const char *eq = strchr(word, '=');
	int n = eq ? eq - word : (int)strlen(word);
	const struct opt *o = find(c, word, n, 0);

	if (o)
		return take(c, o, eq ? eq + 1 : NULL);
	if (c->help && !strcmp(word, "help")) {
		*c->help = true;
		return 0;
	}
	return fail(EXIT_USAGE, "unknown option --%.*s; --help lists them", n, word);
}

static int take_short(struct cursor *c, const char *letters)
{
	for (const char *p = letters; *p; p++) {
		const struct opt *o = find(c, NULL, 0, *p);

		if (o && o->kind != OPT_FLAG)
			return take(c, o, p[1] ? p + 1 : NULL);
		if (o)
			*(bool *)o->value = true;
		else if (c->help && *p == 'h')
			*c->help = true;
		else
			return fail(EXIT_USAGE, "unknown option -%c; --help lists them", *p);
	}
	return 0;
}

int opt_parse(int argc, char **argv, const struct opt *a, const struct opt *b, bool stop, bool *help)
{
	struct cursor c = { .argc = argc, .argv = argv, .tables = { a, b }, .help = help };
	bool words_only = false;
	int words = 0;

	for (; c.at < argc; c.at++) {
		char *w = argv[c.at];
		int err = 0;

		if (words_only || w[0] != '-' || !w[1]) {
			argv[words++] = w;
			words_only |= stop;
		} else if (!strcmp(w, "--")) {
			words_only = true;
		} else {
			err = w[1] == '-' ? take_long(&c, w + 2) : take_short(&c, w + 1);
		}
		if (err)
			return -1;
	}
	return words;
}

static int label(FILE *f, const struct opt *o)
{
	char head[8] = "    ";

	if (o->letter)
		snprintf(head, sizeof(head), "-%c, ", o->letter);
	return fprintf(f, "  %s--%s%s%s", head, o->name, o->kind == OPT_FLAG ? "" : " ",
		       o->kind == OPT_FLAG ? "" : o->arg ? o->arg : "VALUE");
}

void opt_help(FILE *f, const struct opt *t)
{
	enum { COLUMN = 28 };

	for (; t && t->name; t++) {
		int n = label(f, t);

		fprintf(f, "%*s%s\n", n < COLUMN - 1 ? COLUMN - n : 2, "", t->help);
	}
}
