/* SPDX-License-Identifier: GPL-2.0-only */
/* parse: a text into the model: whole configurations, and the pieces that come as words of a command line. Everything that is
 * wrong is said once, with its place; what was half built is freed. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "parse.h"
#include "grammar.tab.h"

enum { FILE_MOST = 256 << 20 };		/* bytes: far beyond any use, well within the lexer's int */

static const char argument[] = "argument";

char *text_line(const char *text, int line)
{
	for (; line > 1 && text; line--) {
		text = strchr(text, '\n');
		text += !!text;
	}
	return text ? must(strndup(text, strcspn(text, "\r\n"))) : NULL;
}

int refuse(struct parse *p, struct loc at, const char *fmt, ...)
{
	char message[512], *line = text_line(p->text, at.line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	p->code = fail_at(EXIT_USAGE, (struct where){ p->file, at.line, at.column }, line, "%s", message);
	free(line);
	return -1;
}

/* The word behind the last token, as the text has it: the lexer's copy is cut there. */
static struct slice next_word(const struct parse *p)
{
	const char *s = p->text + (p->last.s - p->buffer) + p->last.n;

	s += strspn(s, " \t");
	return (struct slice){ s, strcspn(s, " \t\r\n;{}\"") };
}

int refuse_foreign(struct parse *p, struct loc at)
{
	bool pair = false;
	const char *instead = foreign_word(p->last, &pair);
	struct slice next = pair ? next_word(p) : (struct slice){ "", 0 };

	if (p->last.s[0] == '$')
		return refuse(p, at, "variables are not supported: write the value");
	if (!instead)
		return refuse(p, at, "comparing with %s is not supported: write a range", SHOW(p->last));
	return refuse(p, at, "%s%s%s is not supported yet%s%s", SHOW(p->last), next.n ? " " : "", SHOW(next),
		      instead[0] ? ": " : "", instead);
}

/* Run the grammar over p->text from the given start. What the actions built is the caller's. */
static int run(struct parse *p, int start)
{
	size_t n = strlen(p->text);
	int err;

	if (n > FILE_MOST)
		return fail(EXIT_USAGE, "%s: the text is larger than %d MiB", p->file, FILE_MOST >> 20);
	p->buffer = must(calloc(1, n + 2));
	memcpy(p->buffer, p->text, n);
	p->start = start;
	lexer_open(p, n + 2);
	err = weir_parse(p);
	lexer_close(p);
	free(p->buffer);
	match_free(&p->match);
	free(p->tuple.target);
	if (p->code)
		rule_free(&p->rule);
	if (err && !p->code)
		p->code = fail(EXIT_FAILED, "%s: the parser ran out of memory", p->file);
	return p->code;
}

static void keep_name(struct config *c, char *name)
{
	c->files = array_room(c->files, c->n_files, sizeof(*c->files));
	c->files[c->n_files++] = name;
}

int config_parse(struct config *c, const char *name, const char *text)
{
	struct parse p = { .config = c, .file = must(strdup(name)), .text = text };

	memset(c, 0, sizeof(*c));
	keep_name(c, (char *)p.file);
	if (!run(&p, START_CONFIG))
		p.code = check_text(c, p.file, text);
	if (p.code)
		config_free(c);
	return p.code;
}

/* A NUL would end the text for everyone else without a word. */
static int refuse_nul(const char *path, const char *text, size_t n)
{
	const char *nul = memchr(text, 0, n), *start = nul;
	struct where at = { path, 1, 1 };
	char *line;

	if (!nul)
		return 0;
	for (const char *s = text; s < nul; s++)
		at.line += *s == '\n';
	while (start > text && start[-1] != '\n')
		start--;
	at.column += nul - start;
	line = must(strndup(start, nul - start));
	fail_at(EXIT_USAGE, at, line, "the text has a NUL byte: this is no configuration");
	free(line);
	return EXIT_USAGE;
}

static char *read_all(FILE *f, size_t *n)
{
	char *text = must(malloc(1));
	size_t cap = 0, got = 1;

	for (*n = 0; got && *n <= FILE_MOST; *n += got) {
		if (cap - *n < 65536)
			text = must(realloc(text, (cap = 2 * cap + 131072) + 1));
		got = fread(text + *n, 1, cap - *n, f);
	}
	text[*n] = 0;
	return text;
}

int text_read(char **text, const char **name, const char *path)
{
	bool in = !strcmp(path, "-");
	FILE *f = in ? stdin : fopen(path, "re");
	size_t n;
	int code;

	*text = NULL;
	*name = in ? "standard input" : path;
	if (!f)
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	*text = read_all(f, &n);
	if (ferror(f))
		code = fail(EXIT_FAILED, "%s: %s", *name, strerror(errno));
	else if (n > FILE_MOST)
		code = fail(EXIT_USAGE, "%s: the text is larger than %d MiB", *name, FILE_MOST >> 20);
	else
		code = refuse_nul(*name, *text, n);
	if (!in)
		fclose(f);
	return code;
}

int config_parse_file(struct config *c, const char *path)
{
	const char *name;
	char *text;
	int code = text_read(&text, &name, path);

	memset(c, 0, sizeof(*c));
	if (!code)
		code = config_parse(c, name, text);
	free(text);
	return code;
}

static struct parse words_parse(struct config *c, const char *words)
{
	return (struct parse){ .config = c, .file = argument, .text = words };
}

int config_add_rule(struct config *c, int chain, int index, const char *words)
{
	struct parse p = words_parse(c, words);
	struct chain *to = config_chain(c, chain);

	p.only_rule = true;
	if (run(&p, START_RULE))
		return p.code;
	if (index < 0 || index > to->n_rules)
		index = to->n_rules;
	to->rules = array_room(to->rules, to->n_rules, sizeof(*to->rules));
	memmove(to->rules + index + 1, to->rules + index, (to->n_rules++ - index) * sizeof(*to->rules));
	to->rules[index] = p.rule;
	p.code = check_text(c, argument, words);
	if (p.code) {
		rule_free(&to->rules[index]);
		memmove(to->rules + index, to->rules + index + 1, (--to->n_rules - index) * sizeof(*to->rules));
		return p.code;
	}
	to->present = true;
	return 0;
}

int config_add_service(struct config *c, const char *name, const char *words)
{
	struct parse p = words_parse(c, words);
	struct trouble why;

	if (name_check((struct slice){ name, strlen(name) }, "service", &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (config_service(c, name))
		return fail(EXIT_USAGE, "service %s exists already", name);
	build_service(&p, (struct slice){ name, strlen(name) }, (struct loc){ 1, 1 });
	if (!run(&p, START_SERVICE))
		p.code = check_text(c, argument, words);
	if (p.code)
		service_free(&c->services[--c->n_services]);
	return p.code;
}

int config_add_backend(struct config *c, struct service *s, const char *words)
{
	struct parse p = words_parse(c, words);
	int n = s->n_backends;

	p.service = s;
	p.raw = 1;
	p.expects = "an address";
	if (!run(&p, START_BACKEND))
		p.code = check_text(c, argument, words);
	if (p.code)
		s->n_backends = n;
	return p.code;
}

static struct parse elements_parse(const struct set *set, const char *name, const char *words)
{
	struct parse p = words_parse(NULL, words);

	p.file = name ? name : argument;
	p.type = set->type;
	p.notes = true;
	memcpy(p.types, set->types, sizeof(p.types));
	p.n_types = set->n_types;
	p.values = p.only_values = true;
	p.expects = "a value";
	return p;
}

static int run_elements(struct parse *p, const struct set *set)
{
	if (!run(p, START_ELEMENTS) && p->interval_at.line && !set->interval)
		refuse(p, p->interval_at, "set %s takes no ranges or prefixes: it lacks flags interval", set->name);
	return p->code;
}

int config_parse_elements(const struct set *set, struct spans *out, const char *name, const char *words)
{
	struct parse p = elements_parse(set, name, words);

	memset(out, 0, sizeof(*out));
	p.values_to = out;
	if (run_elements(&p, set))
		spans_free(out);
	else
		spans_normalise(out);
	return p.code;
}

int config_parse_tuples(const struct set *set, struct value_tuples *out, const char *name, const char *words)
{
	struct parse p = elements_parse(set, name, words);

	memset(out, 0, sizeof(*out));
	p.tuples_to = out;
	if (run_elements(&p, set))
		tuples_free(out);
	else
		tuples_normalise(out, set->n_types);
	return p.code;
}

static int add_set(struct config *c, const char *name, bool map, const char *words)
{
	struct parse p = words_parse(c, words);
	struct trouble why;

	if (name_check((struct slice){ name, strlen(name) }, map ? "map" : "set", &why))
		return fail(EXIT_USAGE, "%s", why.text);
	if (config_set(c, name))
		return fail(EXIT_USAGE, "set %s exists already", name);
	build_set(&p, (struct slice){ name, strlen(name) }, (struct loc){ 1, 1 });
	p.set->map = map;
	if (!run(&p, START_SET))
		p.code = check_text(c, argument, words);
	if (p.code)
		set_free(&c->sets[--c->n_sets]);
	return p.code;
}

int config_add_set(struct config *c, const char *name, const char *words)
{
	return add_set(c, name, false, words);
}

int config_add_map(struct config *c, const char *name, const char *words)
{
	return add_set(c, name, true, words);
}
