/* SPDX-License-Identifier: GPL-2.0-only */
/* program: loads what is measured: a subject of a trial, and the feeder in front of it. */
#pragma once
#include <bpf/libbpf.h>
#include "packet.h"
#include "trial.h"

#define TABLE_BITS 17		/* buckets of the flow table: what the loader makes by default for IPv4 */

/* A subject, loaded. */
struct loaded {
	struct bpf_object *target, *feeder;
	int fd;				/* of the feeder: this is what runs */
	unsigned verified;
	void *table;			/* its flows, NULL: it has none */
	size_t table_size, entry_size;
};

/* With fresh seeds, an empty flow table of its own, and the tables of the running instance. On failure what there is must be closed, too. */
int subject_load(const struct trial *t, const struct subject *s, const struct packet *p, struct loaded *l);
void subject_close(struct loaded *l);

/* Nearly every flow must have found its place, or the figure says something else. */
int subject_check_flows(const struct trial *t, const struct loaded *l);

/* What the verifier goes through; 0 after fail(). */
unsigned subject_verified(const struct subject *s);

struct bpf_object *bench_object(const char *name);	/* of out/bench/; NULL after fail() */
int bench_load(struct bpf_object *o, const char *a, const char *b);	/* these programs only; b may be NULL */
int bench_program(const struct bpf_object *o, const char *name);	/* its fd */
