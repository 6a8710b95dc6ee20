/* SPDX-License-Identifier: GPL-2.0-only */
/* set_merge: a table to which rules add goes on under a new text. What the text has of the set and the table has not is put beside what rules have added, just
 * before the new generation comes into force, and taken out again if it does not. */
#pragma once
#include "config.h"

struct merges {
	struct merge { uint32_t slot; const struct value_tuple *element; } *v;	/* elements of the configuration's */
	int n;
};

/* An exit code; m is to be freed, after an error too. */
int set_merge(const struct config *c, struct merges *m);
void set_merge_undo(const struct merges *m);
void set_merge_free(struct merges *m);
