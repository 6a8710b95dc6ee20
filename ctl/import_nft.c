/* SPDX-License-Identifier: GPL-2.0-only */
/* import_nft: a file for nft, or what it lists. Structure is read here (tables, chains at hooks, variables), what stands inside is nearly our own
 * language. A table's chains become ours; what stood at a hook is led to from ingress or egress, for its family only. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "import.h"
#include "import_scan.h"

struct nft_rule { char *text; int line; };

struct nft_chain {
	char *name, *ours, *hook, *type, *device;
	int line, priority, hook_line;
	bool drops;		/* its policy */
	struct nft_rule *rules;
	int n_rules;
};

struct nft_set { char *name, *ours, *body; bool map; int line; };

struct nft_table {
	char *family, *name;
	struct nft_chain *chains;
	struct nft_set *sets;
	int n_chains, n_sets;
};

struct nft {
	struct import *im;
	struct scan scan;
	struct nft_table *tables;
	int n_tables;
};

/* ---- reading */

static char *copy_word(const char *text, int n)
{
	char buf[128];

	return word_of(text, n, buf, sizeof(buf)) ? must(strdup(buf)) : must(strdup(""));
}

/* A block that has no place here: each of its lines is left out. */
static void skip_block(struct nft *n, const struct piece *head)
{
	struct piece p;
	int depth = 1;

	import_left_out(n->im, head->line, head->text, "%s", "there is nothing like it here");
	while (depth && scan_next(&n->scan, &p, true)) {
		depth += p.end == PIECE_OPEN ? 1 : p.end == PIECE_CLOSE ? -1 : 0;
		if (p.text[0])
			import_left_out(n->im, p.line, p.text, "it belongs to %s", head->text);
		free(p.text);
	}
}

static int priority_of(const char *text)
{
	static const struct { const char *name; int value; } names[] = {
		{ "raw", -300 }, { "mangle", -150 }, { "dstnat", -100 }, { "filter", 0 }, { "security", 50 }, { "srcnat", 100 }, { "out", 100 },
	};
	const char *sign = strpbrk(text, "+-");
	int value = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(text, names[i].name, strlen(names[i].name)))
			value = names[i].value;
	if (isdigit((unsigned char)text[0]))
		return atoi(text);
	if (sign)
		value += *sign == '-' ? -atoi(sign + 1 + strspn(sign + 1, " ")) : atoi(sign + 1 + strspn(sign + 1, " "));
	return value;
}

/* "type filter hook input device eth0 priority filter - 5" */
static void read_hook(struct nft *n, struct nft_chain *c, const struct piece *p)
{
	char word[64];
	const char *priority = strstr(p->text, "priority ");

	if (c->hook_line) {
		import_left_out(n->im, p->line, p->text, "chain %s has a hook already", c->name);
		return;
	}
	c->hook_line = p->line;
	c->priority = priority ? priority_of(priority + 9) : 0;
	for (int i = 0; word_of(p->text, i, word, sizeof(word)); i++) {
		if (!strcmp(word, "type") && !c->type)
			c->type = copy_word(p->text, i + 1);
		else if (!strcmp(word, "hook") && !c->hook)
			c->hook = copy_word(p->text, i + 1);
		else if (!strcmp(word, "device") && !c->device)
			c->device = copy_word(p->text, i + 1);
		else if (!strcmp(word, "devices"))
			import_left_out(n->im, p->line, p->text, "name one device, or none for every interface");
	}
}

static void read_chain(struct nft *n, struct nft_table *t, const struct piece *head)
{
	struct nft_chain *c;
	struct piece p;
	bool open = true;

	t->chains = array_room(t->chains, t->n_chains, sizeof(*t->chains));
	c = &t->chains[t->n_chains++];
	*c = (struct nft_chain){ .name = copy_word(head->text, 1), .line = head->line };
	while (open && scan_next(&n->scan, &p, false)) {
		open = p.end != PIECE_CLOSE;
		if (begins(p.text, "type ")) {
			read_hook(n, c, &p);
		} else if (begins(p.text, "policy ")) {
			c->drops = begins(p.text, "policy drop");
		} else if (begins(p.text, "comment ") || begins(p.text, "flags offload")) {
			import_note(n->im, p.line, "chain %s: %s is left out", c->name, p.text);
		} else if (p.text[0]) {
			c->rules = array_room(c->rules, c->n_rules, sizeof(*c->rules));
			c->rules[c->n_rules++] = (struct nft_rule){ p.text, p.line };
			p.text = NULL;
		}
		free(p.text);
	}
}

