/* SPDX-License-Identifier: GPL-2.0-only */
/* jiffies: see jiffies.h. */
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include "jiffies.h"

uint64_t jiffy_ns(void)
{
	struct timespec t;

	clock_getres(CLOCK_MONOTONIC_COARSE, &t);	/* it ticks with jiffies */
	return t.tv_nsec ? t.tv_nsec : 4000000;
}

/* The kernel counts from INITIAL_JIFFIES, five minutes before the wrap of 32 bits (include/linux/jiffies.h). */
static uint64_t by_clock(void)
{
	uint64_t tick = jiffy_ns(), hz = 1000000000 / tick;
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)(-300 * hz) + (t.tv_sec * 1000000000ull + t.tv_nsec) / tick;
}

static bool by_kernel(uint64_t *now)
{
	FILE *f = fopen("/proc/timer_list", "re");
	unsigned long long j;
	char line[256];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "jiffies: %llu", &j) == 1 || sscanf(line, " .jiffies : %llu", &j) == 1;
	if (f)
		fclose(f);
	if (found)
		*now = j;
	return found;
}

uint64_t jiffies_now64(void)
{
	uint64_t now;

	return by_kernel(&now) ? now : by_clock();
}
