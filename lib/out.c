/* SPDX-License-Identifier: GPL-2.0-only */
/* out: one stream of keys and values, written as JSON text as it comes, as a libsmartcols table when a list is complete, or in
 * lines mode as rows of fixed width. Everything goes through one buffer to standard output; a write error is kept for
 * out_finish(). Not for two threads. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "err.h"
#include "out.h"
#include "stream.h"

enum { MAX_DEPTH = 16, MAX_COLUMNS = 64, CELL_BYTES = 512 };
enum level_kind { LEVEL_DOCUMENT, LEVEL_LIST, LEVEL_ROW, LEVEL_OBJECT };

struct level {
	enum level_kind kind;
	bool bare;			/* prints no brackets: the outermost list of lines mode */
	bool filled;			/* a comma goes before the next member */
	size_t prefix;			/* length of the column prefix before this object */
	struct libscols_line *line;	/* LEVEL_ROW of a table */
};

struct lines_column {
	char key[32];
	int width;			/* negative: left-aligned */
};

static struct {
	bool json, lines, csv, hide;
	struct level level[MAX_DEPTH];
	int depth;			/* index of the innermost level */
	char prefix[128];		/* "object." of the objects a column is in */
	struct libscols_table *table;	/* the outermost list */
	struct libscols_table *facts;	/* keys outside of any list: a name and a value a line */
	bool tree, printed;
	struct lines_column column[MAX_COLUMNS];
	int columns, at;		/* at: the next column of the current line */
} out;

static struct level *top(void)
{
	return &out.level[out.depth];
}

static void comma(void)
{
	if (top()->filled)
		put_char(',');
	top()->filled = true;
}

static void put_key(const char *key)
{
	comma();
	put_char('"');			/* keys are ours: nothing to escape */
	put_text(key);
	put("\":", 2);
}

static void push(enum level_kind kind)
{
	if (out.depth + 1 == MAX_DEPTH)
		abort();
	out.level[++out.depth] = (struct level){ .kind = kind, .prefix = strlen(out.prefix) };
}

static size_t format_u64(char *end, uint64_t v)
{
	char *p = end;

	do
		*--p = '0' + v % 10;
	while (v /= 10);
	return end - p;
}

/* ---- tables ---- */

static bool in_list(void)
{
	for (int i = out.depth; i; i--)
		if (out.level[i].kind == LEVEL_LIST)
			return true;
	return false;
}

static struct libscols_line *current_line(void)
{
	for (int i = out.depth; i; i--)
		if (out.level[i].kind == LEVEL_ROW)
			return out.level[i].line;
	return NULL;
}