/* "typeof ip saddr . tcp dport [: verdict]" as our types. NULL when a key has none. */
static char *types_of(const char *text)
{
	char *types = must(strdup("type")), *keys = must(strdup(text)), *save, *part;
	const char *verdict = strchr(text, ':') ? " : verdict" : "";

	keys[strcspn(keys, ":")] = 0;
	for (part = strtok_r(keys, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
		const char *name = NULL;
		char *longer;

		part += strspn(part, " ");
		for (int i = strlen(part); i && part[i - 1] == ' '; i--)
			part[i - 1] = 0;
		for (int k = 0; k < KEY_COUNT; k++)
			if (!strcmp(config_key_text[k], part))
				name = config_type_text[config_key_type[k]];
		longer = name ? import_format("%s%s%s", types, strcmp(types, "type") ? " . " : " ", name) : NULL;
		free(types);
		types = longer;
		if (!types)
			break;
	}
	part = types ? import_format("%s%s", types, verdict) : NULL;
	free(types);
	free(keys);
	return part;
}

static void read_set(struct nft *n, struct nft_table *t, const struct piece *head)
{
	struct nft_set *s;
	char *body = must(strdup("")), *types, *longer;
	struct piece p;
	bool open = true;

	t->sets = array_room(t->sets, t->n_sets, sizeof(*t->sets));
	s = &t->sets[t->n_sets++];
	*s = (struct nft_set){ .name = copy_word(head->text, 1), .map = begins(head->text, "map "), .line = head->line };
	while (open && scan_next(&n->scan, &p, false)) {
		open = p.end != PIECE_CLOSE;
		types = begins(p.text, "typeof ") ? types_of(p.text + 7) : NULL;
		/* they say how nft keeps the set, not what is in it */
		if (!begins(p.text, "size ") && strcmp(p.text, "auto-merge")) {
			longer = import_format("%s%s%s", body, *body && p.text[0] ? "; " : "", types ? types : p.text);
			free(body);
			body = longer;
		}
		free(types);
		free(p.text);
	}
	s->body = body;
}

static void read_table(struct nft *n, const struct piece *head)
{
	bool named = word_count(head->text) > 2, open = true;
	struct nft_table *t;
	struct piece p;

	n->tables = array_room(n->tables, n->n_tables, sizeof(*n->tables));
	t = &n->tables[n->n_tables++];
	*t = (struct nft_table){ .family = named ? copy_word(head->text, 1) : must(strdup("ip")), .name = copy_word(head->text, named ? 2 : 1) };
	while (open && scan_next(&n->scan, &p, true)) {
		open = p.end != PIECE_CLOSE;
		if (p.end == PIECE_OPEN && begins(p.text, "chain "))
			read_chain(n, t, &p);
		else if (p.end == PIECE_OPEN && (begins(p.text, "set ") || begins(p.text, "map ")))
			read_set(n, t, &p);
		else if (p.end == PIECE_OPEN)
			skip_block(n, &p);
		else if (p.text[0])
			import_left_out(n->im, p.line, p.text, "there is nothing like it here");
		free(p.text);
	}
}

/* What only clears the table before is nothing to lose: apply replaces all. */
static bool only_clears(const char *text)
{
	return begins(text, "flush ") || begins(text, "delete table ") || begins(text, "destroy table ") || begins(text, "table ") ||
	       begins(text, "add table ");
}

static void read_all(struct nft *n)
{
	struct piece p;

	while (scan_next(&n->scan, &p, true)) {
		if (p.end == PIECE_OPEN && begins(p.text, "table "))
			read_table(n, &p);
		else if (p.end == PIECE_OPEN)
			skip_block(n, &p);
		else if (begins(p.text, "define "))
			scan_define(&n->scan, p.text + 7);
		else if (p.text[0] && !only_clears(p.text))
			import_left_out(n->im, p.line, p.text, "commands are not translated: give what nft list ruleset prints");
		free(p.text);
	}
}

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

	read_all(&n);
	name_all(&n);
	take_all(&n);
	take_hooks(&n);
	import_finish(im);
	nft_free(&n);
	return 0;
}
