/* SPDX-License-Identifier: GPL-2.0-only */
/* import_iptables: what iptables-save and ip6tables-save print, line by line. Only the table filter has a like here. */
#include <stdlib.h>
#include <string.h>
#include "import_iptables.h"
#include "import_scan.h"

/* Words of a line; quotes and backslashes as the shell has them. */
static char **split(const char *text, int *n)
{
	char **v = NULL;

	*n = 0;
	while (*(text += strspn(text, " \t\r"))) {
		char *word = must(malloc(strlen(text) + 1)), *end = word;
		bool quoted = false;

		for (; *text && (quoted || !strchr(" \t\r", *text)); text++) {
			if (*text == '"')
				quoted = !quoted;
			else
				*end++ = *text == '\\' && text[1] ? *++text : *text;
		}
		*end = 0;
		v = array_room(v, *n, sizeof(*v));
		v[(*n)++] = word;
	}
	return v;
}

/* v4 and v6 may stand in one file: each has its own chains. */
static char *chain_ours(const struct saved *s, const char *name)
{
	return import_format("%s%s", s->family == 6 ? "ip6-" : "", !strcmp(name, "ingress") || !strcmp(name, "egress") ? "my-" : name);
}

static void print_verdict(FILE *f, struct rule_line *r)
{
	static const struct { const char *target, *ours; } known[] = {
		{ "ACCEPT", "accept" }, { "DROP", "drop" }, { "RETURN", "return" },
	};
	static const char *const rewriting[] = { "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "CONNMARK", "TPROXY", "NFQUEUE", "NFLOG", "CT",
						 "TCPMSS", "SET", "TTL", "HL", "DSCP", "CLASSIFY", "NETMAP", "TRACE", "NOTRACK" };
	char *chain;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(r->target, known[i].target)) {
			fputs(known[i].ours, f);
			return;
		}
	for (size_t i = 0; i < sizeof(rewriting) / sizeof(*rewriting); i++)
		if (!strcmp(r->target, rewriting[i]))
			rule_left_out(r, r->target, "has no like here");
	if (!strcmp(r->target, "MARK") && r->mark) {
		fputs(r->mark, f);
		return;
	}
	if (!strcmp(r->target, "MARK"))
		rule_left_out(r, "MARK", "lacks its value");
	if (!strcmp(r->target, "REJECT")) {
		fprintf(f, r->reject ? "reject with %s" : "reject", r->reject);
		return;
	}
	if (!strcmp(r->target, "LOG")) {
		fprintf(f, r->log ? "log prefix \"%s\"" : "log", r->log);
		return;
	}
	chain = chain_ours(r->at, r->target);
	fprintf(f, "%s %s", r->is_goto ? "goto" : "jump", chain);
	free(chain);
}

static char *rule_ours(struct rule_line *r, const char *matches)
{
	size_t size;
	char *text;
	FILE *f = must(open_memstream(&text, &size));

	if (r->proto && !r->proto_said)
		fprintf(f, "meta l4proto %s%s ", r->proto_not ? "!= " : "", r->proto);
	fputs(matches, f);
	if (r->limit)
		fprintf(f, "limit rate %s%s%s%s ", r->limit, r->burst ? " burst " : "", r->burst ? r->burst : "", r->burst ? " packets" : "");
	if (r->target)
		print_verdict(f, r);
	else
		fputs("counter", f);
	if (r->comment)
		fprintf(f, " comment \"%s\"", r->comment);
	fclose(f);
	return text;
}

static void rule_line_free(struct rule_line *r)
{
	for (int i = 0; i < r->n; i++)
		free(r->words[i]);
	free(r->words), free(r->proto), free(r->target), free(r->comment), free(r->limit), free(r->burst), free(r->log), free(r->reject), free(r->mark);
}

static const char *table_lacks(const char *table)
{
	if (!strcmp(table, "filter"))
		return NULL;
	return !strcmp(table, "nat") ? "address translation is not translated: a service balances, nothing else rewrites addresses" :
	       "only the table filter is translated";
}

