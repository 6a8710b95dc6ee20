/* SPDX-License-Identifier: GPL-2.0-only */
/* change: one rule more or less in a large chain, by patching what is in force: its text, its tables. The text is not parsed, nothing is compiled. */
#pragma once
#include <stdbool.h>

struct change {
	const char *chain;		/* name; of a rule that goes alone: NULL */
	const char *words;		/* the rule that comes, or NULL */
	unsigned long before;		/* id of the rule that it is put before, 0: at the end */
	unsigned long gone;		/* id of the rule that goes, 0: none; with words: these take its place */
};

/* Takes the lock. True: done, or *err is not 0. False: this cannot be said by a patch (the chain is small, the rule leads elsewhere or names a set, an id does
 * not exist, …): the long way through the model does it, and knows what is wrong. */
bool change_apply(const struct change *c, int *err);
