/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_top: rounds: who sends and receives most (`tcp top`), and whose connections wait to be accepted (`tcp synbl`). A round lists
 * the sockets by iterator; what ended in between comes by its record. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "../lib/pace.h"
#include "tcp.h"

enum { TOP_LINES = 20 };

struct entry {
	struct session s;
	uint64_t tx, rx;		/* in this round */
};

struct entries {
	struct entry *e;
	size_t n, size;
};

struct top {
	struct trace *trace;
	struct tcp_clock clock;
	struct entries now, before;	/* before is sorted by socket */
	uint64_t round_ns;		/* when the last round ended */
	unsigned long rounds, lines;
	bool by_process, first;
};

static void add(struct entries *all, const struct entry *e)
{
	if (all->n == all->size) {
		all->size = all->size ? 2 * all->size : 1024;
		all->e = must(realloc(all->e, all->size * sizeof(*all->e)));
	}
	all->e[all->n++] = *e;
}

static int by_socket(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->s.state.sock != y->s.state.sock)
		return x->s.state.sock < y->s.state.sock ? -1 : 1;
	return x->s.rport < y->s.rport ? -1 : x->s.rport > y->s.rport;
}

static int by_pid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->s.state.process.pid < y->s.state.process.pid ? -1 : x->s.state.process.pid > y->s.state.process.pid;
}

static int by_bytes(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	uint64_t m = x->tx + x->rx, n = y->tx + y->rx;

	return m > n ? -1 : m < n ? 1 : by_socket(a, b);
}

/* The same session a round ago: an address used anew has another peer, or counts less. */
static const struct entry *earlier(const struct top *t, const struct entry *e)
{
	const struct entry *b = t->before.n ? bsearch(e, t->before.e, t->before.n, sizeof(*e), by_socket) : NULL;

	return b && b->s.state.birth_ns == e->s.state.birth_ns && b->s.tx_bytes <= e->s.tx_bytes && b->s.rx_bytes <= e->s.rx_bytes ? b : NULL;
}

/* Of a session from before our start the first round knows only totals. */
static void take(void *ctx, const struct session *s)
{
	struct top *t = ctx;
	struct entry e = { .s = *s };
	const struct entry *b = earlier(t, &e);

	if (b || !(s->state.flags & SESSION_SEEDED)) {
		e.tx = s->tx_bytes - (b ? b->s.tx_bytes : 0);
		e.rx = s->rx_bytes - (b ? b->s.rx_bytes : 0);
	}
	add(&t->now, &e);
}

static void join_processes(struct entries *all)
{
	size_t n = 0;

	if (!all->n)
		return;
	qsort(all->e, all->n, sizeof(*all->e), by_pid);
	for (size_t i = 1; i < all->n; i++) {
		if (all->e[i].s.state.process.pid != all->e[n].s.state.process.pid) {
			all->e[++n] = all->e[i];
			continue;
		}
		all->e[n].tx += all->e[i].tx;
		all->e[n].rx += all->e[i].rx;
	}
	all->n = n + 1;
}

static void out_rate(const char *json_key, const char *key, uint64_t bytes, uint64_t ns)
{
	char text[32];

	if (out_is_json()) {
		out_number(json_key, ns ? bytes * (double)SECOND_NS / ns : 0);
		return;
	}
	snprintf(text, sizeof(text), "%.1f", ns ? bytes / 1024.0 * SECOND_NS / ns : 0);
	out_text(key, text);
}

static void out_entry(const struct top *t, const struct entry *e, uint64_t now, uint64_t ns)
{
	char comm[17];

	snprintf(comm, sizeof(comm), "%.16s", e->s.state.process.pid ? e->s.state.process.comm : "-");
	out_row();
	out_number("pid", e->s.state.process.pid);
	out_text("comm", comm);
	if (!t->by_process) {
		out_address("laddr", e->s.family, e->s.laddr);
		out_number("lport", ntohs(e->s.lport));
		out_address("raddr", e->s.family, e->s.raddr);
		out_number("rport", ntohs(e->s.rport));
	}
	out_rate("tx_bytes_per_s", "tx_kb/s", e->tx, ns);
	out_rate("rx_bytes_per_s", "rx_kb/s", e->rx, ns);
	if (!out_is_json())
		return;
	out_number("round", t->rounds);
	out_number("time_ns", now + t->clock.wall_ns);
	if (!t->by_process)
		out_number("netns", e->s.netns);
}

static void show(struct top *t, uint64_t now)
{
	struct entries shown = {};

	for (size_t i = 0; i < t->now.n; i++)
		if (t->now.e[i].tx || t->now.e[i].rx)
			add(&shown, &t->now.e[i]);
	if (t->by_process)
		join_processes(&shown);
	if (shown.n)
		qsort(shown.e, shown.n, sizeof(*shown.e), by_bytes);
	if (!out_is_json())
		out_list("sessions");
	for (size_t i = 0; i < shown.n && i < t->lines; i++)
		out_entry(t, &shown.e[i], now, now - t->round_ns);
	if (!out_is_json())
		out_list_end();
	free(shown.e);
}

