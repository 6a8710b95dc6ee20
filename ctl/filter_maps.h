/* SPDX-License-Identifier: GPL-2.0-only */
/* filter_maps: the inner maps that hold the chains' memory, two slots of them. Those of the slot that is not in force stay and are written over by the next
 * generation, once no program runs that could have seen them; the largest are dropped. */
#pragma once
#include <pthread.h>
#include "tables.h"

/* Waiting until no program runs that began before: a kernel's grace period takes some ten milliseconds, in which there is other work to do. */
struct grace {
	pthread_t thread;
	bool running;
	int outer, inner, error;
	uint32_t key;
};

/* For the programs that may still look at a slot that is not in force. Between begin and end nothing of it may be written. Exit codes; end may be called
 * without begin, and twice. */
int grace_begin(struct grace *g, uint32_t slot);
int grace_end(struct grace *g);

int filter_maps_write(uint32_t slot, int chain, const struct memory *w);
/* The memory of a chain, *size bytes to be unmapped; NULL without a message: there is none, or it may not be read. */
const uint64_t *filter_maps_read(uint32_t slot, int chain, size_t *size);
void filter_maps_drop(uint32_t slot);		/* returns after a grace period, if there was any */
void filter_maps_drop_large(uint32_t slot);	/* if one of the slot is */
