/* SPDX-License-Identifier: GPL-2.0-only */
/* trace_gone: finds sessions that ended without our programs being run: trace/gone.h looks at the table; of sockets whose state was in
 * themselves there is left that more went to session_spill than came from it or are in it. */
#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "trace_private.h"

#define SUM(t, field) trace_sum(t, offsetof(struct session_counts, field))

uint64_t trace_sum(const struct trace *t, size_t offset)
{
	uint64_t n = 0;

	for (int cpu = 0; cpu < t->cpus; cpu++)
		n += trace_count((const __u64 *)((const char *)&t->shared->counts[cpu] + offset));
	return n;
}

/* What comes in meanwhile is not in `in`; what leaves is in `out` once the programs that took it away are through. So this is never
 * too much. */
static uint64_t spilled_and_gone(struct trace *t)
{
	uint64_t in = SUM(t, spill_in), left;

	if (in == SUM(t, spill_out))
		return 0;
	t->shared->spill_stays = 0;
	if (trace_iterate(t->stays))
		return 0;
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	left = SUM(t, spill_out) + trace_count(&t->shared->spill_stays);
	return in > left ? in - left : 0;
}

void trace_gone(struct trace *t, bool stopping)
{
	if (!t->gone)
		return;
	t->shared->stopping = stopping;
	t->shared->spill_gone = spilled_and_gone(t);
	trace_iterate(t->gone);
}

bool trace_any_open(const struct trace *t)
{
	return SUM(t, opened) + SUM(t, seeded) >
	       SUM(t, ended) + SUM(t, filtered) + SUM(t, lost_missed) + SUM(t, held_in) - SUM(t, held_out);
}
