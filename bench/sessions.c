/* SPDX-License-Identifier: GPL-2.0-only */
/* sessions: what bench/sessions runs. `loop N`, on standard input a line a block: N connections of this process with itself over loopback,
 * and the CPU time of each in nanoseconds. `pairs N`: the same without and with the tracing programs attached, N times, a line
 * each; `pairs N OBJECT` with the programs of these names in OBJECT instead. `json N`, `text N`: N records through the columns of
 * `weirctl tcp life -j` or without -j, records a second. */
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../ctl/tcp.h"
#include "../lib/err.h"
#include "../lib/out.h"
#include "../loader/trace_private.h"

enum {
	WARM = 20,		/* connections of a phase before it is measured */
	PHASE = 200,		/* and those measured: their records have room in the near ring */
};

bool json = true;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

/* Through 200 addresses in turn: ports are found at once, whatever was used before. */
static void connection(int listener, struct sockaddr_in *to)
{
	static unsigned n;
	int near = socket(AF_INET, SOCK_STREAM, 0), there;

	to->sin_addr.s_addr = htonl(INADDR_LOOPBACK + n++ % 200);
	need(!connect(near, (struct sockaddr *)to, sizeof(*to)), "connect");
	there = accept(listener, NULL, NULL);
	need(there >= 0, "accept");
	close(near);
	close(there);
}

/* A listener of this process, on the CPU where all of its connections will be. */
static int listener_of(struct sockaddr_in *to)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(*to);
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	sched_setaffinity(0, sizeof(one), &one);
	*to = (struct sockaddr_in){ .sin_family = AF_INET };
	need(!bind(listener, (struct sockaddr *)to, sizeof(*to)) && !listen(listener, 16) &&
	     !getsockname(listener, (struct sockaddr *)to, &len), "listen");
	return listener;
}

/* CPU time of each of n connections, in nanoseconds. */
static double block(int listener, struct sockaddr_in *to, long n)
{
	uint64_t before = cpu_ns();

	for (long i = 0; i < n; i++)
		connection(listener, to);
	return (cpu_ns() - before) / (double)n;
}

static int loop(long n)
{
	struct sockaddr_in to;
	int listener = listener_of(&to);
	char line[16];

	while (fgets(line, sizeof(line), stdin)) {
		printf("%.1f\n", block(listener, &to, n));
		fflush(stdout);
	}
	return 0;
}

/* ---- pairs */

static void attach(const struct bpf_object *object, struct bpf_link *links[2])
{
	static const char *const names[] = { "session_destroy", "session_change" };

	for (int i = 0; i < 2; i++) {
		links[i] = bpf_program__attach(bpf_object__find_program_by_name(object, names[i]));
		need(links[i], "attach");
	}
}

static void detach(struct bpf_link *links[2])
{
	bpf_link__destroy(links[0]);
	bpf_link__destroy(links[1]);
}

/* With the programs attached or not. */
static double phase(const struct bpf_object *object, bool with, int listener, struct sockaddr_in *to)
{
	struct bpf_link *links[2];
	double ns;

	if (with)
		attach(object, links);
	block(listener, to, WARM);
	ns = block(listener, to, PHASE);
	if (with)
		detach(links);
	return ns;
}

static void count_record(void *ctx, const struct session *s)
{
	(void)s;
	++*(long *)ctx;
}

static void run_pairs(long n, const struct bpf_object *object, struct trace *t)
{
	long records = 0;
	const struct trace_sink sink = { .session = count_record, .ctx = &records };
	struct sockaddr_in to;
	int listener = listener_of(&to);
	double ns[2];

	for (long i = 0; i < n; i++) {
		for (int k = 0; k < 2; k++) {
			bool with = k ^ (i & 1);

			ns[with] = phase(object, with, listener, &to);
			if (!t)
				continue;
			t->sink = &sink;
			trace_read(t);
		}
		printf("%.1f %.1f\n", ns[0], ns[1]);
	}
	errno = EIO;
	need(!t || records > n * (WARM + PHASE), "records");	/* of two a connection; some may end after a phase, or unseen */
}

static int pairs(long n, const char *path)
{
	const struct session_filter filter = { .events = 1 << SESSION_EVENT_END, .brief = true };	/* as for the text of `tcp life` */
	struct bpf_object *object = path ? bpf_object__open_file(path, NULL) : NULL;
	struct trace *t = NULL;
	int status;

	if (path) {
		need(object && !bpf_object__load(object), path);
	} else {
		if (trace_open(&filter, &t))
			return 1;
		object = t->object;
		while (t->n_links)
			bpf_link__destroy(t->links[--t->n_links]);
	}
	if (!fork()) {	/* the tracer's own process is the owner of nothing, and its sessions take another way */
		run_pairs(n, object, t);
		exit(0);
	}
	return wait(&status) < 0 || status;
}

/* ---- formatting */

static int format(long n, bool as_json)
{
	struct session s = {
		.state = { .birth_ns = 1000000, .established_ns = 1040000, .fin_ns = 90000000, .owner = SESSION_OWNER_PROCESS,
			   .process = { 4711, "curl" }, .closer = SESSION_CLOSER_LOCAL, .flags = SESSION_ACTIVE },
		.tx_bytes = 1234, .rx_bytes = 7654321, .srtt_us = 23000, .min_rtt_us = 21000, .cwnd = 10, .netns = 4026531833u, .uid = 1000,
		.laddr = { 192, 0, 2, 1 }, .raddr = { 198, 51, 100, 7 }, .lport = htons(43210), .rport = htons(443), .family = AF_INET,
		.congestion = "cubic", .cgroup = 12345, .mss = 1448, .last_state = 5, .new_state = 7,
	};
	const struct tcp_clock clock = { .start_ns = 1, .wall_ns = 1700000000000000000, .tick_ns = 4000000 };
	uint64_t before = cpu_ns();

	out_start(as_json);
	need(!tcp_columns("pid,comm,laddr,lport,raddr,rport,tx_kb,rx_kb,ms", 1 << SESSION_EVENT_END), "columns");
	tcp_columns_start();
	for (long i = 0; i < n; i++) {
		s.time_ns = 91000000 + i;
		tcp_row(&clock, &s);
	}
	out_list_end();
	out_finish();
	fprintf(stderr, "%.0f\n", n * 1e9 / (cpu_ns() - before));
	return 0;
}

int main(int argc, char **argv)
{
	long n = argc == 3 || argc == 4 ? atol(argv[2]) : 0;

	if (n > 0 && !strcmp(argv[1], "pairs"))
		return pairs(n, argv[3]);
	if (argc == 4)
		n = 0;
	if (n > 0 && !strcmp(argv[1], "loop"))
		return loop(n);
	if (n > 0 && (!strcmp(argv[1], "json") || !strcmp(argv[1], "text")))
		return format(n, *argv[1] == 'j');
	fprintf(stderr, "usage: sessions loop|json|text N | pairs N [OBJECT]\n");
	return 2;
}
