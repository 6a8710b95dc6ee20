/* SPDX-License-Identifier: GPL-2.0-only */
/* check_chain: where rules lead to: chains that exist, no circles, no more levels than nft has, and what is asked of a packet must be known in the
 * chain that a path began in. */
#include <stdlib.h>
#include <string.h>
#include "check.h"

enum { LEVELS_MOST = 16 };

struct walk {
	struct checker *checker;
	int *path, depth;		/* chains from the first one on */
	bool *seen;			/* walked already, by chain */
};

static int walk_chain(struct walk *w, int chain);

static int follow(void *context, const char *target, struct where at)
{
	struct walk *w = context;
	const struct config *c = w->checker->config;
	int to = config_find_chain(c, target);

	if (to < 0)
		return checker_wrong(w->checker, at, "unknown chain \"%s\"", target);
	if (to < CHAIN_COUNT)
		return checker_wrong(w->checker, at, "chain %s is where packets begin: no rule leads to it", target);
	for (int i = 0; i < w->depth; i++)
		if (w->path[i] == to)
			return checker_wrong(w->checker, at, to == w->path[w->depth - 1] ? "chain %s leads to itself" :
					     "chain %s leads back here: a circle", target);
	if (w->depth > LEVELS_MOST)
		return checker_wrong(w->checker, at, "chains lead more than %d levels deep", LEVELS_MOST);
	return w->seen[to] ? 0 : walk_chain(w, to);
}

static const struct match *asks_for_route(const struct rule *r)
{
	for (int i = 0; i < r->n_matches; i++)
		for (int j = 0; j < r->matches[i].n_keys; j++)
			if (r->matches[i].keys[j] == KEY_OIFNAME)
				return &r->matches[i];
	return NULL;
}

/* A chain below is walked once for each first chain: what it leads to does not depend on the way, and circles close within a path. */
static int walk_chain(struct walk *w, int chain)
{
	const struct config *c = w->checker->config;
	const struct chain *k = config_chain(c, chain);
	int err = 0;

	w->path[w->depth++] = chain;
	for (int i = 0; i < k->n_rules && !err; i++) {
		const struct match *route = w->path[0] == CHAIN_INGRESS ? asks_for_route(&k->rules[i]) : NULL;

		if (route)
			err = checker_wrong(w->checker, route->at, "oifname is unknown in chain ingress%s: the packet has no route yet",
					    chain == CHAIN_INGRESS ? "" : ", which leads here");
		else
			err = rule_targets(c, &k->rules[i], follow, w);
	}
	w->depth--;
	w->seen[chain] = true;
	return err;
}

int check_chains(struct checker *k)
{
	int n = config_n_chains(k->config), err = 0;
	struct walk w = { k, must(malloc((n + 2) * sizeof(int))), 0, must(malloc(n)) };

	for (int i = 0; i < CHAIN_COUNT && !err; i++) {
		memset(w.seen, 0, n);
		err = walk_chain(&w, i);
	}
	for (int i = CHAIN_COUNT; i < n && !err; i++)
		if (!w.seen[i])
			err = walk_chain(&w, i);
	free(w.path);
	free(w.seen);
	return err;
}
