/* SPDX-License-Identifier: GPL-2.0-only */
/* follow: see follow.h. Nobody wakes it: it looks every READ_NS. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/pace.h"
#include "../lib/run.h"
#include "counts.h"
#include "follow.h"

#define READ_NS 20000000
#define LEASE_NS 2000000000ull

struct reader {
	const struct follow_sink *sink;
	struct log_follow *lease;
	size_t lease_size;
	struct ring_buffer *ring;
	struct counts counts;
	struct log_counts before;
	bool stale;		/* what a reader before us left is passed by */
	int code;
};

static void lease(struct reader *r, uint64_t until)
{
	__atomic_store_n(&r->lease->statements_until, until, __ATOMIC_RELEASE);
	__atomic_store_n(&r->lease->drops_until, r->sink->drops ? until : 0, __ATOMIC_RELEASE);
}

/* A ring has one reader. The lock goes with the process. */
static int be_alone(void)
{
	int fd = open(run_path("follow.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return fail(EXIT_FAILED, "%s: %s", run_path("follow.lock"), strerror(errno));
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	close(fd);
	return fail(EXIT_REFUSED, "another weirctl follows the log of %s, and each record goes to one reader: end that one first", run_dir_get());
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct reader *r = ctx;

	if (r->stale || size != sizeof(struct log_record))
		return 0;
	r->code = r->sink->record(r->sink->ctx, data);
	return r->code ? -ECANCELED : 0;
}

static int read_ring(struct reader *r)
{
	int n = ring_buffer__consume(r->ring);

	if (r->code)
		return r->code;
	if (n < 0)
		return fail(EXIT_FAILED, "reading the log: %s", strerror(-n));
	return r->stale ? 0 : r->sink->batch(r->sink->ctx);
}

/* The loader makes the maps when it first loads programs that have them. */
static int check_maps(void)
{
	if (access(run_path("bpf/maps/control"), F_OK) || !access(run_path("bpf/maps/log_ring"), F_OK))
		return 0;
	return fail(EXIT_FAILED, "the attached programs know no log: weir-loader upgrade puts those of this build in their place");
}

static int reader_open(struct reader *r)
{
	int fd, err = check_maps() ?: counts_open(&r->counts, "log_counts", sizeof(struct log_counts));

	if (!err)
		err = be_alone();
	if (err)
		return err;
	r->lease = run_map_memory("log_follow", true, &r->lease_size);
	fd = r->lease ? run_map("log_ring", true) : -1;
	if (fd < 0)
		return EXIT_FAILED;
	r->ring = ring_buffer__new(fd, on_record, r, NULL);
	close(fd);		/* libbpf has mapped it, and polls it only when asked */
	return r->ring ? 0 : fail(EXIT_FAILED, "reading the log: %s", strerror(errno));
}

static void reader_close(struct reader *r)
{
	if (r->lease)
		munmap(r->lease, r->lease_size);
	ring_buffer__free(r->ring);
	counts_close(&r->counts);
}

static int loop(struct reader *r)
{
	struct pace pace;
	int err = 0;

	pace_begin(&pace, READ_NS, r->sink->duration_ns);
	lease(r, monotonic_ns() + LEASE_NS);
	while (!err && pace_wait(&pace)) {
		err = read_ring(r);
		lease(r, monotonic_ns() + LEASE_NS);
	}
	lease(r, 0);
	if (!err) {		/* programs that were about to write have done so */
		ppoll(NULL, 0, &pace.period, NULL);
		err = read_ring(r);
	}
	pace_end(&pace);
	return err;
}

int follow(const struct follow_sink *sink, struct follow_totals *totals)
{
	struct reader r = { .sink = sink, .stale = true, .counts.fd = -1 };
	struct log_counts after;
	int err = reader_open(&r);

	if (!err)
		err = read_ring(&r);
	if (!err) {
		r.stale = false;
		counts_read(&r.counts, 0, &r.before);
		err = loop(&r);
		counts_read(&r.counts, 0, &after);
		*totals = (struct follow_totals){ after.sent - r.before.sent, after.suppressed - r.before.suppressed, after.lost - r.before.lost };
	}
	reader_close(&r);
	return err;
}
