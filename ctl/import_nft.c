/* SPDX-License-Identifier: GPL-2.0-only */
/* import_nft: a file for nft, or what it lists. Structure is read here (tables, chains at hooks, variables), what stands inside is nearly our own
 * language. A table's chains become ours; what stood at a hook is led to from ingress or egress, for its family only. */
#include <stdlib.h>
#include <string.h>
#include "import_nft.h"

/* ---- names: one space for all tables */

static bool name_taken(void *context, const char *name)
{
	struct nft *n = context;

	if (!strcmp(name, "ingress") || !strcmp(name, "egress"))
		return true;
	for (int t = 0; t < n->n_tables; t++) {
		for (int i = 0; i < n->tables[t].n_chains; i++)
			if (n->tables[t].chains[i].ours && !strcmp(n->tables[t].chains[i].ours, name))
				return true;
		for (int i = 0; i < n->tables[t].n_sets; i++)
			if (n->tables[t].sets[i].ours && !strcmp(n->tables[t].sets[i].ours, name))
				return true;
	}
	return false;
}

static char *our_name(struct nft *n, const struct nft_table *t, const char *name)
{
	char *by_family = import_format("%s-%s", t->family, name), *by_table = import_format("%s-%s", t->name, name), *ours;

	ours = import_name(name_taken, n, (const char *const[]){ name, by_family, by_table, NULL });
	free(by_family);
	free(by_table);
	return ours;
}

static void name_all(struct nft *n)
{
	for (int t = 0; t < n->n_tables; t++) {
		for (int i = 0; i < n->tables[t].n_chains; i++)
			n->tables[t].chains[i].ours = our_name(n, &n->tables[t], n->tables[t].chains[i].name);
		for (int i = 0; i < n->tables[t].n_sets; i++)
			n->tables[t].sets[i].ours = our_name(n, &n->tables[t], n->tables[t].sets[i].name);
	}
}

/* ---- rules */

static const char *renamed(const struct nft_table *t, const char *name, bool set)
{
	for (int i = 0; set && i < t->n_sets; i++)
		if (!strcmp(t->sets[i].name, name))
			return t->sets[i].ours;
	for (int i = 0; !set && i < t->n_chains; i++)
		if (!strcmp(t->chains[i].name, name))
			return t->chains[i].ours;
	return name;
}

static bool one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(word, *list))
			return true;
	return false;
}

/* How many words the `log` statement at token i has. */
static int log_length(const struct tokens *t, int i)
{
	static const char *const with_value[] = { "prefix", "level", "group", "snaplen", "queue-threshold", NULL };
	static const char *const of_flags[] = { "flags", "all", "tcp", "ip", "skuid", "ether", "sequence", "options", "sequence,options", NULL };
	int n = 1;

	while (i + n < t->n) {
		if (one_of(t->v[i + n], with_value))
			n += 2;
		else if (one_of(t->v[i + n], of_flags) && (n > 1 || !strcmp(t->v[i + n], "flags")))
			n++;
		else
			break;
	}
	return i + n > t->n ? t->n - i : n;
}

/* The rule in our words: names of chains and sets, iif and oif, without log. *logs: it had one. */
static char *translated(const struct nft_table *t, const char *text, bool *logs)
{
	struct tokens tokens;
	size_t size;
	char *out;
	FILE *f = must(open_memstream(&out, &size));

	*logs = false;
	tokens_of(&tokens, text);
	for (int i = 0; i < tokens.n; i++) {
		const char *word = tokens.v[i], *before = i ? tokens.v[i - 1] : "";

		if (!strcmp(word, "log")) {
			i += log_length(&tokens, i) - 1;
			*logs = true;
			continue;
		}
		if (!strcmp(before, "jump") || !strcmp(before, "goto"))
			word = renamed(t, word, false);
		else if (!strcmp(word, "iif") || !strcmp(word, "oif"))
			word = word[0] == 'i' ? "iifname" : "oifname";
		if (word[0] == '@')
			fprintf(f, "%s@%s", ftell(f) ? " " : "", renamed(t, word + 1, true));
		else
			fprintf(f, "%s%s", ftell(f) ? " " : "", word);
	}
	fclose(f);
	tokens_free(&tokens);
	return out;
}

static void take_rule(struct nft *n, const struct nft_table *t, const struct nft_chain *c, const struct nft_rule *r)
{
	bool logs;
	char *text = translated(t, r->text, &logs);

	if (import_rule(n->im, c->ours, r->line, text, r->text)) {
		if (logs)
			import_left_out(n->im, r->line, r->text, "log is left out, the rest of the rule is kept");
	}
	free(text);
}

/* ---- hooks */

static const struct hook {
	const char *name;
	int first, order;	/* which of our chains, and when */
} hooks[] = {
	{ "ingress", CHAIN_INGRESS, 0 }, { "prerouting", CHAIN_INGRESS, 1 }, { "input", CHAIN_INGRESS, 2 },
	{ "output", CHAIN_EGRESS, 0 }, { "postrouting", CHAIN_EGRESS, 1 }, { "egress", CHAIN_EGRESS, 2 }, { 0 }
};

