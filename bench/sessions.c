/* SPDX-License-Identifier: GPL-2.0-only */
/* sessions: what bench/sessions runs. `loop N`, on standard input a line a block: N connections of this process with itself over loopback,
 * and the CPU time of each in nanoseconds. `json N`, `text N`: N records through the columns of
 * `weirctl tcp life -j` or without -j, records a second. */
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "../ctl/tcp.h"
#include "../lib/err.h"
#include "../lib/out.h"

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

static int loop(long n)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	socklen_t len = sizeof(to);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	cpu_set_t one;
	char line[16];

	CPU_ZERO(&one);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
	sched_setaffinity(0, sizeof(one), &one);
	need(!bind(listener, (struct sockaddr *)&to, sizeof(to)) && !listen(listener, 16) &&
	     !getsockname(listener, (struct sockaddr *)&to, &len), "listen");
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t before = cpu_ns();

		for (long i = 0; i < n; i++)
			connection(listener, &to);
		printf("%.1f\n", (cpu_ns() - before) / (double)n);
		fflush(stdout);
	}
	return 0;
}

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
	long n = argc == 3 ? atol(argv[2]) : 0;

	if (n > 0 && !strcmp(argv[1], "loop"))
		return loop(n);
	if (n > 0 && (!strcmp(argv[1], "json") || !strcmp(argv[1], "text")))
		return format(n, *argv[1] == 'j');
	fprintf(stderr, "usage: sessions loop|json|text N\n");
	return 2;
}
