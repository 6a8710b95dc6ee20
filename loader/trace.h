/* SPDX-License-Identifier: GPL-2.0-only */
/* trace: the tracing program of TCP sessions, from the object inside this binary to records in a callback. Nothing is pinned:
 * it lives as long as the process. Errors go through fail(). */
#pragma once
#include <stdint.h>
#include "../maps/session.h"

struct trace;

/* Load with this filter (self is filled in), take in the sockets that are open, start. An exit code. */
int trace_open(const struct session_filter *filter, struct trace **trace);

struct trace_sink {
	void (*session)(void *ctx, const struct session *s);	/* the record is the caller's for the call */
	int (*batch)(void *ctx);	/* after each reading that brought records; an exit code, not 0 ends trace_run() */
	void *ctx;
};

/* Hand out records until SIGINT, SIGTERM, or duration_ns (0: no end) has passed, then stop the programs and drain. An exit code. */
int trace_run(struct trace *trace, uint64_t duration_ns, const struct trace_sink *sink);

/* What the programs counted; valid until trace_close(). */
const struct session_counts *trace_counts(const struct trace *trace);

/* CLOCK_MONOTONIC when watching began. */
uint64_t trace_start_ns(const struct trace *trace);

void trace_close(struct trace *trace);	/* NULL is fine */
