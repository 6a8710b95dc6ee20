/* SPDX-License-Identifier: GPL-2.0-only */
/* spans: the values of a match or a set as intervals. Additions append; normalising sorts and merges, once. */
#include <stdlib.h>
#include <string.h>
#include "config.h"

void spans_add(struct spans *s, u128 lo, u128 hi)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 1;
		s->v = must(realloc(s->v, s->cap * sizeof(*s->v)));
	}
	s->v[s->n++] = (struct span){ lo, hi };
}

static int by_lo(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static bool sorted(const struct spans *s)
{
	for (int i = 1; i < s->n; i++)
		if (s->v[i].lo < s->v[i - 1].lo)
			return false;
	return true;
}

/* hi + 1 would wrap at the end of the address space, hence the subtraction. */
static bool joins(const struct span *a, const struct span *b)
{
	return b->lo <= a->hi || b->lo - a->hi == 1;
}

void spans_normalise(struct spans *s)
{
	int out = 0;

	if (!sorted(s))
		qsort(s->v, s->n, sizeof(*s->v), by_lo);
	for (int i = 1; i < s->n; i++) {
		struct span *last = &s->v[out];

		if (!joins(last, &s->v[i]))
			s->v[++out] = s->v[i];
		else if (s->v[i].hi > last->hi)
			last->hi = s->v[i].hi;
	}
	if (s->n)
		s->n = out + 1;
}

bool spans_have(const struct spans *s, u128 x)
{
	int lo = 0, hi = s->n;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;

		if (s->v[mid].hi < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->v[lo].lo <= x;
}

void spans_subtract(struct spans *out, const struct spans *a, const struct spans *b)
{
	int j = 0;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < a->n; i++) {
		u128 lo = a->v[i].lo, hi = a->v[i].hi;
		bool left = true;

		while (j < b->n && b->v[j].hi < lo)
			j++;
		for (int k = j; left && k < b->n && b->v[k].lo <= hi; k++) {
			if (b->v[k].lo > lo)
				spans_add(out, lo, b->v[k].lo - 1);
			left = b->v[k].hi < hi;
			lo = left ? b->v[k].hi + 1 : lo;
		}
		if (left)
			spans_add(out, lo, hi);
	}
}

/* Below the lowest bit of the mask everything goes: one range. Each other bit that the mask leaves free doubles the ranges. */
int spans_of_mask(struct spans *out, u128 max, u128 mask, u128 value)
{
	u128 low = mask ? (mask & -mask) - 1 : max, free_bits, v = 0;
	int n = 0;

	mask &= max;
	free_bits = max & ~mask & ~low;
	for (u128 b = free_bits; b; b &= b - 1)
		n++;
	if (n > __builtin_ctz(MASK_SPANS))
		return -1;
	if (!out || value & ~mask)
		return 0;
	do {
		spans_add(out, value | v, value | v | low);
		v = (v - free_bits) & free_bits;	/* the next subset */
	} while (v);
	spans_normalise(out);
	return 0;
}

void spans_free(struct spans *s)
{
	free(s->v);
	memset(s, 0, sizeof(*s));
}
