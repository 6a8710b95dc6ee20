/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp: the TCP sessions of the host, all namespaces, as they end, with the process that owned them. Columns are tcplife's, in its
 * order. Records come from loader/trace.h; what they mean is in maps/session.h. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "../loader/trace.h"
#include "verb.h"

#define X_TEXT(name, text) text,
static const char *const owner_text[] = { SESSION_OWNERS(X_TEXT) };
static const char *const closer_text[] = { SESSION_CLOSERS(X_TEXT) };
static const char *const end_text[] = { SESSION_ENDS(X_TEXT) };
#undef X_TEXT

enum { NARROW_COMM = 10, SECOND_NS = 1000000000 };

static struct {
	unsigned long pid, port, duration;
	bool wide;
} opt;

static const struct opt life_opts[] = {
	{ "pid", 'p', OPT_NUMBER, &opt.pid, "PID", "only sessions of this process" },
	{ "port", 'P', OPT_NUMBER, &opt.port, "PORT", "only sessions with this port on either end" },
	{ "duration", 'd', OPT_NUMBER, &opt.duration, "SECONDS", "stop after this time" },
	{ "wide", 'w', OPT_FLAG, &opt.wide, NULL, "whole COMM, columns that fit IPv6 addresses" },
	{ 0 },
};

struct life {
	uint64_t start_ns;	/* CLOCK_MONOTONIC */
	uint64_t wall_ns;	/* add to CLOCK_MONOTONIC for the time of day */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * (uint64_t)SECOND_NS + t.tv_nsec;
}

/* Sessions that were open before us: what we saw of them, a lower bound. */
static uint64_t duration_ns(const struct life *l, const struct session *s)
{
	return s->end_ns - (s->state.birth_ns ? s->state.birth_ns : l->start_ns);
}

static const char *comm_of(const struct session *s)
{
	return s->state.process.pid ? s->state.process.comm : NULL;
}

/* From `from` to `to`, null where one of them was not seen. */
static void out_span(const char *key, uint64_t from, uint64_t to)
{
	if (from && to)
		out_ns(key, to - from);
	else
		out_text(key, NULL);
}

static void emit_json(const struct life *l, const struct session *s)
{
	const struct session_state *st = &s->state;

	out_number("pid", st->process.pid);
	out_text("comm", comm_of(s));
	out_number("uid", s->uid);
	out_number("netns", s->netns);
	out_number("family", s->family == AF_INET6 ? 6 : 4);
	out_address("laddr", s->family, s->laddr);
	out_number("lport", ntohs(s->lport));
	out_address("raddr", s->family, s->raddr);
	out_number("rport", ntohs(s->rport));
	out_number("tx_bytes", s->tx_bytes);
	out_number("rx_bytes", s->rx_bytes);
	out_number("duration_ns", duration_ns(l, s));
	out_number("end_ns", s->end_ns + l->wall_ns);
	out_span("connect_ns", st->flags & SESSION_ACTIVE ? st->birth_ns : 0, st->established_ns);
	out_span("closing_ns", st->fin_ns, s->end_ns);
	out_text("side", st->flags & SESSION_ACTIVE ? "connect" : st->flags & SESSION_PASSIVE ? "accept" : NULL);
	out_text("closer", st->closer ? closer_text[st->closer] : NULL);
	out_text("end", end_text[s->end]);
	out_number("error", s->error);
	out_text("owner", owner_text[st->owner]);
	out_bool("seeded", st->flags & SESSION_SEEDED);
	out_bool("mapped", st->flags & SESSION_MAPPED);
	out_number("retransmits", s->retransmits);
	out_number("retransmitted_bytes", s->retransmitted_bytes);
	out_number("tx_segments", s->segs_out);
	out_number("rx_segments", s->segs_in);
	out_number("srtt_us", s->srtt_us);
	if (s->min_rtt_us == UINT32_MAX)
		out_text("min_rtt_us", NULL);
	else
		out_number("min_rtt_us", s->min_rtt_us);
	out_number("cwnd", s->cwnd);
	out_text("congestion", s->congestion);
}

