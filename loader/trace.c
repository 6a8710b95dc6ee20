/* SPDX-License-Identifier: GPL-2.0-only */
/* trace: opens, loads, attaches and reads trace/session.bpf.c. The ring is read on a timer and wakes nobody: a wakeup costs more
 * than everything else a session costs. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "../lib/err.h"
#include "trace.h"

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
};

struct trace {
	struct bpf_object *object;
	struct bpf_link *changes, *destroys, *files, *sockets;
	struct ring_buffer *ring;
	const struct session_counts *counts;	/* mapped from the kernel */
	const struct trace_sink *sink;
	uint64_t start_ns, settle_at_ns, read;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	stopped = signal;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	return verbose ? vfprintf(stderr, fmt, args) : 0;
}

static int record(void *ctx, void *data, size_t size)
{
	struct trace *t = ctx;

	(void)size;
	t->read++;
	t->sink->session(t->sink->ctx, data);
	return 0;
}

static struct bpf_link *attach(struct trace *t, const char *name)
{
	return bpf_program__attach(bpf_object__find_program_by_name(t->object, name));
}

/* ---- taking in what is open ---- */

/* An iterator does its work while it is read; ours print nothing. */
static int iterate(struct bpf_link *link)
{
	char none[64];
	int fd = bpf_iter_create(bpf_link__fd(link));
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, none, sizeof(none))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		;
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

struct namespaces {
	struct trace *trace;
	ino_t *seen;
	int count, size;
	int skipped;		/* could not be entered */
};

/* Read the sockets of the namespace at path, once for each namespace. */
static void visit(struct namespaces *n, const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st))
		return;
	for (int i = 0; i < n->count; i++)
		if (n->seen[i] == st.st_ino)
			return;
	if (n->count == n->size) {
		ino_t *seen = realloc(n->seen, (n->size + 64) * sizeof(*seen));

		if (!seen)
			return;
		n->seen = seen;
		n->size += 64;
	}
	n->seen[n->count++] = st.st_ino;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) || iterate(n->trace->sockets))
		n->skipped++;
	if (fd >= 0)
		close(fd);
}

static void visit_processes(struct namespaces *n)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char path[300];

	while (proc && (e = readdir(proc))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/ns/net", e->d_name);
		visit(n, path);
	}
	if (proc)
		closedir(proc);
}

/* Namespaces kept by a bind mount only: `ip netns add`, containers. */
static void visit_mounts(struct namespaces *n)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[4096], root[64], path[3072];

	while (mounts && fgets(line, sizeof(line), mounts))
		if (strstr(line, " - nsfs ") && sscanf(line, "%*d %*d %*s %63s %3071s", root, path) == 2 && !strncmp(root, "net:", 4))
			visit(n, path);
	if (mounts)
		fclose(mounts);
}

/* A thread of its own: it ends in whichever namespace it saw last. */
static void *visit_namespaces(void *arg)
{
	struct namespaces *n = arg;

	visit(n, "/proc/thread-self/ns/net");
	visit_processes(n);
	visit_mounts(n);
	return NULL;
}

