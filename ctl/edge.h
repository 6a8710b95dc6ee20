/* SPDX-License-Identifier: GPL-2.0-only */
/* edge: where along a field units begin and cease to hold. */
#pragma once
#include "unit.h"

struct edge {
	u128 at;
	uint32_t unit;
	int32_t change;		/* +1 or -1 row of the unit */
};

struct edges {
	struct edge *v;
	size_t n, capacity;
	uint32_t *holds;	/* rows of each unit that hold, for the sweep; at first those that do not ask for the field */
};

/* Those of all rows, sorted. */
void edges_of_core(struct edges *e, const struct rows *rows, const struct units *u, enum filter_core core);
void edges_of_interval(struct edges *e, const struct rows *rows, const struct units *u, enum filter_field f);

/* Those of one rule, as of unit 0; false: it does not ask. */
bool core_edges(struct edges *e, const struct constraints *k, enum filter_core core);
int core_width(enum filter_core core);

void edges_sort(struct edges *e);
void edges_free(struct edges *e);
