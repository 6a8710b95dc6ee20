/* SPDX-License-Identifier: GPL-2.0-only */
/* trace: opens, loads, attaches and reads trace/session.bpf.c. The ring is read on a timer and wakes nobody: a wakeup costs more
 * than everything else a session costs. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/pace.h"
#include "trace_private.h"

/* BPF_DIR: where the Makefile puts BPF objects. */
asm(".section .rodata\n"
    ".balign 8\n"
    ".globl trace_session_object, trace_session_object_end\n"
    "trace_session_object: .incbin \"" BPF_DIR "/session.bpf.o\"\n"
    "trace_session_object_end:\n"
    ".previous\n");
extern const char trace_session_object[], trace_session_object_end[];

enum {
	READ_NS = 10 * 1000 * 1000,
	SETTLE_NS = 500 * 1000 * 1000,	/* ask for the owners of held sessions this often, and at most a twentieth of the time */
	SETTLE_SHARE = 20,
	ACCEPT_NS = 50 * 1000 * 1000,	/* and for the owners of accepted connections, where those are reported at once */
	GONE_SHARE = 100,
	RINGS_RECORDS = 1 << 18,	/* of all far rings together; of each a power of two within the next two */
	RING_MIN = 1 << 12,
	RING_MAX = 1 << 17,
};
#define GONE_NS 10000000000ull	/* look for sessions that ended unseen this often, and at most a hundredth of the time */

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	return verbose ? vfprintf(stderr, fmt, args) : 0;
}

/* ---- opening ---- */

static int why_not(int err, const char *what)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return fail(EXIT_FAILED, "this kernel has no BTF (/sys/kernel/btf/vmlinux); use one built with CONFIG_DEBUG_INFO_BTF=y");
	if (err == -EPERM || err == -EACCES)
		return fail(EXIT_FAILED, "%s: not permitted; run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN", what);
	return fail(EXIT_FAILED, "%s: %s; -v shows the kernel's log", what, strerror(-err));
}

uint64_t trace_tick_ns(void)
{
	struct timespec t;

	clock_getres(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_nsec ? t.tv_nsec : 4000000;
}

static uint32_t ring_records(int cpus)
{
	uint32_t n = RING_MAX;

	while (n > RING_MIN && n * cpus > RINGS_RECORDS)
		n /= 2;
	return n;
}

static int set_filter(struct trace *t, const struct session_filter *filter)
{
	struct session_filter f = *filter;
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return why_not(-errno, "reading the kernel's types");
	f.self = getpid();
	f.start_ns = t->start_ns;
	f.tick_ns = trace_tick_ns();
	f.ring = t->ring;
	f.bucket_bits = t->bucket_bits;
	trace_kernel_facts(&f, btf);
	t->casts = f.casts;
	btf__free(btf);
	if (bpf_map__set_initial_value(bpf_object__find_map_by_name(t->object, ".rodata"), &f, sizeof(f)) ||
	    bpf_map__set_max_entries(bpf_object__find_map_by_name(t->object, "session_ring"), trace_records(t)) ||
	    bpf_map__set_max_entries(bpf_object__find_map_by_name(t->object, "session_table"), 1u << t->bucket_bits))
		abort();	/* not the object this was built with */
	return 0;
}

/* Programs that run for what was not asked for are not loaded. */
static void choose_programs(struct trace *t)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, t->object) {
		const char *name = bpf_program__name(p);

		if (!strcmp(name, "segment_drop"))
			bpf_program__set_autoload(p, t->events & 1 << SESSION_EVENT_DROP);
		else if (!strncmp(name, "segment_", 8))
			bpf_program__set_autoload(p, t->events & 1 << SESSION_EVENT_RETRANSMIT);
		else if (!strcmp(name, "session_gone") || !strcmp(name, "session_stays"))
			bpf_program__set_autoload(p, t->casts);
	}
}

/* libbpf maps .bss for skeletons only. */
static void *map_memory(struct trace *t, const char *name, size_t size, int protection)
{
	void *p = mmap(NULL, size, protection, MAP_SHARED, bpf_object__find_map_fd_by_name(t->object, name), 0);

	return p == MAP_FAILED ? NULL : p;
}

static int map_tables(struct trace *t)
{
	t->shared = map_memory(t, ".bss", sizeof(*t->shared), PROT_READ | PROT_WRITE);
	t->table = map_memory(t, "session_table", sizeof(*t->table) << t->bucket_bits, PROT_READ);
	t->records = map_memory(t, "session_ring", sizeof(*t->records) * trace_records(t), PROT_READ);
	if (!t->shared || !t->table || !t->records)
		return why_not(-errno, "mapping the tables");
	return 0;
}

static int load(struct trace *t, const struct session_filter *filter)
{
	int err;

	t->cpus = libbpf_num_possible_cpus();
	if (t->cpus < 1)
		return why_not(t->cpus, "asking for the CPUs");
	if (t->cpus > SESSION_CPUS)
		return fail(EXIT_FAILED, "this machine may have %d CPUs; the tables are built for %d", t->cpus, SESSION_CPUS);
	t->ring = ring_records(t->cpus);
	t->bucket_bits = filter->bucket_bits ? filter->bucket_bits : SESSION_BUCKET_BITS;
	t->events = filter->events;
	libbpf_set_print(quiet);
	t->object = bpf_object__open_mem(trace_session_object, trace_session_object_end - trace_session_object, NULL);
	if (!t->object)
		return why_not(-errno, "opening the tracing program");
	err = set_filter(t, filter);
	if (err)
		return err;
	choose_programs(t);
	err = bpf_object__load(t->object);
	return err ? why_not(err, "loading the tracing program") : map_tables(t);
}