/* Sockets without a file are few, and their events tell of them too: what cannot be visited is no error. */
static void take_in_sockets(struct trace *t)
{
	struct namespaces n = { .trace = t };
	pthread_t thread;

	if (pthread_create(&thread, NULL, visit_namespaces, &n))
		return;
	pthread_join(thread, NULL);
	if (verbose && n.skipped)
		note("%d of %d network namespaces could not be entered", n.skipped, n.count);
	free(n.seen);
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

static void set_filter(struct trace *t, const struct session_filter *filter)
{
	struct session_filter f = *filter;

	f.self = getpid();
	if (bpf_map__set_initial_value(bpf_object__find_map_by_name(t->object, ".rodata"), &f, sizeof(f)))
		abort();	/* not the object this was built with */
}

/* The programs' .bss, one page; libbpf maps it for skeletons only. */
static int map_counts(struct trace *t)
{
	int fd = bpf_object__find_map_fd_by_name(t->object, ".bss");
	void *page = mmap(NULL, sizeof(*t->counts), PROT_READ, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		return why_not(-errno, "mapping the counts");
	t->counts = page;
	return 0;
}

static int load(struct trace *t, const struct session_filter *filter)
{
	int err;

	libbpf_set_print(quiet);
	t->object = bpf_object__open_mem(trace_session_object, trace_session_object_end - trace_session_object, NULL);
	if (!t->object)
		return why_not(-errno, "opening the tracing program");
	set_filter(t, filter);
	err = bpf_object__load(t->object);
	if (err)
		return why_not(err, "loading the tracing program");
	t->ring = ring_buffer__new(bpf_object__find_map_fd_by_name(t->object, "session_ring"), record, t, NULL);
	return t->ring ? map_counts(t) : why_not(-errno, "mapping the ring of records");
}

/* Events first, then what was open before them: nothing is in neither. */
static int start(struct trace *t)
{
	t->start_ns = now_ns();
	t->destroys = attach(t, "session_destroy");
	t->changes = attach(t, "session_change");
	t->files = attach(t, "session_files");
	t->sockets = attach(t, "session_sockets");
	if (!t->changes || !t->destroys || !t->files || !t->sockets)
		return why_not(-errno, "attaching to the tracepoints of TCP");
	iterate(t->files);
	take_in_sockets(t);
	return 0;
}

int trace_open(const struct session_filter *filter, struct trace **trace)
{
	struct trace *t = calloc(1, sizeof(*t));
	int code;

	if (!t)
		return fail(EXIT_FAILED, "out of memory");
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

void trace_close(struct trace *t)
{
	if (!t)
		return;
	bpf_link__destroy(t->changes);
	bpf_link__destroy(t->destroys);
	bpf_link__destroy(t->files);
	bpf_link__destroy(t->sockets);
	ring_buffer__free(t->ring);
	if (t->counts)
		munmap((void *)t->counts, sizeof(*t->counts));
	bpf_object__close(t->object);
	free(t);
}

const struct session_counts *trace_counts(const struct trace *t)
{
	return t->counts;
}

uint64_t trace_start_ns(const struct trace *t)
{
	return t->start_ns;
}

/* ---- reading ---- */

static uint64_t count_of(const __u64 *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static int read_ring(struct trace *t)
{
	int n = ring_buffer__consume(t->ring);

	if (n < 0)
		return fail(EXIT_FAILED, "reading the ring of records: %s", strerror(-n));
	return n && t->sink->batch ? t->sink->batch(t->sink->ctx) : 0;
}

/* A process that sits on a dead connection does not delay its report for ever: look who holds it. */
static void settle(struct trace *t)
{
	uint64_t before = now_ns();

	if (before < t->settle_at_ns || !count_of(&t->counts->held))
		return;
	iterate(t->files);
	t->settle_at_ns = now_ns() + SETTLE_NS + SETTLE_SHARE * (now_ns() - before);
}

/* Programs that ran on other CPUs when we detached may still be about to submit: wait for what they counted. */
static int drain(struct trace *t)
{
	int code = 0;

	bpf_link__destroy(t->changes);
	bpf_link__destroy(t->destroys);
	t->changes = t->destroys = NULL;
	t->settle_at_ns = 0;
	settle(t);
	for (int tries = 0; !code && tries < 100; tries++) {
		code = read_ring(t);
		if (t->read + count_of(&t->counts->lost_full) >= count_of(&t->counts->ended))
			break;
		poll(NULL, 0, 1);
	}
	return code;
}

int trace_run(struct trace *t, uint64_t duration_ns, const struct trace_sink *sink)
{
	const struct timespec period = { .tv_nsec = READ_NS };
	struct sigaction act = { .sa_handler = stop };
	uint64_t end_ns = now_ns() + duration_ns;
	sigset_t block, before;
	int code = 0;

	t->sink = sink;
	t->settle_at_ns = now_ns() + SETTLE_NS;
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, &before);	/* they arrive in ppoll() only: none is missed */
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	while (!code && !stopped && (!duration_ns || now_ns() < end_ns)) {
		ppoll(NULL, 0, &period, &before);
		code = read_ring(t);
		settle(t);
	}
	if (!code)
		code = drain(t);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return code;
}