static bool colours(void)
{
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

static struct libscols_table *table_new(bool headings)
{
	struct libscols_table *t = scols_new_table();

	if (!t)
		abort();
	scols_table_enable_noheadings(t, !headings);
	scols_table_enable_colors(t, colours());
	if (!isatty(STDOUT_FILENO))
		scols_table_set_termforce(t, SCOLS_TERMFORCE_NEVER);
	return t;
}

/* Without the spaces that pad the last cells. */
static void put_lines(const char *text)
{
	while (*text) {
		size_t line = strcspn(text, "\n"), n = line;

		while (n && text[n - 1] == ' ')
			n--;
		put(text, n);
		put_char('\n');
		text += line + (text[line] == '\n');
	}
}

static void table_print(struct libscols_table **t)
{
	char *text = NULL;

	if (!*t)
		return;
	if (out.tree)
		scols_column_set_flags(scols_table_get_column(*t, 0), SCOLS_FL_TREE);
	if (scols_table_get_nlines(*t) && !scols_print_table_to_string(*t, &text)) {
		if (out.printed)
			put_char('\n');
		put_lines(text);
		out.printed = true;
	}
	free(text);
	scols_unref_table(*t);
	*t = NULL;
	out.tree = false;
}

static void heading(char *to, size_t size, const char *key)
{
	snprintf(to, size, "%s%s", out.prefix, key);
	for (; *to; to++)
		*to = toupper((unsigned char)*to);
}

static struct libscols_column *column_named(const char *name)
{
	struct libscols_column *c;
	size_t n = scols_table_get_ncols(out.table);

	for (size_t i = 0; i < n; i++) {
		c = scols_table_get_column(out.table, i);
		if (!strcmp(scols_cell_get_data(scols_column_get_header(c)), name))
			return c;
	}
	c = scols_table_new_column(out.table, name, 0, 0);
	if (!c)
		abort();
	if (colours())
		scols_cell_set_color(scols_column_get_header(c), "bold");
	return c;
}

static void table_cell(const char *key, const char *value, bool right)
{
	struct libscols_line *line = current_line();
	struct libscols_column *c;
	char name[192];

	if (!line) {			/* a fact of the document */
		snprintf(name, sizeof(name), "%s%s", out.prefix, key);
		if (!out.facts) {
			out.facts = table_new(false);
			scols_table_new_column(out.facts, "", 0, 0);
			scols_table_new_column(out.facts, "", 0, 0);
		}
		line = scols_table_new_line(out.facts, NULL);
		scols_line_set_data(line, 0, name);
		scols_line_set_data(line, 1, value);
		return;
	}
	heading(name, sizeof(name), key);
	c = column_named(name);
	if (right)
		scols_column_set_flags(c, SCOLS_FL_RIGHT);
	scols_line_set_column_data(line, c, value);
}

/* ---- lines ---- */


/* Characters, not bytes, make the width; what would move the cursor becomes '?'. */
static void put_padded(const char *s, int width, bool last)
{
	size_t start, n = strlen(s);
	int chars = 0, pad;

	for (size_t i = 0; i < n; i++)
		chars += ((unsigned char)s[i] & 0xc0) != 0x80;
	pad = abs(width) - chars;
	if (width > 0)
		put_spaces(pad);
	start = stream.len;
	put(s, n);
	for (size_t i = start; i < stream.len; i++)
		if ((unsigned char)stream.data[i] < 0x20 || stream.data[i] == 0x7f)
			stream.data[i] = '?';
	if (width < 0 && !last)
		put_spaces(pad);
	if (!last)
		put_char(' ');
}

/* As RFC 4180 has it. */
static void put_csv(const char *s, bool first)
{
	if (!first)
		put_char(',');
	if (!s[strcspn(s, ",\"\r\n")]) {
		put_text(s);
		return;
	}
	put_char('"');
	for (; *s; s++) {
		if (*s == '"')
			put_char('"');
		put_char(*s);
	}
	put_char('"');
}

static void put_cell(int column, const char *value)
{
	if (out.csv)
		put_csv(value, !column);
	else
		put_padded(value, out.column[column].width, column == out.columns - 1);
}

static void lines_cell(const char *key, const char *value)
{
	int to = out.at;
	char name[192];

	if (*out.prefix) {
		snprintf(name, sizeof(name), "%s%s", out.prefix, key);
		key = name;
	}
	while (to < out.columns && strcmp(out.column[to].key, key))
		to++;
	if (to == out.columns)
		return;
	for (; out.at < to; out.at++)
		put_cell(out.at, "");
	put_cell(to, value ? value : "");
	out.at++;
}

static void lines_header(void)
{
	char name[192];

	for (int i = 0; i < out.columns; i++) {
		heading(name, sizeof(name), out.column[i].key);
		put_cell(i, name);
	}
	put_char('\n');
	stream_flush();
}

/* ---- values of any kind ---- */

static void cell(const char *key, const char *value, bool right)
{
	if (out.lines)
		lines_cell(key, value);
	else
		table_cell(key, value, right);
}

/* A value that is JSON as it stands. */
static void plain(const char *key, const char *json, size_t n)
{
	put_key(key);
	put(json, n);
}

/* ---- public ---- */

void out_start(bool json)
{
	setlocale(LC_CTYPE, "");	/* tree lines in the terminal's characters */
	scols_unref_table(out.table);
	scols_unref_table(out.facts);
	stream_free();
	stream.error = 0;
	memset(&out, 0, sizeof(out));
	out.json = json;
	if (json)
		put_char('{');
}

bool out_is_json(void)
{
	return out.json;
}

void out_hidden(bool hide)
{
	out.hide = hide;
}

void out_column(const char *key, int width)
{
	if (out.columns == MAX_COLUMNS)
		abort();
	snprintf(out.column[out.columns].key, sizeof(out.column[0].key), "%s", key);
	out.column[out.columns++].width = width;
}

void out_lines(void)
{
	out.lines = true;
	if (out.json)
		stream.len = 0;		/* no document around the rows */
	else
		lines_header();
}

void out_csv(void)
{
	out.csv = !out.json;
	out_lines();
}

static void row_end(void)
{
	if (top()->kind != LEVEL_ROW)
		return;
	out.depth--;
	if (out.json)
		put_char('}');
	if (top()->bare)
		put_char('\n');
	out.at = 0;
	if ((out.json || out.lines) && stream.len >= STREAM_FULL)
		stream_flush();
}

void out_list(const char *key)
{
	bool outermost = !in_list();

	if (out.json && !(out.lines && outermost)) {
		put_key(key);
		put_char('[');
	}
	if (!out.json && !out.lines && !out.hide && outermost) {
		table_print(&out.facts);
		out.table = table_new(true);
	}
	push(LEVEL_LIST);
	top()->bare = out.lines && outermost;
}

void out_row(void)
{
	struct libscols_line *parent;

	row_end();
	if (out.json) {
		if (!top()->bare)
			comma();
		put_char('{');
	}
	parent = current_line();
	push(LEVEL_ROW);
	if (out.json || out.lines || out.hide)
		return;
	top()->line = scols_table_new_line(out.table, parent);
	out.tree |= parent != NULL;
}

void out_list_end(void)
{
	bool bare;

	row_end();
	bare = top()->bare;
	out.depth--;
	if (out.json && !bare)
		put_char(']');
	if (!out.json && !out.lines && !out.hide && !in_list())
		table_print(&out.table);
}

void out_object(const char *key)
{
	size_t n;

	if (out.json) {
		put_key(key);
		put_char('{');
	}
	push(LEVEL_OBJECT);
	n = top()->prefix;
	snprintf(out.prefix + n, sizeof(out.prefix) - n, "%s.", key);
}

void out_object_end(void)
{
	out.prefix[top()->prefix] = 0;
	out.depth--;
	if (out.json)
		put_char('}');
}

void out_text(const char *key, const char *value)
{
	if (!out.json) {
		if (!out.hide)
			cell(key, value, false);
		return;
	}
	if (!value) {
		plain(key, "null", 4);
		return;
	}
	put_key(key);
	put_string(value);
}

void out_number(const char *key, uint64_t value)
{
	char text[24], *end = text + sizeof(text) - 1;
	size_t n = format_u64(end, value);

	*end = 0;
	if (out.json)
		plain(key, end - n, n);
	else if (!out.hide)
		cell(key, end - n, true);
}

void out_signed(const char *key, int64_t value)
{
	char text[24], *end = text + sizeof(text) - 1;
	size_t n = format_u64(end, value < 0 ? -(uint64_t)value : (uint64_t)value);

	*end = 0;
	if (value < 0)
		*(end - ++n) = '-';
	if (out.json)
		plain(key, end - n, n);
	else if (!out.hide)
		cell(key, end - n, true);
}

void out_bool(const char *key, bool value)
{
	if (out.json)
		plain(key, value ? "true" : "false", value ? 4 : 5);
	else if (!out.hide)
		cell(key, value ? "yes" : "no", false);
}

static size_t format_ip4(char *to, const unsigned char *a)
{
	char text[4], *p = to;

	for (int i = 0; i < 4; i++) {
		size_t n = format_u64(text + 4, a[i]);

		memcpy(p, text + 4 - n, n);
		p += n;
		*p++ = '.';
	}
	*--p = 0;
	return p - to;
}

void out_address(const char *key, int family, const void *addr)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (family == AF_INET)		/* inet_ntop goes through printf */
		format_ip4(text, addr);
	else
		inet_ntop(family, addr, text, sizeof(text));
	out_text(key, text);
}

