/* SPDX-License-Identifier: GPL-2.0-only */
/* trace_private: what the files of loader/trace* share. */
#pragma once
#include <bpf/libbpf.h>
#include "trace.h"

struct trace {
	struct bpf_object *object;
	struct bpf_link *links[8], *files, *sockets, *list, *sample, *gone, *stays;
	int n_links;
	uint32_t events, ring, bucket_bits;
	int cpus;
	bool casts;				/* session_filter's */
	struct session_shared *shared;		/* mapped from the kernel, as the next two */
	struct session_bucket *table;
	struct session_record *records;
	const struct trace_sink *sink;
	uint64_t start_ns, settle_at_ns, gone_at_ns, tick_at_ns;
};

static inline uint64_t trace_count(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

/* ---- trace_walk.c: iterators */

/* Run an iterator that gives nothing: the programs do what is to be done. */
int trace_iterate(struct bpf_link *link);

/* Run an iterator over the sockets of each network namespace; what it gives goes to `session`, which may be NULL. */
int trace_walk_sockets(struct bpf_link *link, void (*session)(void *ctx, const struct session *s), void *ctx);

/* The same, with the owners of the sockets as the file tables say. */
int trace_walk_owners(struct trace *t, struct bpf_link *link, void (*session)(void *ctx, const struct session *s), void *ctx);

/* Look who has the sockets whose sessions have no owner. */
void trace_walk_files(struct trace *t);

/* ---- trace_gone.c */

/* Take out what ended unseen, and count it in lost_missed; at the stop, while the programs still run, also what would be told later.
 * Without bpf_rdonly_cast() (before 6.2) nothing: then it is seen when an address is used anew. */
void trace_gone(struct trace *t, bool stopping);

/* Sessions in progress, as far as the counts know. */
bool trace_any_open(const struct trace *t);

/* ---- trace_report.c */

struct btf;
void trace_kernel_facts(struct session_filter *f, const struct btf *btf);

/* ---- trace_ring.c */

/* How many there is room for, in all rings. */
static inline size_t trace_records(const struct trace *t)
{
	return (size_t)(SESSION_NEAR + t->ring) * t->cpus;
}

/* Hand out what is in the rings, in the order of time between CPUs. The number of records. */
uint64_t trace_read(struct trace *t);

/* Everything the programs began to write has been handed out. */
bool trace_drained(const struct trace *t);
