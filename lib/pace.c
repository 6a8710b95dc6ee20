/* SPDX-License-Identifier: GPL-2.0-only */
/* pace: see pace.h. */
#include <poll.h>
#include "pace.h"

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	stopped = signal;
}

void pace_stop(void)
{
	stopped = 1;
}

uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void pace_begin(struct pace *p, uint64_t period_ns, uint64_t duration_ns)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigset_t block;

	p->period = (struct timespec){ .tv_nsec = period_ns };
	p->end_ns = duration_ns ? monotonic_ns() + duration_ns : 0;
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, &p->before);	/* they arrive in ppoll() only: none is missed */
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

bool pace_wait(struct pace *p)
{
	if (stopped || (p->end_ns && monotonic_ns() >= p->end_ns))
		return false;
	ppoll(NULL, 0, &p->period, &p->before);
	return true;
}

void pace_end(struct pace *p)
{
	sigprocmask(SIG_SETMASK, &p->before, NULL);
}
