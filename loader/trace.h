/* SPDX-License-Identifier: GPL-2.0-only */
/* trace: the tracing program of TCP sessions, from the object inside this binary to records in a callback. Nothing is pinned:
 * it lives as long as the process. Errors go through fail(). */
#pragma once
#include <stdint.h>
#include "../maps/session.h"
#include "../maps/session_hist.h"

struct trace;

/* Load for the events of this filter (the fields about kernel and clock are filled in), take in the sockets that are open, start. An
 * exit code. */
int trace_open(const struct session_filter *filter, struct trace **trace);

struct trace_sink {
	void (*session)(void *ctx, const struct session *s);	/* the record is the caller's for the call */
	int (*batch)(void *ctx);	/* after each reading that brought records; an exit code, not 0 ends trace_run() */
	int (*tick)(void *ctx);		/* every tick_ns; as batch */
	uint64_t tick_ns;
	void *ctx;
};

/* Hand out records until SIGINT, SIGTERM, or duration_ns (0: no end) has passed, or pace_stop() was called, then stop the programs and drain. An
 * exit code. */
int trace_run(struct trace *trace, uint64_t duration_ns, const struct trace_sink *sink);

/* Hand out what is there, of the events in `mask` (1 << SESSION_EVENT_OPEN, … LISTEN): sockets of all network namespaces. */
int trace_list(struct trace *trace, uint32_t mask, void (*session)(void *ctx, const struct session *s), void *ctx);

/* Put the open sessions into the histograms. */
int trace_sample(struct trace *trace);

/* Each histogram; with `reset` it is emptied. */
void trace_hists(struct trace *trace, bool reset, void (*hist)(void *ctx, const struct session_hist_key *key, const struct session_hist *h),
		 void *ctx);

struct trace_totals {
	struct session_counts counts;	/* of all CPUs */
	uint64_t open;			/* sessions in progress */
	uint64_t skipped;		/* runs of a program that the kernel left out */
};

/* What the programs counted. */
void trace_totals(struct trace *trace, struct trace_totals *totals);

/* CLOCK_MONOTONIC when watching began. */
uint64_t trace_start_ns(const struct trace *trace);

/* Length of a jiffy. */
uint64_t trace_tick_ns(void);

void trace_close(struct trace *trace);	/* NULL is fine */
