/* SPDX-License-Identifier: GPL-2.0-only */
/* patch_tree: the trees of a chain that is patched. They stay as they were compiled, at another place; packets of a rule that has gone come to its records
 * and go on to the tables; those of one that came since do, too, by a short list of records that is asked first. */
#include <stdlib.h>
#include <string.h>
#include "../xdp/scan.h"
#include "compile.h"
#include "patch.h"
#include "scan.h"

/* The trees of one chain on their way. */
struct trees {
	struct filter_chain *chain;
	uint64_t *v;		/* its memory */
	uint32_t shift;		/* words that everything moved by */
	uint32_t gone;		/* the rule's id; 0: none goes */
	uint64_t *seen;		/* a bit for each word that begins edges or a leaf which has been seen to */
	uint32_t words;		/* of a record */
};

static bool first_visit(struct trees *t, uint32_t at)
{
	uint64_t bit = 1ull << at % 64, *word = &t->seen[at / 64];
	bool first = !(*word & bit);

	*word |= bit;
	return first;
}

/* A record of the rule that goes leads to the tables: leaves do not have what it was in front of. */
static void forget(struct trees *t, struct filter_scan *r)
{
	const uint64_t numbers = (1ull << SCAN_ENTRY) - 1;
	uint32_t entry = scan_entry(r);
	struct filter_ask *ask;

	if (!(entry & RULE_CONTINUE_BIT)) {
		if ((entry & RULE_ID_MASK) != t->gone)
			return;
		r->from &= numbers;
		r->to &= numbers;
		return;
	}
	ask = (struct filter_ask *)(t->v + t->chain->asks) + (entry & RULE_ID_MASK);
	if ((ask->entry & RULE_ID_MASK) == t->gone) {
		ask->entry = 0;
		ask->limited = 0;
	}
}

/* Does a record decide about every packet? The policy's does; so may a rule's, and then nothing leads to what is behind it. */
static bool is_last(const struct trees *t, const uint64_t *v)
{
	const uint64_t numbers = (1ull << SCAN_ENTRY) - 1, all = (SCAN_ANY << SCAN_SPORT | SCAN_ANY << SCAN_DPORT | 255ull << SCAN_PROTO) + 2 * SCAN_GUARDS;
	const struct filter_scan *r = (const struct filter_scan *)v;
	const struct filter_scan6 *six = (const struct filter_scan6 *)v;

	if (scan_entry(r) & RULE_CONTINUE_BIT || r->from & numbers || (r->to & numbers) != all)
		return false;
	if (t->words == sizeof(struct filter_scan4) / 8)
		return !((const struct filter_scan4 *)v)->mask;
	return !(six->address[0].mask | six->address[1].mask | six->address[2].mask | six->address[3].mask);
}

/* Records, the last one too. */
static void forget_among(struct trees *t, uint32_t at)
{
	bool last;

	do {
		last = is_last(t, t->v + at);
		forget(t, (struct filter_scan *)(t->v + at));
		at += t->words;
	} while (!last);
}

/* An edge and all that it leads to. `inside`: leaves are records. */
static uint64_t move_edge(struct trees *t, uint64_t e, bool inside)
{
	uint32_t at = (uint32_t)e + t->shift, n = (e >> FILTER_TREE_MASK & 0x7fff) + 1;

	e = (e & ~0xffffffffull) | at;
	if (!first_visit(t, at))
		return e;
	if (!(e & FILTER_TREE_LEAF)) {
		for (uint32_t i = 0; i < n; i++)
			t->v[at + i] = move_edge(t, t->v[at + i], inside);
	} else if (inside && t->gone) {
		forget_among(t, at);
	}
	return e;
}

static void move_tree(struct trees *t, __u64 *root, __u32 *records, bool inside)
{
	*root = move_edge(t, *root, inside);
	if (inside)
		return;
	*records += t->shift;
	if (t->gone)
		forget_among(t, *records);
}