void out_ns(const char *key, uint64_t ns)
{
	static const struct { uint64_t ns, step; const char *unit, *rest; } units[] = {
		{ 86400000000000, 3600000000000, "d", "h" }, { 3600000000000, 60000000000, "h", "m" },
		{ 60000000000, 1000000000, "m", "s" }, { 1000000000, 100000000, "s", "." },
		{ 1000000, 1, "ms", NULL }, { 1000, 1, "us", NULL }, { 1, 1, "ns", NULL },
	};
	char text[48] = "0ns";

	if (out.json) {
		out_number(key, ns);
		return;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		unsigned long long whole = ns / units[i].ns, part = ns % units[i].ns / units[i].step;

		if (!whole)
			continue;
		if (!units[i].rest)
			snprintf(text, sizeof(text), "%llu%s", whole, units[i].unit);
		else if (*units[i].rest == '.')
			snprintf(text, sizeof(text), "%llu.%llu%s", whole, part, units[i].unit);
		else
			snprintf(text, sizeof(text), "%llu%s%llu%s", whole, units[i].unit, part, units[i].rest);
		break;
	}
	if (!out.hide)
		cell(key, text, true);
}

void out_strings(const char *key, const char *const *values, int n)
{
	char text[CELL_BYTES] = "";
	size_t len = 0;

	if (out.json) {
		put_key(key);
		put_char('[');
		for (int i = 0; i < n; i++) {
			if (i)
				put_char(',');
			put_string(values[i]);
		}
		put_char(']');
		return;
	}
	for (int i = 0; i < n && len < sizeof(text); i++)
		len += snprintf(text + len, sizeof(text) - len, "%s%s", i ? ", " : "", values[i]);
	if (!out.hide)
		cell(key, text, false);
}

static int write_status(void)
{
	return stream.error ? fail(EXIT_FAILED, "standard output: %s", strerror(stream.error)) : EXIT_DONE;
}

int out_flush(void)
{
	row_end();
	stream_flush();
	return write_status();
}

int out_finish(void)
{
	row_end();
	table_print(&out.facts);
	table_print(&out.table);
	if (out.json && !out.lines)
		put("}\n", 2);
	stream_flush();
	stream_free();
	return write_status();
}