/* What is open now is what was before in the next round; what ended is not. */
static void turn(struct top *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->now.n; i++)
		if (t->now.e[i].s.event == SESSION_EVENT_OPEN)
			t->now.e[n++] = t->now.e[i];
	free(t->before.e);
	t->before = t->now;
	t->before.n = n;
	t->now = (struct entries){};
	if (n)
		qsort(t->before.e, n, sizeof(*t->before.e), by_socket);
}

static int round_end(void *ctx)
{
	struct top *t = ctx;
	uint64_t now;
	int code = trace_list(t->trace, 1 << SESSION_EVENT_OPEN, take, t);

	if (code)
		return code;
	now = monotonic_ns();
	if (!t->first)
		show(t, now);
	t->first = false;
	turn(t);
	t->round_ns = now;
	t->rounds++;
	if (tcp_opt.count && t->rounds > tcp_opt.count)
		pace_stop();
	return out_flush();
}

static int parse_top(struct top *t)
{
	const char *by = tcp_opt.by ? tcp_opt.by : "session";

	t->by_process = !strcmp(by, "process");
	if (!t->by_process && strcmp(by, "session"))
		return fail(EXIT_USAGE, "--by %s: session or process", by);
	t->lines = tcp_opt.lines ? tcp_opt.lines : TOP_LINES;
	t->first = true;
	return 0;
}

static uint64_t interval_ns(void)
{
	return (tcp_opt.interval ? tcp_opt.interval : 1) * SECOND_NS;
}

int tcp_top(int argc, char **argv)
{
	struct session_filter filter = { .events = 1 << SESSION_EVENT_END };
	struct top t = {};
	struct trace_sink sink = { .session = take, .tick = round_end, .tick_ns = interval_ns(), .ctx = &t };
	int code = argc ? fail(EXIT_USAGE, "%s: takes options only", argv[0]) : parse_top(&t);

	if (!code)
		code = tcp_filter(&filter);
	if (!code)
		code = trace_open(&filter, &t.trace);
	if (code)
		return code;
	t.clock = tcp_clock(t.trace);
	if (out_is_json()) {
		out_lines();
		out_list("sessions");
	}
	code = round_end(&t);
	if (!code)
		code = trace_run(t.trace, tcp_opt.duration * SECOND_NS, &sink);
	if (out_is_json())
		out_list_end();
	tcp_trailer(t.trace);
	trace_close(t.trace);
	free(t.before.e);
	free(t.now.e);
	return code;
}

/* ---- synbl */

static int by_backlog(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->s.detail[0] != y->s.detail[0])
		return x->s.detail[0] > y->s.detail[0] ? -1 : 1;
	return ntohs(x->s.lport) - ntohs(y->s.lport);
}

static void keep(void *ctx, const struct session *s)
{
	struct entry e = { .s = *s };

	add(ctx, &e);
}

static int list_listeners(void *ctx)
{
	struct top *t = ctx;
	struct entries all = {};
	bool lines = out_is_json() && tcp_opt.interval;
	int code = trace_list(t->trace, 1 << SESSION_EVENT_LISTEN, keep, &all);

	if (code)
		return code;
	if (all.n)
		qsort(all.e, all.n, sizeof(*all.e), by_backlog);
	if (!lines)
		out_list("listeners");
	for (size_t i = 0; i < all.n; i++)
		tcp_row(&t->clock, &all.e[i].s);
	if (!lines)
		out_list_end();
	free(all.e);
	if (tcp_opt.count && ++t->rounds >= tcp_opt.count)
		pace_stop();
	return tcp_opt.interval ? out_flush() : 0;
}

static void ignore(void *ctx, const struct session *s)
{
	(void)ctx;
	(void)s;
}

int tcp_synbl(int argc, char **argv)
{
	struct session_filter filter = {};
	struct top t = {};
	const struct trace_sink sink = { .session = ignore, .tick = list_listeners, .tick_ns = interval_ns(), .ctx = &t };
	int code = argc ? fail(EXIT_USAGE, "%s: takes options only", argv[0]) : tcp_filter(&filter);

	tcp_opt.columns = "pid,comm,netns,laddr,lport,backlog,backlog_max";
	if (!code)
		code = tcp_columns("", 0);
	if (!code)
		code = trace_open(&filter, &t.trace);
	if (code)
		return code;
	t.clock = tcp_clock(t.trace);
	if (out_is_json() && tcp_opt.interval) {
		out_lines();
		out_list("listeners");
	}
	code = list_listeners(&t);
	if (!code && tcp_opt.interval && (!tcp_opt.count || t.rounds < tcp_opt.count))
		code = trace_run(t.trace, tcp_opt.duration * SECOND_NS, &sink);
	if (out_is_json() && tcp_opt.interval)
		out_list_end();
	trace_close(t.trace);
	return code;
}
