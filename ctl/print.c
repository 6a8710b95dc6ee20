/* SPDX-License-Identifier: GPL-2.0-only */
/* print: the model as canonical text. An interval is written as a prefix where it is exactly one, as a value, or as a range;
 * short runs of values that have names are written by name. */
#include <arpa/inet.h>
#include <stdlib.h>
#include "reject.h"
#include "value.h"

enum { NAMED_MOST = 8, LINE_ELEMENTS = 4 };

/* How many items a span is written as: a run of names, single values, or one. */
static u128 items_of(enum config_type type, const struct span *s, bool singles)
{
	u128 n = s->hi - s->lo + 1;

	if (singles || type == TYPE_TCP_FLAG)
		return n;
	for (u128 v = s->lo; n && n <= NAMED_MOST && v <= s->hi; v++)
		if (!value_name(type, v))
			return 1;
	return n && n <= NAMED_MOST && value_name(type, s->lo) ? n : 1;
}

static int prefix_length(enum config_type type, const struct span *s)
{
	u128 host = s->lo ^ s->hi;
	int bits = config_type_bits[type];

	if (!value_is_address(type) || (host & (host + 1)) || (s->lo & host))
		return -1;
	for (; host; host >>= 1)
		bits--;
	return bits;
}

/* Flags as nft writes them: 0x0, syn, and several joined by `join`. */
static void flags_print(FILE *f, unsigned int v, const char *join)
{
	const char *sep = "";

	if (!v)
		fputs("0x0", f);
	for (unsigned int bit = 1; bit < 256; bit <<= 1) {
		if (!(v & bit))
			continue;
		fprintf(f, "%s%s", sep, value_name(TYPE_TCP_FLAG, bit));
		sep = join;
	}
}

static void number_or_name(FILE *f, enum config_type type, u128 v)
{
	if (type == TYPE_TCP_FLAG)
		flags_print(f, v, " | ");
	else
		value_print(f, type, v);
}

/* Ends of a range as numbers: names hold dashes themselves. */
static void range_print(FILE *f, enum config_type type, const struct span *s)
{
	if (value_is_address(type)) {
		value_print(f, type, s->lo);
		fputc('-', f);
		value_print(f, type, s->hi);
	} else {
		const char *fmt = type == TYPE_ETHER_TYPE ? "0x%04llx-0x%04llx" : type == TYPE_MARK || type == TYPE_RAW ? "0x%llx-0x%llx" :
				  "%llu-%llu";

		fprintf(f, fmt, (unsigned long long)s->lo, (unsigned long long)s->hi);
	}
}

static void span_print(FILE *f, enum config_type type, const struct span *s, bool singles, const char *separator)
{
	int length;

	if (s->lo == s->hi) {
		number_or_name(f, type, s->lo);
		return;
	}
	if (items_of(type, s, singles) > 1) {
		for (u128 v = s->lo; ; v++) {
			number_or_name(f, type, v);
			if (v == s->hi)
				return;
			fputs(separator, f);
		}
	}
	if (type == TYPE_IFNAME) {
		value_print_wildcard(f, s);
		return;
	}
	length = prefix_length(type, s);
	if (length < 0) {
		range_print(f, type, s);
		return;
	}
	value_print(f, type, s->lo);
	fprintf(f, "/%d", length);
}

static void spans_join(FILE *f, enum config_type type, const struct spans *s, bool singles, const char *separator)
{
	for (int i = 0; i < s->n; i++) {
		if (i)
			fputs(separator, f);
		span_print(f, type, &s->v[i], singles, separator);
	}
}

void spans_print(FILE *f, enum config_type type, const struct spans *s, bool braces)
{
	fputs(braces ? "{ " : "", f);
	spans_join(f, type, s, false, ", ");
	fputs(braces ? " }" : "", f);
}

void verdict_print(FILE *f, enum rule_verdict verdict, const char *target)
{
	static const char *const word[] = { "continue", "accept", "drop", "jump ", "goto ", "return", "" };

	fprintf(f, "%s%s", word[verdict], target ? target : "");
}

