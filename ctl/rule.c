/* SPDX-License-Identifier: GPL-2.0-only */
/* rule: list, add and delete rules of the generation in force. */
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "../maps/rule.h"
#include "change.h"
#include "counts.h"
#include "generation.h"
#include "marks.h"
#include "test.h"
#include "verb.h"

static unsigned long before;

static void emit(const struct counts *counts, const char *chain, uint32_t id, const char *text)
{
	struct rule_count n = {};

	counts_read(counts, id, &n);
	out_row();
	out_text("chain", chain);
	out_number("id", id);
	out_number("packets", n.packets);
	out_number("bytes", n.bytes);
	out_text("text", text);
}

static void emit_chain(const struct config *c, int k, const struct counts *counts)
{
	for (int i = 0; i < config_chain(c, k)->n_rules; i++) {
		char *text = rule_text(&config_chain(c, k)->rules[i]);

		emit(counts, config_chain_name(c, k), config_chain(c, k)->rules[i].id, text);
		free(text);
	}
	if (k < CHAIN_COUNT)
		emit(counts, chain_name[k], k ? RULE_POLICY_EGRESS : RULE_POLICY_INGRESS, c->chains[k].policy_drop ? "policy drop" : "policy accept");
}

static int rule_list(int argc, char **argv)
{
	struct counts counts;
	struct config c;
	int only = -1, err;

	if (argc > 1)
		return fail(EXIT_USAGE, "takes at most one chain");
	err = generation_read(&c, NULL);
	if (!err && argc && (only = words_chain(&c, argv[0])) < 0)
		err = EXIT_USAGE;
	if (!err)
		err = counts_open(&counts, "rule_counts", sizeof(struct rule_count));
	if (err) {
		config_free(&c);
		return err;
	}
	out_list("rules");
	for (int k = 0; k < config_n_chains(&c); k++)
		if (only < 0 || only == k)
			emit_chain(&c, k, &counts);
	out_list_end();
	counts_close(&counts);
	config_free(&c);
	return 0;
}

/* Place of the rule with an id in its chain, or -1. */
static int place_of(const struct config *c, int chain, unsigned long id)
{
	for (int i = 0; i < config_chain(c, chain)->n_rules; i++)
		if (config_chain(c, chain)->rules[i].id == id)
			return i;
	return -1;
}

static int rule_add(int argc, char **argv)
{
	struct config c = {};
	int chain = -1, at = -1, err;
	char *text;

	if (argc < 2)
		return fail(EXIT_USAGE, "takes a chain and a rule: rule add ingress ip saddr 192.0.2.0/24 drop");
	text = words_join(argc - 1, argv + 1);
	if (change_apply(&(struct change){ .chain = argv[0], .words = text, .before = before }, &err)) {
		free(text);
		return err;
	}
	err = generation_edit(&c);
	if (!err && (chain = words_chain(&c, argv[0])) < 0)
		err = EXIT_USAGE;
	if (!err && before && (at = place_of(&c, chain, before)) < 0)
		err = fail(EXIT_NOTHING, "chain %s has no rule with id %lu (rule list shows them)", argv[0], before);
	if (!err)
		err = config_add_rule(&c, chain, at, text);
	if (!err)
		err = generation_apply(&c);
	if (!err)
		marks_note(&c);
	free(text);
	config_free(&c);
	return err;
}

static int delete_rule(struct config *c, unsigned long id)
{
	for (int k = 0; k < config_n_chains(c); k++) {
		struct chain *chain = config_chain(c, k);
		int i = place_of(c, k, id);

		if (i < 0)
			continue;
		rule_free(&chain->rules[i]);
		memmove(&chain->rules[i], &chain->rules[i + 1], (chain->n_rules - i - 1) * sizeof(*chain->rules));
		chain->n_rules--;
		return 0;
	}
	return fail(EXIT_NOTHING, "no rule has id %lu (rule list shows them)", id);
}

