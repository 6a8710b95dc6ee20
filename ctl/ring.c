/* SPDX-License-Identifier: GPL-2.0-only */
/* ring: quota-bounded weighted rendezvous hashing. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "ring.h"

#define RING_SMALL 8192		/* up to 64 backends: a hundred slots and more for each */
#define RING_LARGE 65536

struct candidate {
	uint64_t seed;		/* of its address: the place in the list does not matter */
	double weight;
	uint32_t quota;
	double remainder;
	uint16_t index;
};

uint32_t ring_size(int n_backends)
{
	return n_backends <= 64 ? RING_SMALL : RING_LARGE;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

static uint64_t address_seed(const struct address *a)
{
	uint64_t w[2];

	memcpy(w, a->bytes, sizeof(w));
	return mix(mix(w[0] + a->family) ^ w[1]);
}

static int by_remainder(const void *a, const void *b)
{
	const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;

	if (x->remainder != y->remainder)
		return x->remainder > y->remainder ? -1 : 1;
	return x->seed < y->seed ? -1 : x->seed > y->seed;
}

/* Whole slots by largest remainder. */
static void share_out(struct candidate *v, int n, uint32_t size)
{
	struct candidate **order = must(malloc(n * sizeof(*order)));
	double total = 0;
	uint32_t given = 0;

	for (int i = 0; i < n; i++) {
		total += v[i].weight;
		order[i] = &v[i];
	}
	for (int i = 0; i < n; i++) {
		double exact = size * v[i].weight / total;

		v[i].quota = exact;
		v[i].remainder = exact - v[i].quota;
		given += v[i].quota;
	}
	qsort(order, n, sizeof(*order), by_remainder);
	for (int i = 0; given < size; i = (i + 1) % n, given++)
		order[i]->quota++;
	free(order);
}

/* The highest score wins: equal weights compare the hash itself, others weight / -ln(hash as a fraction). */
static double score(const struct candidate *c, uint32_t slot, bool equal)
{
	uint64_t h = mix(c->seed ^ mix(slot + 1));

	if (equal)
		return h >> 11;
	return c->weight / -log(((h >> 11) + 0.5) / 9007199254740992.0);
}

static int winner(const struct candidate *v, int n, uint32_t slot, bool equal)
{
	double best = -1, s;
	int who = -1;

	for (int i = 0; i < n; i++) {
		if (!v[i].quota)
			continue;
		s = score(&v[i], slot, equal);
		if (s > best || (s == best && v[i].seed < v[who].seed)) {
			best = s;
			who = i;
		}
	}
	return who;
}

int ring_build(uint16_t *ring, uint32_t size, const struct backend *backends, int n)
{
	struct candidate *v = must(calloc(n + 1, sizeof(*v)));
	bool equal = true;
	int count = 0;

	for (int i = 0; i < n; i++) {
		if (!backends[i].weight)
			continue;
		v[count] = (struct candidate){ .seed = address_seed(&backends[i].addr), .weight = backends[i].weight, .index = i };
		equal &= v[count].weight == v[0].weight;
		count++;
	}
	if (count)
		share_out(v, count, size);
	/* slots in a scattered order, so that those who come late, when quotas are spent, are spread over the ring */
	for (uint32_t i = 0; i < size && count; i++) {
		uint32_t slot = i * 2654435761u & (size - 1);
		int who = winner(v, count, slot, equal);

		v[who].quota--;
		ring[slot] = v[who].index;
	}
	free(v);
	return count;
}
