/* SPDX-License-Identifier: GPL-2.0-only */
/* random: numbers of a run that WEIR_SEED repeats. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t random_state;

static inline uint64_t rnd(void)	/* splitmix64 (Steele, Lea, Flood 2014) */
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint32_t below(uint32_t n)
{
	return rnd() % n;
}

/* From the environment or the kernel; says which. */
static inline void random_begin(void)
{
	const char *text = getenv("WEIR_SEED");

	if (text && *text)
		random_state = strtoull(text, NULL, 0);
	else if (getrandom(&random_state, sizeof(random_state), 0) != sizeof(random_state))
		random_state = 1;
	printf("WEIR_SEED=%llu\n", (unsigned long long)random_state);
}
