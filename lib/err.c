/* SPDX-License-Identifier: GPL-2.0-only */
/* err: keeps the one message of a failed command and prints it at the end. What comes from outside (file texts, names) is
 * printed without its control characters, and of a very long line only the part around the caret. */
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "err.h"

enum { LINE_SHOWN = 160 };	/* bytes of a source line that are shown at most */

static struct {
	char *message, *file, *text;
	int line, column, code;
} failure;

const char *program_name = "weir";
int verbose;

void *must(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "%s: out of memory\n", program_name);
	exit(EXIT_FAILED);
}

/* Control characters would drive the reader's terminal; a tab is kept since the caret's line repeats it. */
static char *clean(char *s)
{
	for (char *p = s; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			*p = '?';
	return s;
}

static bool continues(char c)	/* a byte of UTF-8 that is not the first of its character */
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* A copy of the line, cut to a window around the column; *column then counts in the window. */
static char *window(const char *text, int *column)
{
	const char *at = text, *from = text;
	int c, n;
	char *s;

	for (c = 1; c < *column && *at; at++)
		c += !continues(at[1]);
	if (at - text > LINE_SHOWN / 2)
		from = at - LINE_SHOWN / 2;
	while (from > text && continues(*from))
		from--;
	n = strnlen(from, LINE_SHOWN);
	while (n > 0 && from[n] && continues(from[n]))
		n--;
	for (const char *p = text; p < from; p++)
		*column -= !continues(*p);
	if (asprintf(&s, "%s%.*s%s", from > text ? "..." : "", n, from, from[n] ? "..." : "") < 0)
		must(NULL);
	*column += from > text ? 3 : 0;
	return clean(s);
}

static void record(int code, struct where at, const char *text, const char *fmt, va_list ap)
{
	int column = at.column;

	if (failure.message)
		return;
	if (vasprintf(&failure.message, fmt, ap) < 0)
		must(NULL);
	clean(failure.message);
	failure.code = code;
	failure.line = at.line;
	failure.column = column;
	if (at.line && at.file)
		failure.file = must(strdup(at.file));
	if (at.line && text)
		failure.text = must(strdup(text));
}

int fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	record(code, (struct where){ 0 }, NULL, fmt, ap);
	va_end(ap);
	return code;
}

int fail_at(int code, struct where at, const char *text, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	record(code, at, text, fmt, ap);
	va_end(ap);
	return code;
}

void fail_clear(void)
{
	free(failure.message);
	free(failure.file);
	free(failure.text);
	memset(&failure, 0, sizeof(failure));
}

const char *fail_message(void)
{
	return failure.message;
}

static void report_json(int code)
{
	struct json_object *doc = json_object_new_object(), *e = json_object_new_object();
	bool placed = failure.line > 0;

	json_object_object_add(e, "message", json_object_new_string(failure.message));
	json_object_object_add(e, "file", failure.file ? json_object_new_string(failure.file) : NULL);
	json_object_object_add(e, "line", placed ? json_object_new_int(failure.line) : NULL);
	json_object_object_add(e, "column", placed ? json_object_new_int(failure.column) : NULL);
	json_object_object_add(e, "code", json_object_new_int(code));
	json_object_object_add(doc, "error", e);
	puts(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(doc);
}

/* The line and below it the caret; tabs above are tabs below, so that both lines are indented alike. */
static void report_caret(void)
{
	int column = failure.column, c = 1;
	char *line = window(failure.text, &column);

	fprintf(stderr, "    %s\n    ", line);
	for (const char *p = line; c < column; p += !!*p) {
		if (continues(*p))
			continue;
		fputc(*p == '\t' ? '\t' : ' ', stderr);
		c++;
	}
	fputs("^\n", stderr);
	free(line);
}

static void report_text(const char *program, const char *context)
{
	if (failure.line) {
		fprintf(stderr, "%s:%d:%d: %s\n", failure.file ? failure.file : "?", failure.line, failure.column,
			failure.message);
		if (failure.text)
			report_caret();
	} else if (context) {
		fprintf(stderr, "%s: %s: %s\n", program, context, failure.message);
	} else {
		fprintf(stderr, "%s: %s\n", program, failure.message);
	}
}

int fail_report(int code, const char *program, const char *context, bool json)
{
	if (!code || !failure.message)
		return code;
	code = failure.code;
	if (json)
		report_json(code);
	else
		report_text(program, context);
	return code;
}

void note(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: note: ", program_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}
