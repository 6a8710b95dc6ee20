/* SPDX-License-Identifier: GPL-2.0-only */
/* change: see change.h. What generation.c does for a whole configuration, in the same order, so that it can die anywhere too. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/run.h"
#include "../maps/datapath.h"
#include "../maps/flow.h"
#include "../maps/service.h"
#include "active.h"
#include "change.h"
#include "change_text.h"
#include "filter_maps.h"
#include "fresh.h"
#include "patch.h"

enum { RULES_LEAST = 1024 };	/* fewer are compiled in nearly as short a time, and have trees of all their rules then (tree.h) */

struct changing {
	const struct change *what;
	struct change_text text;
	struct config alone;		/* the new rule */
	struct memory tables;
	uint64_t number;		/* of the generation to be */
	uint32_t slot;			/* its slot */
	int chain;
	bool full;			/* one of the chains needs FEATURE_FULL */
};

/* Services are as they were; rings and backends are those in force. */
static int carry(const char *map, uint32_t to)
{
	size_t size;
	char *v = run_map_memory(map, true, &size);

	if (!v)
		return EXIT_FAILED;
	memcpy(v + to * (size / 2), v + !to * (size / 2), size / 2);
	munmap(v, size);
	return 0;
}

static bool plain_words(const char *words)
{
	return !strpbrk(words, "@\n") && !strstr(words, "vmap") && !strstr(words, "jump") && !strstr(words, "goto");
}

/* The rule that comes, checked by itself. What is wrong with it is said on the long way, as for any. */
static bool read_rule(struct changing *c)
{
	struct chain *k = &c->alone.chains[c->chain];

	if (!plain_words(c->what->words))
		return false;
	k->policy_drop = c->text.policy_drop;
	k->audit = c->text.audit;
	if (config_add_rule(&c->alone, c->chain, 0, c->what->words)) {
		fail_clear();
		return false;
	}
	k->rules[0].id = change_text_free_id(&c->text);
	return k->rules[0].id;
}

static bool patch_tables(struct changing *c, const uint64_t *from)
{
	struct memory less = {};
	bool done;

	if (patch_rules(from) != c->text.rules)
		return false;
	if (!c->what->gone)
		return patch_insert(&c->tables, from, c->text.at, &c->alone, c->chain);
	if (!c->what->words)
		return patch_remove(&c->tables, from, c->text.at);
	done = patch_remove(&less, from, c->text.at) && patch_insert(&c->tables, less.v, c->text.at, &c->alone, c->chain);
	free(less.v);
	return done;
}

/* The other chain's memory: as it is. */
static int copy_chain(struct changing *c, int chain)
{
	size_t size;
	const uint64_t *v = filter_maps_read(!c->slot, chain, &size);
	struct memory w = { .v = (uint64_t *)v, .n = size / 8 };
	int err;

	if (v)
		c->full |= memory_chain(&w)->scans & FILTER_FULL;
	err = v ? filter_maps_write(c->slot, chain, &w) : fail(EXIT_FAILED, "the tables of chain %s are missing", chain_name[chain]);

	if (v)
		munmap((void *)v, size);
	return err;
}

static int write_slot(struct changing *c)
{
	const struct rule *r = c->what->words ? &c->alone.chains[c->chain].rules[0] : NULL;
	int err = filter_maps_write(c->slot, c->chain, &c->tables);

	for (int i = 0; i < CHAIN_COUNT && !err; i++)
		if (i != c->chain)
			err = copy_chain(c, i);
	if (!err && r)
		err = fresh_counter("rule_counts", sizeof(struct rule_count), &r->id, 1) || fresh_limits(&r->id, !!r->limit.rate);
	if (!err)
		err = carry("service_keys", c->slot);
	return err;
}

/* Is there a place for it in the text in force? */
static bool find_place(struct changing *c)
{
	const struct change *what = c->what;

	c->chain = change_text_open(&c->text, active_text(c->number - 1), what->chain, what->gone, what->gone ? what->gone : what->before);
	return c->chain >= 0 && c->text.rules >= RULES_LEAST && (!what->words || read_rule(c));
}

/* And in the tables? */
static bool plan(struct changing *c)
{
	size_t size;
	const uint64_t *from = filter_maps_read(!c->slot, c->chain, &size);
	bool done;

	if (!from)
		return false;
	done = size <= FILTER_MEDIUM && patch_tables(c, from);	/* the largest maps are made anew each time */
	munmap((void *)from, size);
	return done && memory_size(&c->tables) < FILTER_LARGE;
}

static int perform(struct changing *c, struct grace *grace)
{
	const struct rule *r = c->what->words ? &c->alone.chains[c->chain].rules[0] : NULL;
	int err = change_text_write(&c->text, active_fresh_text(c->number), r, c->what->gone);

	if (!err)
		err = grace_end(grace);
	if (!err)
		err = write_slot(c);
	c->full |= memory_chain(&c->tables)->scans & FILTER_FULL;
	if (!err)
		err = active_switch_rules(c->number, c->slot, c->full);
	if (!err)
		active_forget_texts(c->number);
	return err;
}

static void changing_free(struct changing *c)
{
	change_text_close(&c->text);
	config_free(&c->alone);
	free(c->tables.v);
}

/* What takes longest is waiting: it begins as soon as it looks worth while. */
static bool change(struct changing *c, int *err)
{
	struct grace grace = {};
	bool planned;

	if (!find_place(c))
		return false;
	*err = grace_begin(&grace, c->slot);
	planned = !*err && plan(c);
	if (planned)
		*err = perform(c, &grace);
	if (grace_end(&grace) && !*err)
		*err = EXIT_FAILED;
	return planned || *err;
}

bool change_apply(const struct change *what, int *err)
{
	struct changing c = { .what = what };
	uint64_t active;
	bool done;

	*err = active_lock();
	if (!*err)
		*err = active_read(&active);
	if (*err)
		return true;
	c.number = active_generation(active) + 1;
	c.slot = !active_slot(active);
	if (c.number == 1 || c.number % FLOW_GENERATIONS == 0)		/* there is no text; tags of flows begin anew */
		return false;
	done = change(&c, err);
	changing_free(&c);
	return done;
}