static void out_kib(const char *key, uint64_t bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f", bytes / 1024.0);
	out_text(key, text);
}

static void emit_line(const struct life *l, const struct session *s)
{
	char text[64];

	out_number("pid", s->state.process.pid);
	snprintf(text, sizeof(text), "%.*s", opt.wide ? (int)sizeof(s->state.process.comm) : NARROW_COMM, comm_of(s) ? comm_of(s) : "-");
	out_text("comm", text);
	out_address("laddr", s->family, s->laddr);
	out_number("lport", ntohs(s->lport));
	out_address("raddr", s->family, s->raddr);
	out_number("rport", ntohs(s->rport));
	out_kib("tx_kb", s->tx_bytes);
	out_kib("rx_kb", s->rx_bytes);
	snprintf(text, sizeof(text), "%s%.2f", s->state.birth_ns ? "" : "≥", duration_ns(l, s) / 1e6);
	out_text("ms", text);
}

static void life_session(void *ctx, const struct session *s)
{
	out_row();
	if (out_is_json())
		emit_json(ctx, s);
	else
		emit_line(ctx, s);
}

static int life_batch(void *ctx)
{
	(void)ctx;
	return out_flush();
}

static void life_columns(void)
{
	int address = opt.wide ? -39 : -15;

	out_column("pid", -7);
	out_column("comm", opt.wide ? -16 : -NARROW_COMM);
	out_column("laddr", address);
	out_column("lport", -5);
	out_column("raddr", address);
	out_column("rport", -5);
	out_column("tx_kb", -6);
	out_column("rx_kb", -6);
	out_column("ms", -1);
	out_lines();
}

static void life_trailer(const struct session_counts *c)
{
	if (c->lost_full)
		note("%" PRIu64 " sessions lost: the ring was full, they ended faster than they were read", (uint64_t)c->lost_full);
	if (c->no_memory)
		note("%" PRIu64 " sockets without state: their option memory (net.core.optmem_max) was used up", (uint64_t)c->no_memory);
	if (c->held)
		note("%" PRIu64 " ended sessions not shown: no process closed their sockets", (uint64_t)c->held);
}

static int check_life(int argc, char **argv)
{
	if (argc)
		return fail(EXIT_USAGE, "%s: takes options only", argv[0]);
	if (opt.pid > INT32_MAX)
		return fail(EXIT_USAGE, "--pid %lu: not a process id", opt.pid);
	if (opt.port > UINT16_MAX)
		return fail(EXIT_USAGE, "--port %lu: a port is at most 65535", opt.port);
	if (opt.duration > UINT64_MAX / SECOND_NS)
		return fail(EXIT_USAGE, "--duration %lu: too long", opt.duration);
	return 0;
}

static int tcp_life(int argc, char **argv)
{
	struct session_filter filter = { .pid = opt.pid, .port = opt.port };
	struct life life = { 0 };
	const struct trace_sink sink = { .session = life_session, .batch = life_batch, .ctx = &life };
	struct trace *trace = NULL;
	int code = check_life(argc, argv);

	if (code)
		return code;
	code = trace_open(&filter, &trace);
	if (code)
		return code;
	life.start_ns = trace_start_ns(trace);
	life.wall_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
	life_columns();
	out_list("sessions");
	code = trace_run(trace, opt.duration * SECOND_NS, &sink);
	out_list_end();
	life_trailer(trace_counts(trace));
	trace_close(trace);
	return code;
}

static const struct verb tcp_verbs[] = {
	{ "life", "", "TCP sessions as they end: process, addresses, payload, duration", tcp_life, life_opts },
	{ 0 },
};

const struct object tcp_object = { "tcp", "TCP sessions of this host", tcp_verbs };
