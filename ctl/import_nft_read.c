/* SPDX-License-Identifier: GPL-2.0-only */
/* import_nft_read: tables, chains and their hooks, sets, variables. Rules stay text. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "import_nft.h"

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

void nft_read(struct nft *n)
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
