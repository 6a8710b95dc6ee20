/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp: the TCP sessions of the host, all namespaces: their ends, beginnings and mishaps as they happen, with the process that owned
 * them. One engine (loader/trace.h), one table of columns; a verb is which events and which columns. */
#include <inttypes.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "tcp.h"

#define EVENT(name) (1u << SESSION_EVENT_##name)

static const struct opt life_opts[] = {
	TCP_FILTER_OPTIONS,
	TCP_OUTPUT_OPTIONS,
	{ "failed", 0, OPT_FLAG, &tcp_opt.failed, NULL, "failed connects instead of sessions" },
	{ "open", 0, OPT_FLAG, &tcp_opt.open, NULL, "at the end also the sessions still open" },
	{ "hist", 0, OPT_TEXT, &tcp_opt.hist, "VALUE", "histograms at the end: duration, bytes, tx, rx, rtt; by as words: \"by raddr/24\"" },
	{ 0 },
};

static const struct opt event_opts[] = { TCP_FILTER_OPTIONS, TCP_OUTPUT_OPTIONS, { 0 } };

static const struct opt connect_opts[] = {
	TCP_FILTER_OPTIONS,
	TCP_OUTPUT_OPTIONS,
	{ "failed", 0, OPT_FLAG, &tcp_opt.failed, NULL, "those that failed only" },
	{ 0 },
};

static const struct opt drop_opts[] = {
	TCP_FILTER_OPTIONS,
	TCP_OUTPUT_OPTIONS,
	{ "all", 0, OPT_FLAG, &tcp_opt.all, NULL, "also drops without a reason, and queues emptied at close" },
	{ 0 },
};

static const struct opt rtt_opts[] = {
	TCP_FILTER_OPTIONS,
	{ "interval", 'i', OPT_NUMBER, &tcp_opt.interval, "SECONDS", "a sample of the open sessions so often (1)" },
	{ 0 },
};

static const struct opt top_opts[] = {
	TCP_FILTER_OPTIONS,
	{ "wide", 'w', OPT_FLAG, &tcp_opt.wide, NULL, "whole COMM" },
	{ "by", 'b', OPT_TEXT, &tcp_opt.by, "WHAT", "session (default) or process" },
	{ "interval", 'i', OPT_NUMBER, &tcp_opt.interval, "SECONDS", "length of a round (1)" },
	{ "count", 'n', OPT_NUMBER, &tcp_opt.count, "ROUNDS", "stop after so many" },
	{ "lines", 'l', OPT_NUMBER, &tcp_opt.lines, "LINES", "at most so many a round (20)" },
	{ 0 },
};

static const struct opt synbl_opts[] = {
	TCP_FILTER_OPTIONS,
	{ "wide", 'w', OPT_FLAG, &tcp_opt.wide, NULL, "whole COMM, columns that fit IPv6 addresses" },
	{ "interval", 'i', OPT_NUMBER, &tcp_opt.interval, "SECONDS", "again after so many" },
	{ "count", 'n', OPT_NUMBER, &tcp_opt.count, "ROUNDS", "stop after so many (1 without --interval)" },
	{ 0 },
};

struct run {
	struct tcp_clock clock;
};

static void row(void *ctx, const struct session *s)
{
	struct run *run = ctx;

	tcp_row(&run->clock, s);
}

static int batch(void *ctx)
{
	(void)ctx;
	return out_flush();
}

struct total {
	const char *name;
	uint64_t value;
};

static void print_totals(const struct trace_totals *t)
{
	const struct session_counts *c = &t->counts;
	const struct total totals[] = {
		{ "opened", c->opened }, { "seeded", c->seeded }, { "ended", c->ended }, { "filtered", c->filtered },
		{ "held", c->held_in - c->held_out }, { "open", t->open }, { "failed", c->failed }, { "events", c->events },
		{ "lost_full", c->lost_full }, { "lost_missed", c->lost_missed }, { "no_memory", c->no_memory }, { "late", c->late },
		{ "skipped", t->skipped }, { "spilled", c->spill_in }, { "hist_full", c->hist_full },
	};
	char text[512] = "";

	if (out_is_json()) {
		out_row();
		out_object("totals");
	}
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
		size_t n = strlen(text);

		if (out_is_json())
			out_number(totals[i].name, totals[i].value);
		else
			snprintf(text + n, sizeof(text) - n, "%s%s %" PRIu64, i ? ", " : "", totals[i].name, totals[i].value);
	}
	if (out_is_json())
		out_object_end();
	else
		note("sessions: %s", text);
}

void tcp_trailer(struct trace *t)
{
	struct trace_totals totals;
	const struct session_counts *c = &totals.counts;

	trace_totals(t, &totals);
	if (tcp_opt.totals)
		print_totals(&totals);
	if (c->lost_full)
		note("%" PRIu64 " records lost: the ring was full, they came faster than they were read", (uint64_t)c->lost_full);
	if (c->lost_missed)
		note("%" PRIu64 " sessions lost: the kernel skipped our program when they ended", (uint64_t)c->lost_missed);
	if (c->no_memory)
		note("%" PRIu64 " sockets without state: their option memory (net.core.optmem_max) was used up", (uint64_t)c->no_memory);
	if (c->held_in > c->held_out)
		note("%" PRIu64 " ended sessions not shown: no process closed their sockets", (uint64_t)(c->held_in - c->held_out));
	if (c->hist_full)
		note("%" PRIu64 " sessions in no histogram: there were too many keys", (uint64_t)c->hist_full);
}

