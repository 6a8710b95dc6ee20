/* SPDX-License-Identifier: GPL-2.0-only */
/* import_scan: see import_scan.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "import_scan.h"

bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

bool word_of(const char *text, int n, char *out, int size)
{
	size_t length;

	for (text += strspn(text, " \t"); n && *text; n--) {
		text += strcspn(text, " \t");
		text += strspn(text, " \t");
	}
	length = strcspn(text, " \t;");
	if (!length)
		return false;
	if (length > 2 && text[0] == '"' && text[length - 1] == '"')
		text++, length -= 2;
	snprintf(out, size, "%.*s", (int)length, text);
	return true;
}

int word_count(const char *text)
{
	char buf[8];
	int n = 0;

	while (word_of(text, n, buf, sizeof(buf)))
		n++;
	return n;
}

/* ---- variables */

static const char *value_of(const struct scan *s, const char *name, int n)
{
	for (int i = s->n_variables - 1; i >= 0; i--)
		if (!strncmp(s->variables[i].name, name, n) && !s->variables[i].name[n])
			return s->variables[i].value;
	return NULL;
}

static char *with_values(const struct scan *s, const char *text)
{
	size_t size;
	char *out;
	FILE *f = must(open_memstream(&out, &size));

	while (*text) {
		int n = *text == '$' ? 1 + (int)strspn(text + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") : 0;
		const char *value = n ? value_of(s, text + 1, n - 1) : NULL;

		if (value)
			fputs(value, f), text += n;
		else
			fputc(*text++, f);
	}
	fclose(f);
	return out;
}

void scan_define(struct scan *s, const char *text)
{
	int n = strcspn(text, " =\t");
	const char *value = text + n + strspn(text + n, " =\t");

	s->variables = array_room(s->variables, s->n_variables, sizeof(*s->variables));
	s->variables[s->n_variables++] = (struct variable){ must(strndup(text, n)), must(strdup(value)) };
}

void scan_free(struct scan *s)
{
	for (int i = 0; i < s->n_variables; i++)
		free(s->variables[i].name), free(s->variables[i].value);
	free(s->variables);
}

/* ---- pieces */

struct writer {
	FILE *f;
	bool any, blank, equals;
};

static void write_char(struct writer *w, char c)
{
	if (c == ' ') {
		w->blank = w->any;
		return;
	}
	if (w->blank)
		fputc(' ', w->f);
	fputc(c, w->f);
	w->any = true;
	w->blank = false;
	w->equals |= c == '=';
}

static void write_string(struct scan *s, struct writer *w)
{
	do
		write_char(w, *s->s == ' ' ? '\0' : *s->s), s->s++;
	while (*s->s && *s->s != '"' && *s->s != '\n');
	if (*s->s == '"')
		write_char(w, *s->s++);
}

static void read_piece(struct scan *s, struct writer *w, struct piece *out, bool blocks)
{
	int depth = 0;

	for (; *s->s; s->s++) {
		char c = *s->s;

		if (c == '#') {
			s->s += strcspn(s->s, "\n");
			s->s--;
		} else if (c == '"') {
			write_string(s, w);
			s->s--;
		} else if (c == '\\' && (s->s[1] == '\n' || s->s[1] == '\r')) {
			s->s += s->s[1] == '\r' && s->s[2] == '\n' ? 2 : 1;
			s->line++;
			write_char(w, ' ');
		} else if (c == '{' && blocks && !w->equals) {
			out->end = PIECE_OPEN;
			s->s++;
			return;
		} else if (c == '}' && !depth) {
			out->end = PIECE_CLOSE;
			s->s++;
			return;
		} else if ((c == '\n' || c == ';') && !depth) {
			s->s++;
			s->line += c == '\n';
			return;
		} else {
			s->line += c == '\n';
			depth += c == '{' ? 1 : c == '}' ? -1 : 0;
			write_char(w, isspace((unsigned char)c) ? ' ' : c);
		}
	}
}

bool scan_next(struct scan *s, struct piece *out, bool blocks)
{
	struct writer w = { 0 };
	char *raw;
	size_t size;

	while (*s->s && (isspace((unsigned char)*s->s) || *s->s == ';'))
		s->line += *s->s++ == '\n';
	if (!*s->s)
		return false;
	*out = (struct piece){ .line = s->line, .end = PIECE_STATEMENT };
	w.f = must(open_memstream(&raw, &size));
	read_piece(s, &w, out, blocks);
	fclose(w.f);
	for (size_t i = 0; i < size; i++)	/* blanks of strings were kept apart */
		raw[i] = raw[i] ? raw[i] : ' ';
	out->text = with_values(s, raw);
	free(raw);
	return true;
}

/* ---- words */

static void add_token(struct tokens *t, const char *s, int n)
{
	t->v = array_room(t->v, t->n, sizeof(*t->v));
	t->v[t->n++] = must(strndup(s, n));
}

void tokens_of(struct tokens *t, const char *text)
{
	*t = (struct tokens){ 0 };
	while (*(text += strspn(text, " \t"))) {
		int n = 1;

		if (*text == '"')
			n = 1 + strcspn(text + 1, "\"") + (strchr(text + 1, '"') != NULL);
		else if (!strchr("{}(),;", *text))
			n = strcspn(text, " \t{}(),;\"");
		add_token(t, text, n);
		text += n;
	}
}

void tokens_free(struct tokens *t)
{
	for (int i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
	*t = (struct tokens){ 0 };
}
