/* SPDX-License-Identifier: GPL-2.0-only */
/* diff: two configurations object by object. Rules are compared by their text: each is paired with the equally-manyeth equal
 * one of the other side, and the longest run of pairs in the same order stays, so the cost is that of sorting. */
#include <stdlib.h>
#include <string.h>
#include "diff.h"

struct line {
	char *text;
	int index;		/* its place in the list */
	int pair;		/* index in the other list, or -1 */
};

struct lines {
	struct line *v;
	int n;
};

struct listing {
	FILE *f;
	const char *object, *name;	/* whose heading comes before the first difference */
	bool headed;
	int differences;
};

static void put(struct listing *l, char sign, const char *indent, const char *text)
{
	if (!l->headed && l->object)
		fprintf(l->f, " %s %s\n", l->object, l->name);
	l->headed = true;
	l->differences++;
	fprintf(l->f, "%c%s%s\n", sign, indent, text);
}

static void listing_for(struct listing *l, const char *object, const char *name)
{
	l->object = object;
	l->name = name;
	l->headed = false;
}

static void lines_add(struct lines *l, char *text)
{
	l->v = array_room(l->v, l->n, sizeof(*l->v));
	l->v[l->n] = (struct line){ text, l->n, -1 };
	l->n++;
}

static void lines_free(struct lines *l)
{
	for (int i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
}

static int by_text(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int d = strcmp(x->text, y->text);

	return d ? d : x->index - y->index;
}

static int by_index(const void *a, const void *b)
{
	return ((const struct line *)a)->index - ((const struct line *)b)->index;
}

static void sort(struct lines *l, int (*order)(const void *, const void *))
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), order);
}

/* Leaves both lists sorted by text, which is also the order to print where order means nothing. */
static void lines_pair(struct lines *a, struct lines *b)
{
	int i = 0, j = 0;

	sort(a, by_text);
	sort(b, by_text);
	while (i < a->n && j < b->n) {
		int d = strcmp(a->v[i].text, b->v[j].text);

		if (!d) {
			a->v[i].pair = b->v[j].index;
			b->v[j].pair = a->v[i].index;
		}
		i += d <= 0;
		j += d >= 0;
	}
}

/* Of the pairs keep the longest run that is in order on both sides (patience sorting); the others are unpaired. Both lists by
 * index. */
static void lines_keep_order(struct lines *a, struct lines *b)
{
	int *tail = must(calloc(a->n + 1, sizeof(*tail))), *before = must(calloc(a->n + 1, sizeof(*before))), n = 0, at;

	for (int i = 0; i < a->n; i++) {
		int lo = 0, hi = n;

		if (a->v[i].pair < 0)
			continue;
		while (lo < hi) {
			int mid = (lo + hi) / 2;

			if (a->v[tail[mid]].pair < a->v[i].pair)
				lo = mid + 1;
			else
				hi = mid;
		}
		before[i] = lo ? tail[lo - 1] : -1;
		tail[lo] = i;
		n += lo == n;
	}
	at = n ? tail[n - 1] : -1;
	for (int i = a->n - 1; i >= 0; i--) {
		if (i == at) {
			at = before[i];
		} else if (a->v[i].pair >= 0) {
			b->v[a->v[i].pair].pair = -1;
			a->v[i].pair = -1;
		}
	}
	free(tail);
	free(before);
}

static void ordered(struct listing *l, struct lines *a, struct lines *b)
{
	int i = 0, j = 0;

	lines_pair(a, b);
	sort(a, by_index);
	sort(b, by_index);
	lines_keep_order(a, b);
	while (i < a->n || j < b->n) {
		if (i < a->n && a->v[i].pair < 0)
			put(l, '-', "    ", a->v[i++].text);
		else if (j < b->n && b->v[j].pair < 0)
			put(l, '+', "    ", b->v[j++].text);
		else
			i++, j++;
	}
	lines_free(a);
	lines_free(b);
}

