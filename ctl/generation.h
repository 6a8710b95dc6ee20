/* SPDX-License-Identifier: GPL-2.0-only */
/* generation: bring a configuration into the kernel as one step. Everything is written where nobody looks; one aligned 64-bit store puts it
 * in force. Before that store the old generation runs, after it the new one, whatever kills us. */
#pragma once
#include <stdint.h>
#include "config.h"

/* The configuration in force, with ids and slots. Without an instance: EXIT_NOTHING after fail(). *number may be NULL. */
int generation_read(struct config *c, uint64_t *number);

/* The same with the elements of all sets, also of those whose tables alone have them. */
int generation_read_whole(struct config *c, uint64_t *number);

/* Take the instance's lock, once a process. */
int generation_lock(void);

/* Lines behind the text in force: notes on elements (ids.h). */
int generation_append(const char *lines);

/* The generation in force under the next number: what was remembered for flows is asked anew. For changes inside the tables of sets. */
int generation_renew(void);

/* Its number alone. */
int generation_number(uint64_t *number);

/* Take the instance's lock, then read: what a command does that changes something. */
int generation_edit(struct config *c);

/* Put c in force (checked, parsed; ids are given here: a rule that stands in the old generation with the same chain and text keeps its id and so
 * its counter, a backend of the same service, address and forwarding its slot). Holds the lock already or takes it. Exit code. */
int generation_apply(struct config *c);

/* The same by who has read what is in force, under the lock: with generation_edit(). */
int generation_replace(struct config *c, const struct config *old);