/* A part is one value, prefix or range, never a list. */
static void part_print(FILE *f, enum config_type type, const struct span *s)
{
	int length = s->lo == s->hi ? -1 : prefix_length(type, s);

	if (s->lo == s->hi)
		number_or_name(f, type, s->lo);
	else if (type == TYPE_IFNAME)
		value_print_wildcard(f, s);
	else if (length < 0)
		range_print(f, type, s);
	else
		value_print(f, type, s->lo), fprintf(f, "/%d", length);
}

void time_print(FILE *f, uint64_t ms)
{
	static const struct { const char *name; uint64_t ms; } units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); ms %= units[i++].ms)
		if (ms >= units[i].ms)
			fprintf(f, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].name);
}

static void notes_print(FILE *f, const struct value_tuple *t)
{
	if (t->timeout_ms) {
		fputs(" timeout ", f);
		time_print(f, t->timeout_ms);
	}
	if (t->expires_ms) {
		fputs(" expires ", f);
		time_print(f, t->expires_ms);
	}
	if (t->packets || t->bytes)
		fprintf(f, " counter packets %llu bytes %llu", (unsigned long long)t->packets, (unsigned long long)t->bytes);
	if (t->comment)
		fprintf(f, " comment \"%s\"", t->comment);
}

static void tuples_print(FILE *f, const struct value_tuples *t, const enum config_type *types, int n, bool verdicts, const char *separator)
{
	for (int i = 0; i < t->n; i++) {
		for (int j = 0; j < n; j++) {
			fputs(j ? " . " : i ? separator : "", f);
			part_print(f, types[j], &t->v[i].part[j]);
		}
		notes_print(f, &t->v[i]);
		if (!verdicts)
			continue;
		fputs(" : ", f);
		verdict_print(f, t->v[i].verdict, t->v[i].target);
	}
}

void set_elements_print(FILE *f, const struct set *s, const char *separator)
{
	if (set_is_tupled(s))
		tuples_print(f, &s->tuples, s->types, s->n_types, s->map, separator);
	else
		spans_join(f, s->type, &s->elements, !s->interval, separator);
}

void set_type_print(FILE *f, const struct set *s)
{
	for (int i = 0; i < s->n_types; i++)
		fprintf(f, "%s%s", i ? " . " : "", config_type_text[s->types[i]]);
	fputs(s->map ? " : verdict" : "", f);
}

void address_print(FILE *f, const struct address *a)
{
	char text[INET6_ADDRSTRLEN];

	fputs(inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->bytes, text, sizeof(text)), f);
}

void backend_print(FILE *f, const struct backend *b)
{
	address_print(f, &b->addr);
	if (b->weight != 1)
		fprintf(f, " weight %u", b->weight);
}

void listen_print(FILE *f, const struct listen *l)
{
	fputs(l->addr.family == 6 ? "[" : "", f);
	address_print(f, &l->addr);
	fprintf(f, "%s:%u/%s", l->addr.family == 6 ? "]" : "", l->port, l->proto == 6 ? "tcp" : "udp");
}

static void mask_print(FILE *f, enum config_type type, u128 v)
{
	if (value_is_address(type))
		value_print(f, type, v);
	else
		fprintf(f, "0x%llx", (unsigned long long)v);
}

static void masked_print(FILE *f, const struct match *m)
{
	enum config_type type = config_key_type[m->key];

	if (type != TYPE_TCP_FLAG) {
		fputs("& ", f);
		mask_print(f, type, m->mask);
		fputs(m->negate ? " != " : " == ", f);
		mask_print(f, type, m->value);
		return;
	}
	if (!m->value) {
		fputs(m->negate ? "" : "! ", f);
		flags_print(f, m->mask, ",");
		return;
	}
	fputs(m->negate ? "!= " : "", f);
	flags_print(f, m->value, ",");
	fputs(" / ", f);
	flags_print(f, m->mask, ",");
}

