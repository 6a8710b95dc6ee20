/* SPDX-License-Identifier: GPL-2.0-only */
/* trace_ring: reads the rings of records, two a CPU, that the tracing programs fill without waking anybody. */
#include "trace_private.h"

enum { TELL = 64 };	/* records after which their room is given back: programs look at that line */

/* A ring being read. */
struct reader {
	struct session_ring *ring;
	const struct session_record *records;
	uint64_t mask, tail, end;
};

static struct reader reader_of(const struct trace *t, int n)
{
	int cpu = n / 2, far = n % 2;
	struct session_ring *ring = far ? &t->shared->far[cpu] : &t->shared->near[cpu];

	return (struct reader){
		.ring = ring, .records = t->records + (size_t)cpu * (SESSION_NEAR + t->ring) + (far ? SESSION_NEAR : 0),
		.mask = (far ? t->ring : SESSION_NEAR) - 1, .tail = ring->tail, .end = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE),
	};
}

static void give_back(const struct reader *r)
{
	__atomic_store_n(&r->ring->tail, r->tail, __ATOMIC_RELEASE);
}

static void pass(struct reader *r)
{
	if (!(++r->tail % TELL))
		give_back(r);
}

/* The oldest record; NULL: none, or it is being written. Those that came to nothing are passed over. */
static const struct session *oldest(struct reader *r)
{
	for (; r->tail < r->end; pass(r)) {
		const struct session_record *record = &r->records[r->tail & r->mask];

		if (__atomic_load_n(&record->sequence, __ATOMIC_ACQUIRE) != r->tail + 1)
			return NULL;
		if (record->session.event != SESSION_EVENT_COUNT)
			return &record->session;
	}
	return NULL;
}

uint64_t trace_read(struct trace *t)
{
	const struct session *heads[2 * SESSION_CPUS];
	struct reader readers[2 * SESSION_CPUS];
	int first, count = 0;
	uint64_t n = 0;

	for (int i = 0; i < 2 * t->cpus; i++) {	/* not beyond what is there now: writers do not keep us here */
		readers[count] = reader_of(t, i);
		heads[count] = oldest(&readers[count]);
		if (heads[count])
			count++;
		else
			give_back(&readers[count]);
	}
	for (; count; n++) {
		first = 0;
		for (int i = 1; i < count; i++)
			if (heads[i]->time_ns < heads[first]->time_ns)
				first = i;
		t->sink->session(t->sink->ctx, heads[first]);
		pass(&readers[first]);
		heads[first] = oldest(&readers[first]);
		if (heads[first])
			continue;
		give_back(&readers[first]);
		readers[first] = readers[--count];
		heads[first] = heads[count];
	}
	return n;
}

bool trace_drained(const struct trace *t)
{
	for (int i = 0; i < 2 * t->cpus; i++) {
		struct reader r = reader_of(t, i);

		if (r.tail != r.end)
			return false;
	}
	return true;
}