static int follow(struct trace *trace, struct run *run)
{
	const struct trace_sink sink = { .session = row, .batch = batch, .ctx = run };
	int code;

	tcp_columns_start();
	code = trace_run(trace, tcp_opt.duration * SECOND_NS, &sink);
	if (!code && tcp_opt.open)
		code = trace_list(trace, EVENT(OPEN), row, run);
	tcp_trailer(trace);
	out_list_end();
	return code;
}

static int open_trace(const struct session_filter *filter, struct trace **trace)
{
	int code = tcp_opt.flow ? tcp_flow_open() : 0;

	return code ? code : trace_open(filter, trace);
}

int tcp_event_run(uint32_t events, const char *columns)
{
	struct session_filter filter = { .events = events, .drop_all = tcp_opt.all };
	struct trace *trace = NULL;
	struct run run;
	int code = tcp_filter(&filter);

	if (!code)
		code = tcp_columns(columns, events | (tcp_opt.open ? EVENT(OPEN) : 0));
	tcp_columns_need(&filter);
	if (!code)
		code = open_trace(&filter, &trace);
	if (code)
		return code;
	run.clock = tcp_clock(trace);
	code = follow(trace, &run);
	trace_close(trace);
	return code;
}

static int hist_batch(void *ctx)
{
	(void)ctx;
	return 0;
}

static int life_hist(const char *by)
{
	const struct trace_sink sink = { .session = row, .batch = hist_batch };
	struct session_filter filter = { .events = EVENT(END) };
	struct trace *trace = NULL;
	int code = tcp_filter(&filter);

	if (!code)
		code = tcp_hist_parse(&filter, tcp_opt.hist, by);
	if (!code)
		code = trace_open(&filter, &trace);
	if (code)
		return code;
	code = trace_run(trace, tcp_opt.duration * SECOND_NS, &sink);
	if (!code)
		code = tcp_hist_print(trace, &filter, false);
	tcp_opt.totals = false;
	tcp_trailer(trace);
	trace_close(trace);
	return code;
}

static bool lists_columns(void)
{
	if (!tcp_opt.columns || strcmp(tcp_opt.columns, "help"))
		return false;
	tcp_columns_list();
	return true;
}

static int no_words(int argc, char **argv)
{
	return argc ? fail(EXIT_USAGE, "%s: takes options only", argv[0]) : 0;
}

static int tcp_life(int argc, char **argv)
{
	static const char columns[] = "pid,comm,laddr,lport,raddr,rport,tx_kb,rx_kb,ms";

	if (lists_columns())
		return 0;
	if (tcp_opt.hist && argc && (argc != 2 || strcmp(argv[0], "by")))
		return fail(EXIT_USAGE, "%s: after --hist VALUE only \"by KEY\"", argv[0]);
	if (tcp_opt.hist)
		return life_hist(argc ? argv[1] : NULL);
	if (no_words(argc, argv))
		return EXIT_USAGE;
	if (tcp_opt.failed)
		return tcp_event_run(EVENT(FAILED), "pid,comm,laddr,lport,raddr,rport,end,error,ms");
	return tcp_event_run(EVENT(END), columns);
}

static int event_verb(int argc, char **argv, uint32_t events, const char *columns)
{
	if (lists_columns())
		return 0;
	return no_words(argc, argv) ? EXIT_USAGE : tcp_event_run(events, columns);
}

static int tcp_connect(int argc, char **argv)
{
	return event_verb(argc, argv, EVENT(FAILED) | (tcp_opt.failed ? 0 : EVENT(CONNECT)),
			  "pid,comm,family,laddr,lport,raddr,rport,connect_ms,event,error");
}

static int tcp_accept(int argc, char **argv)
{
	return event_verb(argc, argv, EVENT(ACCEPT), "pid,comm,family,raddr,rport,laddr,lport");
}

static int tcp_states(int argc, char **argv)
{
	return event_verb(argc, argv, EVENT(STATE), "pid,comm,laddr,lport,raddr,rport,old_state,new_state,state_ms");
}

static int tcp_retrans(int argc, char **argv)
{
	return event_verb(argc, argv, EVENT(RETRANSMIT), "pid,comm,family,laddr,lport,raddr,rport,state,seq,segment_bytes,retransmits");
}

static int tcp_drop(int argc, char **argv)
{
	return event_verb(argc, argv, EVENT(DROP), "pid,comm,family,laddr,lport,raddr,rport,state,reason,location");
}

static const struct verb tcp_verbs[] = {
	{ "life", "[by KEY]", "TCP sessions as they end: process, addresses, payload, duration", tcp_life, life_opts },
	{ "connect", "", "connects as they succeed or fail, and how long they took", tcp_connect, connect_opts },
	{ "accept", "", "accepted connections, with the process that has them", tcp_accept, event_opts },
	{ "states", "", "every change of state, and the time in the one before", tcp_states, event_opts },
	{ "retrans", "", "segments that are sent again", tcp_retrans, event_opts },
	{ "drop", "", "segments that this kernel drops, and why", tcp_drop, drop_opts },
	{ "rtt", "[by KEY]", "histograms of round trip times by address, prefix, service …", tcp_rtt, rtt_opts },
	{ "top", "", "who sends and receives most, now", tcp_top, top_opts },
	{ "synbl", "", "listeners, and how many connections wait to be accepted", tcp_synbl, synbl_opts },
	{ 0 },
};

const struct object tcp_object = { "tcp", "TCP sessions of this host", tcp_verbs };
