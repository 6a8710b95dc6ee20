/* SPDX-License-Identifier: GPL-2.0-only */
/* setstore: sets' tables in the kernel. Who changes them holds the instance's lock. Functions return an exit code, after fail(), where nothing else is said. */
#pragma once
#include "settable.h"

/* Map the table of a slot; t->m NULL: it has none. */
int setstore_open(uint32_t slot, struct settable *t);
void setstore_close(struct settable *t);

/* The table of the set of this name; t->m NULL: it has none. */
int setstore_find(const char *name, uint32_t *slot, struct settable *t);

/* Make a table of what the set has and put it in the place of the slot's, if it has one, at once for all packets. It has room for `more` times as much. */
int setstore_write(const struct set *s, uint32_t slot, int more);
void setstore_drop(uint32_t slot);

/* Give each live set of c its slot, with all that is in it: that of the same set in old if what the text says of it lets it go on (then `kept`: set_merge.h), else
 * one that old does not use. */
int setstore_assign(struct config *c, const struct config *old);
/* Tables of sets that c has not; dropped when no program runs that was led to them. */
bool setstore_has_unused(const struct config *c);
void setstore_drop_unused(const struct config *c);

/* The elements of a set that has a slot come from its table; then it has none. */
int setstore_load(struct set *s);
int setstore_load_all(struct config *c);

/* What a table says of its set, without elements. */
struct set setstore_head(const struct settable *t);