static void values_print(FILE *f, const struct match *m)
{
	enum config_type type = config_key_type[m->key];
	bool one = m->spans.n == 1 && items_of(type, m->spans.v, false) == 1;

	if (m->negate)
		fputs("!= ", f);
	else if (one && type == TYPE_TCP_FLAG)
		fputs("== ", f);
	if (m->set)
		fprintf(f, "@%s", m->set);
	else if (one && type == TYPE_TCP_FLAG)
		flags_print(f, m->spans.v->lo, ",");
	else
		spans_print(f, type, &m->spans, !one);
}

static void keys_print(FILE *f, const struct match *m)
{
	if (m->key == KEY_RAW)
		raw_print(f, &m->raw);
	for (int i = 0; i < m->n_keys && m->key != KEY_RAW; i++)
		fprintf(f, "%s%s", i ? " . " : "", config_key_text[m->keys[i]]);
	fputc(' ', f);
}

static void elements_print(FILE *f, const struct match *m, bool verdicts)
{
	enum config_type types[KEYS_MOST];

	for (int i = 0; i < m->n_keys; i++)
		types[i] = config_key_type[m->keys[i]];
	if (m->set) {
		fprintf(f, "@%s", m->set);
		return;
	}
	fputs("{ ", f);
	tuples_print(f, &m->tuples, types, m->n_keys, verdicts, ", ");
	fputs(" }", f);
}

static void match_print(FILE *f, const struct match *m)
{
	keys_print(f, m);
	if (m->masked) {
		masked_print(f, m);
	} else if (m->n_keys > 1) {
		fputs(m->negate ? "!= " : "", f);
		elements_print(f, m, false);
	} else {
		values_print(f, m);
	}
}

static void decision_print(FILE *f, const struct rule *r)
{
	if (r->verdict == RULE_REJECT) {
		reject_print(f, r->reject);
		return;
	}
	if (!r->vmap) {
		verdict_print(f, r->verdict, r->target);
		return;
	}
	keys_print(f, r->vmap);
	fputs("vmap ", f);
	elements_print(f, r->vmap, true);
}

static void amount_print(FILE *f, uint64_t n, bool bytes, const char *packets)
{
	int k = !bytes ? 0 : n % (1 << 20) == 0 ? 2 : n % (1 << 10) == 0 ? 1 : 0;
	static const char *const units[] = { " bytes", " kbytes", " mbytes" };

	fprintf(f, "%llu%s", (unsigned long long)n >> (10 * k), bytes ? units[k] : packets);
}

static void limit_print(FILE *f, const struct limit *l)
{
	fprintf(f, "limit rate %s", l->over ? "over " : "");
	amount_print(f, l->rate, l->bytes, "");
	for (const struct limit_period *t = limit_periods; t->name; t++)
		if (t->seconds == l->per)
			fprintf(f, "/%s", t->name);
	if (l->burst) {
		fputs(" burst ", f);
		amount_print(f, l->burst, l->bytes, " packets");
	}
	for (int i = 0; i < l->n_keys; i++) {
		fprintf(f, "%s%s", i ? " . " : " per ", config_key_text[l->keys[i]]);
		if (l->length[i] < config_type_bits[config_key_type[l->keys[i]]])
			fprintf(f, "/%u", l->length[i]);
	}
}

static void update_print(FILE *f, const struct update *u)
{
	fprintf(f, "%s @%s { ", u->how == UPDATE_ADD ? "add" : "update", u->set);
	for (int i = 0; i < u->n_keys; i++)
		fprintf(f, "%s%s", i ? " . " : "", config_key_text[u->keys[i]]);
	if (u->timeout_ms) {
		fputs(" timeout ", f);
		time_print(f, u->timeout_ms);
	}
	fputs(" }", f);
}

void rule_print(FILE *f, const struct rule *r)
{
	const char *sep = "";

	for (int i = 0; i < r->n_matches; i++, sep = " ") {
		fputs(sep, f);
		match_print(f, &r->matches[i]);
	}
	if (r->limit.rate) {
		fputs(sep, f);
		limit_print(f, &r->limit);
		sep = " ";
	}
	if (r->update.how) {
		fputs(sep, f);
		update_print(f, &r->update);
		sep = " ";
	}
	if (r->counter) {
		fprintf(f, "%scounter", sep);
		sep = " ";
	}
	if (r->log) {
		fprintf(f, r->log_prefix ? "%slog prefix \"%s\"" : "%slog", sep, r->log_prefix);
		sep = " ";
	}
	if (r->mark.set) {
		fputs(sep, f);
		mark_print(f, &r->mark);
		sep = " ";
	}
	if (r->verdict != RULE_CONTINUE) {
		fputs(sep, f);
		decision_print(f, r);
	}
	if (r->comment)
		fprintf(f, " comment \"%s\"", r->comment);
}

