/* SPDX-License-Identifier: GPL-2.0-only */
/* settable: a set's table (maps/set.h) in memory that ctl can write: mapped from the kernel, or its own. One writer at a time; readers, and programs that
 * add elements, may be at work all along. */
#pragma once
#include "../xdp/set_table.h"
#include "config.h"

struct settable {
	void *m;		/* struct set_table in front */
	uint32_t size;		/* bytes: 1 << one of SET_SIZES */
	struct windows *windows;	/* of a table of which only what is asked for is mapped; NULL: all of it is */
};

struct set_table *settable_head(const struct settable *t);

/* n words at a place. Whoever looks into a table by xdp/set_table.h asks for the places first. */
void *settable_words(const struct settable *t, uint64_t place, uint32_t n);
void settable_whole(const struct settable *t);

/* Map the inner map `fd` window by window; mapping all of a large table takes milliseconds. t->size is set. 0, or -1 with errno. */
int settable_map(struct settable *t, int fd);
void settable_unmap(struct settable *t);

/* The class (index into SET_SIZES) whose table holds what the set has and may take; -1: none does. `more`: at least so many times as much. */
int settable_class(const struct set *s, int more);
enum set_kind settable_kind(const struct set *s);
uint32_t settable_size(int class);

/* The parts of a key, in their order: 0, or -1 when they do not fit. bits 128: two words. field and from are the caller's. */
int set_layout(const enum config_type *types, int n, struct set_part_of_key *parts);

/* An empty table for the set in zeroed memory. */
void settable_init(struct settable *t, const struct set *s, int more, uint64_t seed);

/* All the set has. -1: it does not fit. */
int settable_fill(struct settable *t, const struct set *s, uint32_t now);

/* Addresses of a SET_ADDRESS4 table come and go. -1: no room (nothing is lost, some may have come). */
int settable_add4(struct settable *t, uint32_t lo, uint32_t hi);
int settable_del4(struct settable *t, uint32_t lo, uint32_t hi);
void settable_list4(const struct settable *t, struct spans *out);
int settable_class4(const struct set *s, int more);
void settable_init4(struct settable *t);
int settable_fill4(struct settable *t, const struct spans *s);

bool settable_has4(const struct settable *t, uint32_t lo, uint32_t hi);		/* all of them */

/* The same of a SET_ADDRESS6 table. -1: no room, or too many lengths. */
int settable_class6(const struct set *s, int more);
void settable_init6(struct settable *t, const struct set *s, int more);
int settable_add6(struct settable *t, const struct span *s);
int settable_del6(struct settable *t, const struct span *s);
bool settable_has6(const struct settable *t, const struct span *s);
bool settable_has_address6(const struct settable *t, u128 address);	/* as programs look */
int settable_fill6(struct settable *t, const struct spans *s);
void settable_list6(const struct settable *t, struct spans *out);

/* The prefixes that a range is made of, one after the other; begins with all zero. False: there is none left. */
struct prefix {
	u128 value;
	int length;
	bool begun;
};
bool prefix_next(struct prefix *p, const struct span *s, int width);

/* An element of a SET_ELEMENTS table, a range as the prefixes it is made of. put: makes it, or gives it its time anew. -1: no room; del: how many entries went. */
int settable_put(struct settable *t, const struct value_tuple *e, uint32_t now);
int settable_del(struct settable *t, const struct value_tuple *e, uint32_t now);
bool settable_has(const struct settable *t, const struct value_tuple *e, uint32_t now);
void settable_list(const struct settable *t, struct value_tuples *out, uint32_t now);

/* Ticks of now, and how many ms make one. */
uint32_t settable_now(void);
uint32_t ticks_of_ms(uint64_t ms);
uint64_t ms_of_ticks(uint32_t ticks);