static struct bpf_link *attach(struct trace *t, const char *name)
{
	return bpf_program__attach(bpf_object__find_program_by_name(t->object, name));
}

/* An iterator over a map. */
static struct bpf_link *attach_map(struct trace *t, const char *name, const char *map)
{
	union bpf_iter_link_info info = { .map.map_fd = bpf_object__find_map_fd_by_name(t->object, map) };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));

	return bpf_program__attach_iter(bpf_object__find_program_by_name(t->object, name), &opts);
}

static bool attach_iterators(struct trace *t)
{
	t->files = attach(t, "session_files");
	t->sockets = attach(t, "session_sockets");
	t->list = attach(t, "session_list");
	t->sample = attach(t, "session_sample");
	if (t->casts) {
		t->gone = attach_map(t, "session_gone", "session_table");
		t->stays = attach_map(t, "session_stays", "session_spill");
	}
	return t->files && t->sockets && t->list && t->sample && (!t->casts || (t->gone && t->stays));
}

static bool attach_events(struct trace *t)
{
	static const char *const names[] = { "session_destroy", "session_change", "segment_again", "segment_synack", "segment_drop" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(t->object, names[i]);

		if (!bpf_program__autoload(p))
			continue;
		t->links[t->n_links] = bpf_program__attach(p);
		if (!t->links[t->n_links++])
			return false;
	}
	return true;
}

/* Events first, then what was open before them: nothing is in neither. Sockets without a file are few, and their events tell of
 * them too: a namespace that cannot be visited is no error. */
static int start(struct trace *t)
{
	if (!attach_iterators(t) || !attach_events(t))
		return why_not(-errno, "attaching to the tracepoints of TCP");
	trace_walk_owners(t, t->sockets, NULL, NULL);
	return 0;
}

int trace_open(const struct session_filter *filter, struct trace **trace)
{
	struct trace *t = calloc(1, sizeof(*t));
	int code;

	if (!t)
		return fail(EXIT_FAILED, "out of memory");
	t->start_ns = monotonic_ns();
	code = load(t, filter);
	if (!code)
		code = start(t);
	if (code) {
		trace_close(t);
		t = NULL;
	}
	*trace = t;
	return code;
}

static void detach(struct trace *t)
{
	while (t->n_links)
		bpf_link__destroy(t->links[--t->n_links]);
}

void trace_close(struct trace *t)
{
	if (!t)
		return;
	detach(t);
	bpf_link__destroy(t->files);
	bpf_link__destroy(t->sockets);
	bpf_link__destroy(t->list);
	bpf_link__destroy(t->sample);
	bpf_link__destroy(t->gone);
	bpf_link__destroy(t->stays);
	if (t->shared)
		munmap(t->shared, sizeof(*t->shared));
	if (t->table)
		munmap(t->table, sizeof(*t->table) << t->bucket_bits);
	if (t->records)
		munmap(t->records, sizeof(*t->records) * trace_records(t));
	bpf_object__close(t->object);
	free(t);
}

uint64_t trace_start_ns(const struct trace *t)
{
	return t->start_ns;
}

/* ---- reading ---- */

/* A process that sits on a dead connection does not delay its report for ever, nor one that only accepted: look who has them. */
static void settle(struct trace *t)
{
	uint64_t before = monotonic_ns(), accepting = trace_count(&t->shared->accepting);

	if (before < t->settle_at_ns || (!trace_count(&t->shared->held) && !accepting))
		return;
	trace_walk_files(t);
	t->settle_at_ns = monotonic_ns() + (accepting ? ACCEPT_NS : SETTLE_NS) + SETTLE_SHARE * (monotonic_ns() - before);
}

/* A trace that stays on does not fill its table with what ended unseen. */
static void clean(struct trace *t)
{
	uint64_t before = monotonic_ns();

	if (before < t->gone_at_ns || !trace_any_open(t))
		return;
	trace_gone(t, false);
	t->gone_at_ns = before + GONE_NS + GONE_SHARE * (monotonic_ns() - before);
}

static int read_records(struct trace *t)
{
	return trace_read(t) && t->sink->batch ? t->sink->batch(t->sink->ctx) : 0;
}

/* Programs that ran on other CPUs when we detached may still be about to publish. */
static int drain(struct trace *t)
{
	int code = 0;

	trace_gone(t, true);	/* what ends without programs is not missed: before */
	detach(t);
	t->settle_at_ns = 0;
	settle(t);
	for (int tries = 0; !code && tries < 100; tries++) {
		code = read_records(t);
		if (trace_drained(t))
			break;
		poll(NULL, 0, 1);
	}
	return code;
}

static int tick(struct trace *t)
{
	if (!t->sink->tick || monotonic_ns() < t->tick_at_ns)
		return 0;
	t->tick_at_ns += t->sink->tick_ns;
	return t->sink->tick(t->sink->ctx);
}

int trace_run(struct trace *t, uint64_t duration_ns, const struct trace_sink *sink)
{
	struct pace pace;
	int code = 0;

	t->sink = sink;
	t->settle_at_ns = monotonic_ns() + (t->events & 1 << SESSION_EVENT_ACCEPT ? ACCEPT_NS : SETTLE_NS);
	t->gone_at_ns = monotonic_ns() + GONE_NS;
	t->tick_at_ns = monotonic_ns() + sink->tick_ns;
	setpriority(PRIO_PROCESS, 0, -10);	/* those who end sessions must not keep us from reading; without the right to it: as it is */
	pace_begin(&pace, READ_NS, duration_ns);
	while (!code && pace_wait(&pace)) {
		code = read_records(t);
		settle(t);
		clean(t);
		if (!code)
			code = tick(t);
	}
	if (!code)
		code = drain(t);
	pace_end(&pace);
	return code;
}