/* The new rule's records, of one family. False: there is no room for them. */
static bool add_changes(struct memory *w, const struct row *row, int family, uint32_t *at, uint32_t *n)
{
	const uint32_t words = (family == 4 ? sizeof(struct filter_scan4) : sizeof(struct filter_scan6)) / 8;
	struct units u = {};
	bool fits = units_cut(&u, row, 0, family, row->entry & RULE_ID_MASK, FILTER_CHANGES) && *n + u.n_parts <= FILTER_CHANGES;

	if (fits && u.n_parts && !*at)
		*at = memory_take_at(w, FILTER_CHANGES * words, words);
	for (uint32_t i = 0; fits && i < u.n_parts; i++)
		scan_record(w->v + *at + (*n)++ * words, &u.part[i]);
	units_free(&u);
	return fits;
}

/* A rule that came and goes again needs no place any more. */
static void take_out_changes(uint64_t *v, uint32_t words, uint32_t *n, uint32_t gone)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < *n; i++)
		if (scan_entry((struct filter_scan *)(v + i * words)) != gone)
			memmove(v + kept++ * words, v + i * words, words * sizeof(*v));
	*n = kept;
}

static bool list_changes(struct patch *p, uint32_t shift, uint32_t gone)
{
	struct filter_chain *c = memory_chain(p->to);
	uint32_t at4 = c->changes4 ? c->changes4 + shift : 0, at6 = c->changes6 ? c->changes6 + shift : 0, n4 = c->n_changes4, n6 = c->n_changes6;
	bool fits = true;

	if (gone && at4)
		take_out_changes(p->to->v + at4, sizeof(struct filter_scan4) / 8, &n4, gone);
	if (gone && at6)
		take_out_changes(p->to->v + at6, sizeof(struct filter_scan6) / 8, &n6, gone);
	if (p->row)
		fits = add_changes(p->to, p->row, 4, &at4, &n4) && add_changes(p->to, p->row, 6, &at6, &n6);
	c = memory_chain(p->to);	/* which may have moved */
	c->changes4 = at4;
	c->changes6 = at6;
	c->n_changes4 = n4;
	c->n_changes6 = n6;
	c->scans = n4 || n6 ? c->scans | FILTER_CHANGED : c->scans & ~(uint32_t)FILTER_CHANGED;
	return fits;
}

void patch_trees(struct patch *p, uint32_t shift)
{
	const uint32_t of_trees = FILTER_TREE4 | FILTER_TREE6 | FILTER_ASKS | FILTER_PLAIN4 | FILTER_PLAIN6 | FILTER_CHANGED;
	uint32_t size = p->from->scans & FILTER_NOT_SMALL ? FILTER_MEDIUM : FILTER_SMALL;
	struct trees t = { .shift = shift, .gone = p->row ? 0 : p->gone & RULE_ID_MASK };
	struct filter_chain *c = memory_chain(p->to);
	bool inside = size == FILTER_SMALL;

	if (!(c->scans & (FILTER_TREE4 | FILTER_TREE6)))
		return;
	/* what goes under another id than the rule's own, such as `return`, cannot be told from others of it */
	if ((!p->row && t.gone < RULE_FIRST) || !list_changes(p, shift, t.gone) || memory_bytes(p->to) > size) {
		memory_chain(p->to)->scans &= ~of_trees;
		return;
	}
	t.chain = c = memory_chain(p->to);
	t.v = p->to->v;
	t.seen = must(calloc(p->to->n / 64 + 1, sizeof(*t.seen)));
	c->asks += shift;
	if (c->scans & FILTER_TREE4) {
		t.words = sizeof(struct filter_scan4) / 8;
		move_tree(&t, &c->tree4, &c->records4, inside);
	}
	if (c->scans & FILTER_TREE6) {
		t.words = sizeof(struct filter_scan6) / 8;
		move_tree(&t, &c->tree6, &c->records6, inside);
	}
	free(t.seen);
}
