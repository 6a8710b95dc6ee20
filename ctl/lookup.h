/* SPDX-License-Identifier: GPL-2.0-only */
/* lookup: which sets the rules of a configuration ask for what, where that is done by lookup (maps/set.h). */
#pragma once
#include "compile.h"

/* All that differ, those in sets that change by themselves from FILTER_LOOKUPS_FIXED on. *over: the match that asks for one too many, or NULL. */
void lookups_list(const struct config *c, struct lookup *list, const struct match **over);

/* The number of the lookup that the match stands for, or -1. */
int lookup_of(const struct config *c, const struct raws *raws, const struct match *m);

/* Values of FIELDS_SET by what the configuration says is in the sets: the oracle of the tables. */
void lookups_answer(struct field_values *v, const struct raws *raws);

/* The description of a lookup for the datapath: the parts of its key. */
struct set_lookup;
void lookup_describe(struct set_lookup *to, const struct raws *raws, const struct set *s, const enum config_key *keys, int n_keys);

/* Which lookups of the rule are in sets whose elements count: a bitmap. */
uint32_t lookups_counted(const struct config *c, const struct raws *raws, const struct rule *r);
