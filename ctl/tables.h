/* SPDX-License-Identifier: GPL-2.0-only */
/* tables: those of maps/rule.h, as words in memory. */
#pragma once
#include "unit.h"

#define FIELDS_AS_INTERVALS (FIELDS_EXTRA | FIELD_BIT(FIELD_SADDR6) | FIELD_BIT(FIELD_DADDR6))
enum { FIELD_BOUNDS_MOST = 1 << 22 };	/* the datapath's binary search takes 22 steps */

/* A chain's memory: struct filter_chain, then all it names. Places are counted in words; `v` moves when it grows. */
struct memory {
	uint64_t *v;
	uint32_t n, capacity;
};

void memory_reserve(struct memory *w, uint32_t capacity);	/* of an empty one */
uint32_t memory_take(struct memory *w, uint32_t n);	/* place of n zeroed words */
uint32_t memory_take_at(struct memory *w, uint32_t n, uint32_t multiple);	/* the same, at a multiple of a power of two */
struct filter_chain *memory_chain(struct memory *w);
size_t memory_bytes(const struct memory *w);
uint32_t memory_size(const struct memory *w);		/* FILTER_SMALL, … that holds them */

/* The class and interval tables of all fields in use, with their rows of bits; words, summary and stride of the chain are set. */
int tables_store(struct memory *w, const struct rows *rows, const struct units *u);

/* The groups' buckets. */
int groups_store(struct memory *w, const struct units *u);
