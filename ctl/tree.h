/* SPDX-License-Identifier: GPL-2.0-only */
/* tree: plain rules on IPv4 as a decision tree (maps/rule.h), for chains too long to compare rule by rule, as long as the tree stays small. */
#pragma once
#include "flatten.h"
#include "tables.h"

/* The tree of the chain that is being written to `w`, where its rules are plain and a tree of them is worth it; else nothing. `policy`: the entry where no
 * rule matches. */
void tree_store(struct memory *w, const struct rows *rows, uint32_t policy);
