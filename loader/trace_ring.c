/* SPDX-License-Identifier: GPL-2.0-only */
/* trace_ring: reads the rings of records, one a CPU, that the tracing programs fill without waking anybody. */
#include "trace_private.h"

static struct session_record *record_at(const struct trace *t, int cpu, uint64_t n)
{
	return &t->records[(size_t)cpu * t->ring + (n & (t->ring - 1))];
}

/* The oldest record of a CPU, NULL while there is none or it is being written. */
static const struct session_record *oldest(const struct trace *t, int cpu)
{
	uint64_t tail = t->shared->rings[cpu].tail;
	const struct session_record *r = record_at(t, cpu, tail);

	return __atomic_load_n(&r->sequence, __ATOMIC_ACQUIRE) == tail + 1 ? r : NULL;
}

static void pass(struct trace *t, int cpu)
{
	struct session_ring *ring = &t->shared->rings[cpu];

	__atomic_store_n(&ring->tail, ring->tail + 1, __ATOMIC_RELEASE);
}

/* Records that came to nothing. */
static const struct session_record *next_of(struct trace *t, int cpu)
{
	const struct session_record *r;

	while ((r = oldest(t, cpu)) && r->session.event == SESSION_EVENT_COUNT)
		pass(t, cpu);
	return r;
}

uint64_t trace_read(struct trace *t)
{
	const struct session_record *heads[SESSION_CPUS];
	uint64_t n = 0, end[SESSION_CPUS];
	int first;

	for (int cpu = 0; cpu < t->cpus; cpu++) {	/* not beyond what is there now: writers do not keep us here */
		end[cpu] = __atomic_load_n(&t->shared->rings[cpu].head, __ATOMIC_ACQUIRE);
		heads[cpu] = next_of(t, cpu);
	}
	for (;; n++) {
		first = -1;
		for (int cpu = 0; cpu < t->cpus; cpu++)
			if (heads[cpu] && (first < 0 || heads[cpu]->session.time_ns < heads[first]->session.time_ns))
				first = cpu;
		if (first < 0)
			return n;
		t->sink->session(t->sink->ctx, &heads[first]->session);
		pass(t, first);
		heads[first] = t->shared->rings[first].tail < end[first] ? next_of(t, first) : NULL;
	}
}

bool trace_drained(const struct trace *t)
{
	for (int cpu = 0; cpu < t->cpus; cpu++)
		if (t->shared->rings[cpu].tail != __atomic_load_n(&t->shared->rings[cpu].head, __ATOMIC_ACQUIRE))
			return false;
	return true;
}