static const struct hook *hook_of(const struct nft_chain *c)
{
	for (const struct hook *h = hooks; h->name; h++)
		if (c->hook && !strcmp(c->hook, h->name))
			return h;
	return NULL;
}

static int family_of(const struct nft_table *t)
{
	return !strcmp(t->family, "ip") ? 4 : !strcmp(t->family, "ip6") ? 6 : !strcmp(t->family, "inet") ? IMPORT_IP :
	       !strcmp(t->family, "netdev") ? IMPORT_ALL : -1;
}

struct base {
	const struct nft_table *table;
	const struct nft_chain *chain;
	const struct hook *hook;
};

static int in_order(const void *a, const void *b)
{
	const struct base *x = a, *y = b;

	if (x->hook->order != y->hook->order)
		return x->hook->order - y->hook->order;
	return x->chain->priority != y->chain->priority ? x->chain->priority - y->chain->priority : x->chain->line - y->chain->line;
}

static const char *unfit(const struct nft_table *t, const struct nft_chain *c)
{
	if (family_of(t) < 0)
		return "only the families ip, ip6, inet and netdev are translated";
	if (c->type && !strcmp(c->type, "nat"))
		return "address translation is not translated: a service balances, nothing else rewrites addresses";
	if (c->hook && !strcmp(c->hook, "forward"))
		return "what is forwarded cannot be told from what is for this host: ingress comes before routing";
	return hook_of(c) ? NULL : "this hook has no like here";
}

static void lead_to(struct nft *n, const struct base *b)
{
	if (!import_base(n->im, b->hook->first, b->chain->ours, family_of(b->table), b->chain->device, b->chain->hook_line))
		return;
	if (strcmp(b->hook->name, chain_name[b->hook->first]))
		import_note(n->im, b->chain->hook_line, "chain %s stood at hook %s; %s sees every packet of the interface, forwarded ones too", b->chain->name,
			    b->hook->name, chain_name[b->hook->first]);
}

static void take_hooks(struct nft *n)
{
	struct base *bases = NULL;
	int n_bases = 0;

	for (int t = 0; t < n->n_tables; t++) {
		for (int i = 0; i < n->tables[t].n_chains; i++) {
			const struct nft_chain *c = &n->tables[t].chains[i];
			const char *why = c->hook_line ? unfit(&n->tables[t], c) : NULL;

			if (why)
				import_left_out(n->im, c->hook_line, c->name, "%s", why);
			if (why || !c->hook_line)
				continue;
			bases = array_room(bases, n_bases, sizeof(*bases));
			bases[n_bases++] = (struct base){ &n->tables[t], c, hook_of(c) };
		}
	}
	if (n_bases)
		qsort(bases, n_bases, sizeof(*bases), in_order);
	for (int i = 0; i < n_bases; i++)
		lead_to(n, &bases[i]);
	free(bases);
}

static void take_all(struct nft *n)
{
	for (int t = 0; t < n->n_tables; t++) {
		struct nft_table *table = &n->tables[t];

		for (int i = 0; i < table->n_chains; i++)
			import_chain(n->im, table->chains[i].ours);
		for (int i = 0; i < table->n_sets; i++) {
			bool logs;
			char *body = table->sets[i].map ? translated(table, table->sets[i].body, &logs) : must(strdup(table->sets[i].body));

			import_set(n->im, table->sets[i].line, table->sets[i].ours, table->sets[i].map, body);
			free(body);
		}
	}
	for (int t = 0; t < n->n_tables; t++) {
		for (int i = 0; i < n->tables[t].n_chains; i++) {
			const struct nft_chain *c = &n->tables[t].chains[i];

			for (int r = 0; r < c->n_rules; r++)
				take_rule(n, &n->tables[t], c, &c->rules[r]);
			if (c->drops)
				import_rule(n->im, c->ours, c->hook_line, "drop", "policy drop");
		}
	}
}

static void nft_free(struct nft *n)
{
	for (int t = 0; t < n->n_tables; t++) {
		struct nft_table *table = &n->tables[t];

		for (int i = 0; i < table->n_chains; i++) {
			struct nft_chain *c = &table->chains[i];

			for (int r = 0; r < c->n_rules; r++)
				free(c->rules[r].text);
			free(c->rules), free(c->name), free(c->ours), free(c->hook), free(c->type), free(c->device);
		}
		for (int i = 0; i < table->n_sets; i++)
			free(table->sets[i].name), free(table->sets[i].ours), free(table->sets[i].body);
		free(table->chains), free(table->sets), free(table->family), free(table->name);
	}
	free(n->tables);
	scan_free(&n->scan);
}

int import_nft(struct import *im, const char *text)
{
	struct nft n = { .im = im, .scan = { .s = text, .line = 1 } };

	nft_read(&n);
	name_all(&n);
	take_all(&n);
	take_hooks(&n);
	import_finish(im);
	nft_free(&n);
	return 0;
}
