/* SPDX-License-Identifier: GPL-2.0-only */
/* tree: the rules of a chain as a decision tree for each family (maps/rule.h), where they are too many to compare one by one, as long as the trees stay small. */
#pragma once
#include "flatten.h"
#include "tables.h"

/* The trees of the chain that is being written to `w`, where they are worth it; else nothing. `policy`: the entry where no rule matches. */
void trees_store(struct memory *w, const struct rows *rows, const struct raws *raws, uint32_t policy);
