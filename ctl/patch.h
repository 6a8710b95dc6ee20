/* SPDX-License-Identifier: GPL-2.0-only */
/* patch: the tables of a chain with one rule more or less, made from those it has: as fast as copying them. The rule that comes is a unit of its own, one
 * that goes leaves its group's rows as they are; so tables patched often are larger than compiled ones, and answer the same. */
#pragma once
#include "tables.h"

enum { PATCHES_MOST = 256 };	/* compile then */

/* `from`: a chain's memory. The rule that comes will stand in the chain at index `at`; the one that goes stands there. `alone`: a configuration in which the
 * chain has the new rule only. False, and nothing in out: what a patch cannot say, or too many have been made; compile. */
bool patch_insert(struct memory *out, const uint64_t *from, uint32_t at, const struct config *alone, int chain);
bool patch_remove(struct memory *out, const uint64_t *from, uint32_t at);
uint32_t patch_rules(const uint64_t *from);	/* how many rules the chain has, 0: its memory does not say */

/* At compile: which row each rule of the chain begins with. */
void patch_prepare(struct memory *w, const uint32_t *starts, uint32_t rules);

/* ---- between patch.c and patch_field.c */

struct patch {
	const struct filter_chain *from;
	struct memory *to;
	const struct row *row;		/* the one that comes, or NULL */
	uint32_t position;		/* of the row */
	uint32_t unit;			/* that comes or goes; ~0: none does, it was in a group */
	uint32_t words;			/* of the rows of `from` */
	uint32_t gone;			/* entry of the row that goes */
};

/* Rows, tries and intervals of all fields. False: too many. */
bool patch_fields(struct patch *p);
/* The trees, which have been copied with the groups, by so many words; out of use where a list of changes has no room. */
void patch_trees(struct patch *p, uint32_t shift);
/* A row with the unit's bit put in or taken out; from, to: without summary. */
void patch_bits(const struct patch *p, uint64_t *to, const uint64_t *from, bool bit);