char *rule_text(const struct rule *r)
{
	size_t size;
	char *text;
	FILE *f = must(open_memstream(&text, &size));

	rule_print(f, r);
	fclose(f);
	return text;
}

void flags_of_set_print(FILE *f, const struct set *s, const char *before, const char *behind)
{
	const struct { bool on; const char *name; } flags[] = {
		{ s->constant, "constant" }, { s->interval, "interval" }, { s->dynamic, "dynamic" }, { s->timed, "timeout" },
	};
	bool any = false;

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (!flags[i].on)
			continue;
		fprintf(f, "%s%s", any ? ", " : before, any ? "" : "flags ");
		fputs(flags[i].name, f);
		any = true;
	}
	fputs(any ? behind : "", f);
	if (s->timeout_ms) {
		fprintf(f, "%stimeout ", before);
		time_print(f, s->timeout_ms);
		fputs(behind, f);
	}
	if (s->size)
		fprintf(f, "%ssize %u%s", before, s->size, behind);
	if (s->counter)
		fprintf(f, "%scounter%s", before, behind);
}

static void set_print(FILE *f, const struct set *s)
{
	u128 n = 0;
	bool wrap;

	fprintf(f, "%s %s {\n    type ", s->map ? "map" : "set", s->name);
	set_type_print(f, s);
	fputc('\n', f);
	flags_of_set_print(f, s, "    ", "\n");
	if (s->comment)
		fprintf(f, "    comment \"%s\"\n", s->comment);
	for (int i = 0; i < s->elements.n && n <= LINE_ELEMENTS; i++)
		n += items_of(s->type, &s->elements.v[i], !s->interval);
	n = s->slot ? 0 : set_is_tupled(s) ? (u128)s->tuples.n : n;
	wrap = n > LINE_ELEMENTS;
	if (n) {
		fputs(wrap ? "    elements = {\n        " : "    elements = { ", f);
		set_elements_print(f, s, wrap ? ",\n        " : ", ");
		fputs(wrap ? "\n    }\n" : " }\n", f);
	}
	fputs("}\n", f);
}

static void chain_print(FILE *f, const struct chain *c, const char *name)
{
	fprintf(f, "chain %s {\n", name);
	if (!c->name)
		fprintf(f, "    policy %s\n%s", c->policy_drop ? "drop" : "accept", c->audit ? "    audit\n" : "");
	for (int i = 0; i < c->n_rules; i++) {
		fputs("    ", f);
		rule_print(f, &c->rules[i]);
		fputc('\n', f);
	}
	fputs("}\n", f);
}

static void service_print(FILE *f, const struct service *s)
{
	fprintf(f, "service %s {\n", s->name);
	for (int i = 0; i < s->n_listens; i++) {
		fputs("    listen ", f);
		listen_print(f, &s->listens[i]);
		fputc('\n', f);
	}
	fprintf(f, "    forward %s\n", forward_name[s->forward]);
	for (int i = 0; i < s->n_backends; i++) {
		fputs("    backend ", f);
		backend_print(f, &s->backends[i]);
		fputc('\n', f);
	}
	fputs("}\n", f);
}

void config_print(FILE *f, const struct config *c)
{
	for (int i = 0; i < c->n_interfaces; i++)
		fprintf(f, "interface %s\n", c->interfaces[i].name);
	for (int i = 0; i < c->n_sets; i++)
		set_print(f, &c->sets[i]);
	for (int i = 0; i < config_n_chains(c); i++)
		if (config_chain(c, i)->present)
			chain_print(f, config_chain(c, i), config_chain_name(c, i));
	for (int i = 0; i < c->n_services; i++)
		service_print(f, &c->services[i]);
}