static int read_id(const char *word, unsigned long *id)
{
	char *end;

	*id = strtoul(word, &end, 10);
	if (word[0] < '0' || word[0] > '9' || *end)
		return fail(EXIT_USAGE, "%s: not a rule id (rule list shows them)", word);
	if (*id < RULE_FIRST)
		return fail(EXIT_USAGE, "%lu is a policy, not a rule: rule policy CHAIN accept|drop sets it", *id);
	return 0;
}

static int rule_del(int argc, char **argv)
{
	unsigned long id;
	struct config c;
	int err;

	if (argc != 1)
		return fail(EXIT_USAGE, "takes one id (rule list shows them)");
	if (read_id(argv[0], &id))
		return EXIT_USAGE;
	if (change_apply(&(struct change){ .gone = id }, &err))
		return err;
	err = generation_edit(&c);
	if (!err)
		err = delete_rule(&c, id);
	if (!err)
		err = generation_apply(&c);
	config_free(&c);
	return err;
}

/* The one at the same place of its chain. */
static int replace_rule(struct config *c, unsigned long id, const char *text)
{
	for (int k = 0; k < config_n_chains(c); k++) {
		int i = place_of(c, k, id), err;

		if (i < 0)
			continue;
		err = config_add_rule(c, k, i, text);
		return err ? err : delete_rule(c, id);
	}
	return fail(EXIT_NOTHING, "no rule has id %lu (rule list shows them)", id);
}

static int rule_replace(int argc, char **argv)
{
	unsigned long id;
	struct config c;
	char *text;
	int err;

	if (argc < 2)
		return fail(EXIT_USAGE, "takes an id (rule list shows them) and a rule: rule replace 17 ip saddr 192.0.2.0/24 drop");
	if (read_id(argv[0], &id))
		return EXIT_USAGE;
	text = words_join(argc - 1, argv + 1);
	if (!change_apply(&(struct change){ .words = text, .gone = id }, &err)) {
		err = generation_edit(&c);
		if (!err)
			err = replace_rule(&c, id, text);
		if (!err)
			err = generation_apply(&c);
		config_free(&c);
	}
	free(text);
	return err;
}

static int rule_policy(int argc, char **argv)
{
	struct config c;
	int chain = -1, err;

	if (argc != 2 || (strcmp(argv[1], "accept") && strcmp(argv[1], "drop")))
		return fail(EXIT_USAGE, "takes a chain and accept or drop");
	err = generation_edit(&c);
	if (!err && (chain = words_chain(&c, argv[0])) < 0)
		err = EXIT_USAGE;
	if (!err && chain >= CHAIN_COUNT)
		err = fail(EXIT_USAGE, "%s: only ingress and egress have a policy", argv[0]);
	if (!err) {
		c.chains[chain].present = true;
		c.chains[chain].policy_drop = !strcmp(argv[1], "drop");
		err = generation_apply(&c);
	}
	config_free(&c);
	return err;
}

static const struct opt add_opts[] = {
	{ "before", 0, OPT_NUMBER, &before, "ID", "put it before the rule with this id (default: at the end)" },
	{}
};

static const struct verb verbs[] = {
	{ "list", "[CHAIN]", "rules with their counters; the last line of a chain is its policy", rule_list, NULL },
	{ "add", "CHAIN RULE", "add a rule", rule_add, add_opts },
	{ "del", "ID", "delete a rule", rule_del, NULL },
	{ "replace", "ID RULE", "put another rule in the place of one; it has a counter of its own", rule_replace, NULL },
	{ "lint", "[FILE]", "rules that never match, and the rule that covers them; exit 1 if there are", rule_lint, NULL },
	{ "test", "CHAIN PACKET", "which rule decides on a packet, and why; counts nothing (\"tcp 192.0.2.1:1234 > 203.0.113.10:443\")", rule_test, test_opts },
	{ "policy", "CHAIN accept|drop", "what happens to packets no rule decides on", rule_policy, NULL },
	{}
};

const struct object rule_object = { "rule", "a match and its actions, in the chain ingress or egress", verbs };
