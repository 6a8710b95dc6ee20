/* SPDX-License-Identifier: GPL-2.0-only */
/* pace: a reader that looks from time to time and is woken by nobody, until its time is over, SIGINT or SIGTERM comes, or pace_stop() is called. One a process. */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct pace {
	struct timespec period;
	uint64_t end_ns;	/* 0: none */
	sigset_t before;
};

uint64_t monotonic_ns(void);

/* `duration_ns` 0: without an end. */
void pace_begin(struct pace *p, uint64_t period_ns, uint64_t duration_ns);

/* Waits a period, less if it was told to stop; false: it is over, and there was no wait. */
bool pace_wait(struct pace *p);
void pace_end(struct pace *p);
void pace_stop(void);