static void unordered(struct listing *l, struct lines *a, struct lines *b, const char *indent)
{
	lines_pair(a, b);
	for (int i = 0; i < a->n; i++)
		if (a->v[i].pair < 0)
			put(l, '-', indent, a->v[i].text);
	for (int j = 0; j < b->n; j++)
		if (b->v[j].pair < 0)
			put(l, '+', indent, b->v[j].text);
	lines_free(a);
	lines_free(b);
}

#define PRINTED(lines, ...) do { \
	size_t size_; \
	char *text_; \
	FILE *f = must(open_memstream(&text_, &size_)); \
	__VA_ARGS__; \
	fclose(f); \
	lines_add(lines, text_); \
} while (0)

static void diff_interfaces(struct listing *l, const struct config *old, const struct config *new)
{
	struct lines a = { 0 }, b = { 0 };

	for (int i = 0; i < old->n_interfaces; i++)
		PRINTED(&a, fprintf(f, "interface %s", old->interfaces[i].name));
	for (int i = 0; i < new->n_interfaces; i++)
		PRINTED(&b, fprintf(f, "interface %s", new->interfaces[i].name));
	listing_for(l, NULL, NULL);
	unordered(l, &a, &b, "");
}

static void chain_lines(struct lines *l, const struct chain *c)
{
	if (c->present)
		PRINTED(l, fputs(c->name ? "" : c->policy_drop ? "policy drop" : "policy accept", f));
	if (c->audit)
		PRINTED(l, fputs("audit", f));
	for (int i = 0; i < c->n_rules; i++)
		lines_add(l, rule_text(&c->rules[i]));
}

static void diff_chain(struct listing *l, const struct chain *old, const struct chain *new, const char *name)
{
	struct lines a = { 0 }, b = { 0 };

	if (old)
		chain_lines(&a, old);
	if (new)
		chain_lines(&b, new);
	listing_for(l, "chain", name);
	ordered(l, &a, &b);
}

static void diff_user_chain(struct listing *l, const void *old, const void *new)
{
	const struct chain *x = old, *y = new;

	diff_chain(l, x, y, x ? x->name : y->name);
}

static void service_lines(struct lines *l, const struct service *s)
{
	if (!s)
		return;
	PRINTED(l, fprintf(f, "forward %s", forward_name[s->forward]));
	for (int i = 0; i < s->n_listens; i++)
		PRINTED(l, fputs("listen ", f); listen_print(f, &s->listens[i]));
	for (int i = 0; i < s->n_backends; i++)
		PRINTED(l, fputs("backend ", f); backend_print(f, &s->backends[i]));
}

static void diff_service(struct listing *l, const void *old, const void *new)
{
	const struct service *x = old, *y = new;
	struct lines a = { 0 }, b = { 0 };

	service_lines(&a, x);
	service_lines(&b, y);
	listing_for(l, "service", x ? x->name : y->name);
	unordered(l, &a, &b, "    ");
}

/* One line each; text is taken over. */
static void text_lines(struct lines *l, char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")) && *line)
		lines_add(l, must(strdup(line)));
	free(text);
}

static char *flags_text(const struct set *s)
{
	size_t size;
	char *text;
	FILE *f = must(open_memstream(&text, &size));

	flags_of_set_print(f, s, "", "\n");
	fclose(f);
	return text;
}

static void set_lines(struct lines *l, const struct set *s)
{
	if (!s)
		return;
	PRINTED(l, fputs("type ", f); set_type_print(f, s));
	text_lines(l, flags_text(s));
	if (s->comment)
		PRINTED(l, fprintf(f, "comment \"%s\"", s->comment));
}

/* One line an element: the elements print with newlines between them, which no element holds. */
static void put_elements(struct listing *l, char sign, const struct set *s, const struct spans *spans)
{
	struct set part = { .type = s->type, .interval = s->interval, .elements = *spans };
	size_t size;
	char *text, *line, *rest;
	FILE *f = must(open_memstream(&text, &size));

	set_elements_print(f, &part, "\n");
	fclose(f);
	rest = text;
	while ((line = strsep(&rest, "\n")) && *line)
		put(l, sign, "    ", line);
	free(text);
}

