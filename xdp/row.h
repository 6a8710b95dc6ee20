/* SPDX-License-Identifier: GPL-2.0 */
/* row: from the values of a packet to rows of bits, one bit for each unit that a value leaves possible (maps/rule.h has the tables). */
#pragma once
#include "../maps/rule.h"
#include "ctz.h"
#include "key.h"
#include "memory.h"

#define MAX_INTERVAL_STEPS 22	/* 2^22 bounds */

/* The next entry, of the node that e names; of a class that it is: its entry says the same again. */
static __always_inline __u32 class_step(const void *m, const struct filter_class *t, __u32 e, __u32 bits, __u32 open, __u32 size)
{
	__u32 here = (__u32)((__s32)e >> 31) & open;

	asm volatile("" : "+r"(here));
	return half_at(m, t->nodes + (e & ~FILTER_NODE) + (bits & here), size);
}

static __always_inline __u32 class_row(const void *m, const struct filter_class *t, __u32 value, __u32 stride, __u32 size)
{
	__u32 shift = t->shift, bits = t->bits, open = (1u << (bits & 31)) - 1;
	__u32 e = half_at(m, t->nodes + t->root + ((__u64)value >> (shift & 63)), size);

#define STEP \
	if (shift) { \
		shift -= bits; \
		e = class_step(m, t, e, value >> (shift & 31), open, size);
	STEP STEP STEP STEP STEP STEP
	} } } } } }
#undef STEP
	_Static_assert(FILTER_TRIE_STEPS == 6, "as many as above");
	return t->rows + e * stride;
}

/* ---- fields of more than 32 bits, and those few chains look at */

static __always_inline __u32 interval_row(const void *m, const struct filter_interval *t, __u32 wide, __u64 hi, __u64 lo, __u32 size)
{
	__u32 base = 0, left = t->count;

	for (int i = 0; i < MAX_INTERVAL_STEPS && left > 1; i++) {
		__u32 half = left >> 1, probe = t->bounds + ((base + half) << wide);
		__u64 bound = *word_at(m, probe, size);

		if (wide && bound == hi ? *word_at(m, probe + 1, size) <= lo : bound <= (wide ? hi : lo)) {
			base += half;
			left -= half;
		} else {
			left = half;
		}
	}
	return *word_at(m, t->rows + base, size);
}

static __always_inline __u32 field_row(const struct filter_key *k, __u32 field, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	__u32 wide = FIELDS_WIDE >> field & 1;

	if (!c)
		return 0;
	if (!(k->present >> field & 1))
		return c->interval[field].absent;
	return interval_row(c, &c->interval[field], wide, k->hi[field], k->lo[field], size);
}

/* Where the row of this field begins; 0 when a table is missing (word 0 is never a row). */
__noinline __u32 filter_row(const struct filter_key *k, __u32 field)
{
	if (!k || field >= FIELD_COUNT)
		return 0;
	if (k->size == FILTER_SMALL)
		return field_row(k, field, FILTER_SMALL);
	if (k->size == FILTER_MEDIUM)
		return field_row(k, field, FILTER_MEDIUM);
	return field_row(k, field, FILTER_LARGE);
}

/* A function apart, for 6.1: its verifier takes some loops that clang turns for jumps back where none may be. */
__noinline int filter_rows(struct filter_key *k, __u64 fields)
{
	if (!k)
		return 0;
	for (__u64 i = 0; i < FIELD_COUNT && fields; i++, fields &= fields - 1) {
		__u64 f = ctz64(fields);

		asm volatile("" : "+r"(i), "+r"(f));	/* or clang takes f's bound from debruijn_ctz, which the verifier does not read */
		if (f < FIELD_COUNT)
			k->row[f] = filter_row(k, f);
	}
	return 0;
}

static __always_inline __u64 extra_units(struct filter_key *k, __u64 units, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	__u64 invariant = units, all = units, fields;

	if (!c)
		return 0;
	fields = c->fields & FIELDS_EXTRA;
	for (__u32 i = 0; i < FIELD_COUNT && fields; i++, fields &= fields - 1) {
		__u64 f = ctz64(fields), row;

		asm volatile("" : "+r"(f));
		if (f >= FIELD_COUNT)
			break;
		row = *word_at(c, k->row[f] + c->summary + k->word, size);
		invariant &= FIELDS_INVARIANT >> f & 1 ? row : ~0ull;
		all &= row;
	}
	/* up to the match: a rule that would match other packets of this flow */
	if (invariant & ~all & ((all & -all) - 1))
		k->cacheable = 0;
	return all;
}

/* Of `units`, bits of the word at k->word, those that the further fields leave. */
__noinline __u64 filter_extra(struct filter_key *k, __u64 units)
{
	if (!k)
		return 0;
	if (k->size == FILTER_SMALL)
		return extra_units(k, units, FILTER_SMALL);
	if (k->size == FILTER_MEDIUM)
		return extra_units(k, units, FILTER_MEDIUM);
	return extra_units(k, units, FILTER_LARGE);
}

/* ---- the five fields that are asked of every packet */

static __always_inline __u32 family_index(__u32 family)
{
	return family == 4 ? 1 : family == 6 ? 2 : 0;
}

static __always_inline void core_rows(struct filter_key *k, const struct filter_chain *c, __u32 size)
{
	const struct filter_class *t = c->core;

	__u32 saddr = t[CORE_SADDR4].absent, daddr = t[CORE_DADDR4].absent, sport = t[CORE_SPORT].absent, dport = t[CORE_DPORT].absent;

	k->core[CORE_PROTO] = class_row(c, &t[CORE_PROTO], family_index(k->family) << 8 | k->proto, c->stride, size);
	if (k->family == 4 && c->fields & FIELD_BIT(FIELD_SADDR4))
		saddr = class_row(c, &t[CORE_SADDR4], k->saddr[0] >> 32, c->stride, size);
	else if (k->family == 6 && c->fields & FIELD_BIT(FIELD_SADDR6))	/* in the same place: a packet has one family */
		saddr = filter_row(k, FIELD_SADDR6);
	k->core[CORE_SADDR4] = saddr;
	if (k->family == 4 && c->fields & FIELD_BIT(FIELD_DADDR4))
		daddr = class_row(c, &t[CORE_DADDR4], k->daddr[0] >> 32, c->stride, size);
	else if (k->family == 6 && c->fields & FIELD_BIT(FIELD_DADDR6))
		daddr = filter_row(k, FIELD_DADDR6);
	k->core[CORE_DADDR4] = daddr;
	if (k->has_ports && c->fields & FIELD_BIT(FIELD_SPORT))
		sport = class_row(c, &t[CORE_SPORT], k->ports >> 16, c->stride, size);
	k->core[CORE_SPORT] = sport;
	if (k->has_ports && c->fields & FIELD_BIT(FIELD_DPORT))
		dport = class_row(c, &t[CORE_DPORT], k->ports & 0xffff, c->stride, size);
	k->core[CORE_DPORT] = dport;
}