/* "[3:180] -A INPUT -p tcp …" */
static void take_rule(struct saved *s, const char *line)
{
	struct rule_line r = { .at = s, .raw = line };
	char *matches, *text, *chain;
	size_t size;

	if (table_lacks(s->table)) {
		import_left_out(s->im, s->line, line, "%s", table_lacks(s->table));
		return;
	}
	r.words = split(line[0] == '[' ? line + strcspn(line, "]") + (strchr(line, ']') != NULL) : line, &r.n);
	r.out = must(open_memstream(&matches, &size));
	r.i = 2;
	if (r.n < 2)
		rule_left_out(&r, "-A", "lacks a chain");
	options_take(&r);
	fclose(r.out);
	text = rule_ours(&r, matches);
	chain = r.n > 1 ? chain_ours(s, r.words[1]) : NULL;
	if (!r.wrong)
		import_rule(s->im, chain, s->line, text, line);
	free(text), free(chain), free(matches);
	rule_line_free(&r);
}

struct policy { char *chain; int family, line, first; bool drops, forward; };

struct policies { struct policy *v; int n; };

/* ":INPUT DROP [0:0]" */
static void take_chain(struct saved *s, const char *line, struct policies *p)
{
	char name[64], policy[16] = "", *ours;
	bool builtin;

	if (!word_of(line + 1, 0, name, sizeof(name)))
		return;
	word_of(line + 1, 1, policy, sizeof(policy));
	builtin = strcmp(policy, "-") != 0;
	if (table_lacks(s->table)) {
		if (!strcmp(policy, "DROP"))
			import_left_out(s->im, s->line, line, "%s", table_lacks(s->table));
		return;
	}
	ours = chain_ours(s, name);
	import_chain(s->im, ours);
	if (!builtin) {
		free(ours);
		return;
	}
	p->v = array_room(p->v, p->n, sizeof(*p->v));
	p->v[p->n++] = (struct policy){ ours, s->family, s->line, strcmp(name, "OUTPUT") ? CHAIN_INGRESS : CHAIN_EGRESS, !strcmp(policy, "DROP"),
					!strcmp(name, "FORWARD") };
}

static void lead_to(struct import *im, const struct policy *p)
{
	const struct chain *k = config_chain(&im->config, import_chain(im, p->chain));

	if (p->drops)
		import_rule(im, p->chain, p->line, "drop", "policy DROP");
	if (p->forward && k->n_rules)
		import_left_out(im, p->line, p->chain, "what is forwarded cannot be told from what is for this host: ingress comes before routing");
	k = config_chain(&im->config, import_chain(im, p->chain));
	if (p->forward || !k->n_rules)
		return;
	if (import_base(im, p->first, p->chain, p->family, NULL, p->line))
		import_note(im, p->line, "chain %s is led to from %s, which sees every packet of the interface, forwarded ones too", p->chain,
			    chain_name[p->first]);
}

static void take_line(struct saved *s, const char *line, struct policies *p)
{
	if (line[0] == '#') {
		if (strstr(line, "ip6tables-save"))
			s->family = 6;
		else if (strstr(line, " iptables-save"))
			s->family = 4;
	} else if (line[0] == '*') {
		snprintf(s->table, sizeof(s->table), "%.*s", (int)strcspn(line + 1, " \r"), line + 1);
	} else if (line[0] == ':') {
		take_chain(s, line, p);
	} else if (!strncmp(line, "-A ", 3) || line[0] == '[') {
		take_rule(s, line);
	} else if (strncmp(line, "COMMIT", 6) && line[strspn(line, " \t\r")]) {
		import_left_out(s->im, s->line, line, "this is no line of iptables-save");
	}
}

int import_iptables(struct import *im, const char *text, bool ipv6)
{
	struct saved s = { .im = im, .family = ipv6 ? 6 : 4, .table = "filter" };
	struct policies p = { 0 };
	char *copy = must(strdup(text)), *rest = copy, *line;

	while ((line = strsep(&rest, "\n"))) {
		s.line++;
		if (*line)
			take_line(&s, line, &p);
	}
	for (int i = 0; i < p.n; i++)
		lead_to(im, &p.v[i]);
	import_finish(im);
	for (int i = 0; i < p.n; i++)
		free(p.v[i].chain);
	free(p.v);
	free(copy);
	return 0;
}