static bool same_type(const struct set *a, const struct set *b)
{
	return a->map == b->map && a->n_types == b->n_types && !memcmp(a->types, b->types, a->n_types * sizeof(a->types[0]));
}

/* Elements line by line: what both sides have is not said. */
static void element_lines(struct lines *l, const struct set *s)
{
	struct set still;
	size_t size;
	char *text;
	FILE *f;

	if (!s)
		return;
	still = *s;
	still.tuples.v = must(malloc((s->tuples.n + 1) * sizeof(*s->tuples.v)));
	for (int i = 0; i < s->tuples.n; i++) {		/* without what changes from moment to moment */
		still.tuples.v[i] = s->tuples.v[i];
		still.tuples.v[i].expires_ms = still.tuples.v[i].packets = still.tuples.v[i].bytes = 0;
	}
	f = must(open_memstream(&text, &size));
	set_elements_print(f, &still, "\n");
	fclose(f);
	free(still.tuples.v);
	text_lines(l, text);
}

static void diff_tuples(struct listing *l, const struct set *old, const struct set *new)
{
	struct lines a = { 0 }, b = { 0 };

	element_lines(&a, old);
	element_lines(&b, new);
	unordered(l, &a, &b, "    ");
}

static void diff_set(struct listing *l, const void *old, const void *new)
{
	static const struct spans none;
	const struct set *x = old, *y = new;
	bool comparable = x && y && same_type(x, y);
	struct lines a = { 0 }, b = { 0 };
	struct spans left, come;

	set_lines(&a, x);
	set_lines(&b, y);
	listing_for(l, "set", x ? x->name : y->name);
	unordered(l, &a, &b, "    ");
	if ((x && set_is_tupled(x)) || (y && set_is_tupled(y))) {
		diff_tuples(l, x, y);
		return;
	}
	spans_subtract(&left, x ? &x->elements : &none, comparable ? &y->elements : &none);
	spans_subtract(&come, y ? &y->elements : &none, comparable ? &x->elements : &none);
	if (x)
		put_elements(l, '-', x, &left);
	if (y)
		put_elements(l, '+', y, &come);
	spans_free(&left);
	spans_free(&come);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(**(char *const *const *)a, **(char *const *const *)b);
}

/* Objects that begin with their name, of both sides, merged by name: what only one side has meets NULL. */
static void diff_named(struct listing *l, const void *old, int n_old, const void *new, int n_new, size_t size,
		       void (*diff)(struct listing *, const void *, const void *))
{
	const void **a = must(calloc(n_old + 1, sizeof(*a))), **b = must(calloc(n_new + 1, sizeof(*b)));
	int i = 0, j = 0;

	for (int k = 0; k < n_old; k++)
		a[k] = (const char *)old + k * size;
	for (int k = 0; k < n_new; k++)
		b[k] = (const char *)new + k * size;
	qsort(a, n_old, sizeof(*a), by_name);
	qsort(b, n_new, sizeof(*b), by_name);
	while (i < n_old || j < n_new) {
		int d = i == n_old ? 1 : j == n_new ? -1 : by_name(&a[i], &b[j]);

		diff(l, d <= 0 ? a[i] : NULL, d >= 0 ? b[j] : NULL);
		i += d <= 0;
		j += d >= 0;
	}
	free(a);
	free(b);
}

int config_diff(FILE *f, const struct config *old, const struct config *new)
{
	struct listing l = { .f = f };

	diff_interfaces(&l, old, new);
	diff_named(&l, old->sets, old->n_sets, new->sets, new->n_sets, sizeof(struct set), diff_set);
	for (int i = 0; i < CHAIN_COUNT; i++)
		diff_chain(&l, &old->chains[i], &new->chains[i], chain_name[i]);
	diff_named(&l, old->user, old->n_user, new->user, new->n_user, sizeof(struct chain), diff_user_chain);
	diff_named(&l, old->services, old->n_services, new->services, new->n_services, sizeof(struct service), diff_service);
	return l.differences;
}
