/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_columns: what can be said about a session, a table of columns. JSON names, -o and headings come from it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "tcp.h"

#define X_TEXT(name, text) text,
static const char *const owner_text[] = { SESSION_OWNERS(X_TEXT) };
static const char *const closer_text[] = { SESSION_CLOSERS(X_TEXT) };
static const char *const end_text[] = { SESSION_ENDS(X_TEXT) };
static const char *const event_text[] = { SESSION_EVENTS(X_TEXT) };
#undef X_TEXT

enum { NARROW_COMM = 10, MAX_CHOSEN = 64 };

struct column {
	const char *name;
	int width, wide;		/* negative: left-aligned; wide 0: the same */
	uint32_t events;		/* whose JSON has it; 0: text only */
	void (*emit)(const struct column *c, const struct tcp_clock *clock, const struct session *s);
	const char *help;
};

#define ONLY(event) (1u << SESSION_EVENT_##event)
#define SESSIONS (ONLY(END) | ONLY(FAILED) | ONLY(OPEN))
#define ANY 0xffff
#define COUNTS (1u << 31)	/* of what session_filter.brief leaves out */

#define EMIT(name) static void name(const struct column *c, const struct tcp_clock *clock, const struct session *s)
#define UNUSED ((void)c, (void)clock, (void)s)

uint64_t tcp_duration_ns(const struct tcp_clock *clock, const struct session *s)
{
	return s->time_ns - (s->state.birth_ns ? s->state.birth_ns : clock->start_ns);
}

const char *tcp_state_text(int state)
{
	static const char *const text[] = { "", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
					    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV" };

	return state > 0 && state < (int)(sizeof(text) / sizeof(text[0])) ? text[state] : "";
}

static void out_printf(const char *key, const char *fmt, double v)
{
	char text[48];

	snprintf(text, sizeof(text), fmt, v);
	out_text(key, text);
}

/* n / per with two digits, as printf() rounds it but ten times as fast: every line has three. */
static void out_hundredths(const char *key, const char *prefix, uint64_t n, uint64_t per)
{
	unsigned __int128 hundred = (unsigned __int128)n * 100;
	uint64_t v = hundred / per, rest = hundred % per;
	char text[40], *p = text + sizeof(text) - 1;

	v += 2 * rest > per || (2 * rest == per && v & 1);
	*p = 0;
	for (int digit = 0; v || digit < 3; digit++) {
		if (digit == 2)
			*--p = '.';
		*--p = '0' + v % 10;
		v /= 10;
	}
	p -= strlen(prefix);
	memcpy(p, prefix, strlen(prefix));
	out_text(key, p);
}

/* From `from` to `to`, null where one of them was not seen. */
static void out_span(const char *key, uint64_t from, uint64_t to)
{
	if (from && to)
		out_number(key, to > from ? to - from : 0);
	else
		out_text(key, NULL);
}

/* In JSON the event is the column's name; a cell of text says which state, who … */
#define NUMBER(fn, expr) EMIT(fn) { UNUSED; out_number(c->name, expr); }
#define TEXT(fn, expr) EMIT(fn) { UNUSED; out_text(c->name, expr); }

NUMBER(emit_pid, s->state.process.pid)
NUMBER(emit_uid, s->uid)
NUMBER(emit_cgroup, s->cgroup)
NUMBER(emit_netns, s->netns)
NUMBER(emit_family, s->family == AF_INET6 ? 6 : 4)
NUMBER(emit_lport, ntohs(s->lport))
NUMBER(emit_rport, ntohs(s->rport))
NUMBER(emit_tx_bytes, s->tx_bytes)
NUMBER(emit_rx_bytes, s->rx_bytes)
NUMBER(emit_duration, tcp_duration_ns(clock, s))
NUMBER(emit_time_ns, s->time_ns + clock->wall_ns)
NUMBER(emit_error, s->error)
NUMBER(emit_retransmits, s->retransmits)
NUMBER(emit_retransmitted, s->retransmitted_bytes)
NUMBER(emit_segs_out, s->segs_out)
NUMBER(emit_segs_in, s->segs_in)
NUMBER(emit_srtt, s->srtt_us)
NUMBER(emit_cwnd, s->cwnd)
NUMBER(emit_mss, s->mss)
NUMBER(emit_busy, (s->busy + (uint64_t)s->rwnd_limited + s->sndbuf_limited) * clock->tick_ns)
NUMBER(emit_rwnd, s->rwnd_limited * clock->tick_ns)
NUMBER(emit_sndbuf, s->sndbuf_limited * clock->tick_ns)
NUMBER(emit_tx_window, s->snd_wnd)
NUMBER(emit_rx_window, s->rcv_wnd)
NUMBER(emit_detail0, s->detail[0])
NUMBER(emit_detail1, s->detail[1])
TEXT(emit_event, event_text[s->event])
TEXT(emit_congestion, s->congestion)
TEXT(emit_closer, s->state.closer ? closer_text[s->state.closer] : NULL)
TEXT(emit_end, end_text[s->end])
TEXT(emit_owner, owner_text[s->state.owner])
TEXT(emit_side, s->state.flags & SESSION_ACTIVE ? "connect" : s->state.flags & SESSION_PASSIVE ? "accept" : NULL)
TEXT(emit_old, tcp_state_text(s->last_state))
TEXT(emit_new, tcp_state_text(s->new_state))
TEXT(emit_reason, tcp_reason_text(s->detail[0]))
TEXT(emit_place, tcp_place_text(s->place))

EMIT(emit_comm)
{
	char text[sizeof(s->state.process.comm) + 1];
	size_t n = out_is_json() || tcp_opt.wide || tcp_opt.csv ? sizeof(text) - 1 : NARROW_COMM;

	UNUSED;
	memcpy(text, s->state.process.comm, sizeof(text) - 1);
	text[n] = 0;
	out_text(c->name, s->state.process.pid ? text : out_is_json() ? NULL : "-");
}

EMIT(emit_laddr) { UNUSED; out_address(c->name, s->family, s->laddr); }
EMIT(emit_raddr) { UNUSED; out_address(c->name, s->family, s->raddr); }
EMIT(emit_seeded) { UNUSED; out_bool(c->name, s->state.flags & SESSION_SEEDED); }
EMIT(emit_mapped) { UNUSED; out_bool(c->name, s->state.flags & SESSION_MAPPED); }
EMIT(emit_connect) { UNUSED; out_span(c->name, s->state.birth_ns, s->state.established_ns); }
EMIT(emit_transfer) { UNUSED; out_span(c->name, s->state.established_ns, s->state.fin_ns ? s->state.fin_ns : s->time_ns); }
EMIT(emit_closing) { UNUSED; out_span(c->name, s->state.fin_ns, s->time_ns); }
EMIT(emit_tx_kb) { UNUSED; out_hundredths(c->name, "", s->tx_bytes, 1024); }
EMIT(emit_rx_kb) { UNUSED; out_hundredths(c->name, "", s->rx_bytes, 1024); }
EMIT(emit_connect_ms) { UNUSED; out_printf(c->name, "%.3f", (s->time_ns - s->state.birth_ns) / 1e6); }
EMIT(emit_rtt_ms) { UNUSED; out_printf(c->name, "%.3f", s->srtt_us / 1e3); }
EMIT(emit_timestamp) { UNUSED; out_printf(c->name, "%.6f", (s->time_ns - clock->start_ns) / 1e9); }

EMIT(emit_ms)
{
	UNUSED;
	out_hundredths(c->name, s->state.birth_ns ? "" : "≥", tcp_duration_ns(clock, s), 1000000);
}

/* In the state that it left. */
EMIT(emit_state_ns)
{
	UNUSED;
	out_span(c->name, s->state.change_ns, s->time_ns);
}

EMIT(emit_state_ms)
{
	UNUSED;
	out_printf(c->name, "%.3f", s->state.change_ns ? (s->time_ns - s->state.change_ns) / 1e6 : 0);
}

EMIT(emit_min_rtt)
{
	UNUSED;
	if (s->min_rtt_us == UINT32_MAX)
		out_text(c->name, NULL);
	else
		out_number(c->name, s->min_rtt_us);
}

EMIT(emit_time)
{
	uint64_t ns = s->time_ns + clock->wall_ns;
	time_t second = ns / SECOND_NS;
	struct tm tm;
	char text[16];

	UNUSED;
	localtime_r(&second, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	out_text(c->name, text);
}

EMIT(emit_rule)
{
	const struct tcp_flow *f = tcp_flow_of(s);

	UNUSED;
	if (f && f->rule)
		out_number(c->name, f->rule);
	else
		out_text(c->name, NULL);
}

EMIT(emit_rule_text)
{
	const struct tcp_flow *f = tcp_flow_of(s);

	UNUSED;
	out_text(c->name, f ? f->rule_text : NULL);
}

EMIT(emit_service)
{
	const struct tcp_flow *f = tcp_flow_of(s);

	UNUSED;
	out_text(c->name, f ? f->service : NULL);
}

EMIT(emit_backend)
{
	const struct tcp_flow *f = tcp_flow_of(s);

	UNUSED;
	if (f && f->family)
		out_address(c->name, f->family, f->backend);
	else
		out_text(c->name, NULL);
}

static const struct column columns[] = {
	{ "time", -8, 0, 0, emit_time, "time of day" },
	{ "timestamp", -11, 0, 0, emit_timestamp, "seconds since the start" },
	{ "event", -10, 0, ANY, emit_event, "what happened: end, failed, connect, accept, state, retransmit, drop, open, listen" },
	{ "pid", -7, 0, ANY, emit_pid, "process that owned it; 0: unknown" },
	{ "comm", -NARROW_COMM, -16, ANY, emit_comm, "its name" },
	{ "uid", -5, 0, ANY, emit_uid, "user of the socket" },
	{ "netns", -10, 0, ANY, emit_netns, "network namespace, inode number" },
	{ "family", -6, 0, ANY, emit_family, "4 or 6" },
	{ "laddr", -15, -39, ANY, emit_laddr, "local address" },
	{ "lport", -5, 0, ANY, emit_lport, "local port" },
	{ "raddr", -15, -39, ANY, emit_raddr, "remote address" },
	{ "rport", -5, 0, ANY, emit_rport, "remote port" },
	{ "tx_bytes", -10, 0, ANY, emit_tx_bytes, "payload sent" },
	{ "rx_bytes", -10, 0, ANY, emit_rx_bytes, "payload received" },
	{ "tx_kb", -6, 0, 0, emit_tx_kb, "payload sent, KiB" },
	{ "rx_kb", -6, 0, 0, emit_rx_kb, "payload received, KiB" },
	{ "ms", -8, 0, 0, emit_ms, "duration; ≥: it was open before" },
	{ "duration_ns", -12, 0, ANY, emit_duration, "duration, from the SYN or from the start on" },
	{ "end_ns", -19, 0, ONLY(END), emit_time_ns, "when it ended" },
	{ "time_ns", -19, 0, ANY & ~ONLY(END), emit_time_ns, "when it happened" },
	{ "connect_ns", -10, 0, ANY, emit_connect, "from SYN to ESTABLISHED" },
	{ "transfer_ns", -12, 0, SESSIONS, emit_transfer, "from ESTABLISHED to the first FIN, or the end" },
	{ "closing_ns", -10, 0, SESSIONS, emit_closing, "from the first FIN to the end" },
	{ "side", -7, 0, ANY, emit_side, "who opened it: connect (this end), accept" },
	{ "closer", -6, 0, SESSIONS, emit_closer, "who closed it: local, remote, both" },
	{ "end", -7, 0, SESSIONS, emit_end, "how: fin, reset, timeout, error" },
	{ "error", -5, 0, ANY, emit_error, "errno of the socket" },
	{ "owner", -8, 0, ANY, emit_owner, "how the process is known: process, files, shared, listener, none" },
	{ "seeded", -6, 0, SESSIONS, emit_seeded, "was open before the start" },
	{ "mapped", -6, 0, ANY, emit_mapped, "an IPv6 socket that spoke IPv4" },
	{ "retransmits", -11, 0, ANY | COUNTS, emit_retransmits, "segments sent again" },
	{ "retransmitted_bytes", -10, 0, ANY | COUNTS, emit_retransmitted, "payload sent again" },
	{ "tx_segments", -11, 0, ANY | COUNTS, emit_segs_out, "segments sent" },
	{ "rx_segments", -11, 0, ANY | COUNTS, emit_segs_in, "segments received" },
	{ "srtt_us", -8, 0, ANY | COUNTS, emit_srtt, "smoothed round trip time" },
	{ "rtt_ms", -8, 0, COUNTS, emit_rtt_ms, "the same in milliseconds" },
	{ "min_rtt_us", -10, 0, ANY | COUNTS, emit_min_rtt, "shortest round trip time" },
	{ "cwnd", -5, 0, ANY | COUNTS, emit_cwnd, "congestion window, segments" },
	{ "congestion", -10, 0, ANY, emit_congestion, "congestion control" },
	{ "cgroup", -8, 0, ANY, emit_cgroup, "cgroup (v2) the socket was made in, id" },
	{ "mss", -5, 0, ANY | COUNTS, emit_mss, "segment size, bytes" },
	{ "busy_ns", -12, 0, SESSIONS | COUNTS, emit_busy, "time with data to send" },
	{ "rwnd_limited_ns", -15, 0, SESSIONS | COUNTS, emit_rwnd, "of it: stopped by the peer's window, zero windows among them" },
	{ "sndbuf_limited_ns", -17, 0, SESSIONS | COUNTS, emit_sndbuf, "of it: stopped by the send buffer" },
	{ "tx_window", -9, 0, SESSIONS | COUNTS, emit_tx_window, "the peer's last window, 0: closed" },
	{ "rx_window", -9, 0, SESSIONS | COUNTS, emit_rx_window, "our last window, 0: closed" },
	{ "old_state", -11, 0, ONLY(STATE) | ONLY(FAILED) | ONLY(END), emit_old, "TCP state before" },
	{ "new_state", -11, 0, ONLY(STATE), emit_new, "TCP state after" },
	{ "state", -11, 0, ONLY(RETRANSMIT) | ONLY(DROP) | ONLY(OPEN), emit_new, "TCP state" },
	{ "state_ns", -12, 0, ONLY(STATE), emit_state_ns, "time in old_state" },
	{ "state_ms", -9, 0, 0, emit_state_ms, "the same in milliseconds" },
	{ "connect_ms", -10, 0, 0, emit_connect_ms, "time to connect, or until it failed" },
	{ "seq", -10, 0, ONLY(RETRANSMIT) | COUNTS, emit_detail0, "sequence number of the segment" },
	{ "segment_bytes", -13, 0, ONLY(RETRANSMIT) | COUNTS, emit_detail1, "its length in sequence numbers" },
	{ "reason", -22, 0, ONLY(DROP) | COUNTS, emit_reason, "the kernel's drop reason" },
	{ "location", -30, 0, ONLY(DROP) | COUNTS, emit_place, "the kernel's function that dropped it" },
	{ "backlog", -7, 0, ONLY(LISTEN) | COUNTS, emit_detail0, "connections waiting to be accepted" },
	{ "backlog_max", -11, 0, ONLY(LISTEN) | COUNTS, emit_detail1, "how many may wait" },
	{ "rule", -6, 0, 0, emit_rule, "weir's rule that decided the flow" },
	{ "rule_text", -30, 0, 0, emit_rule_text, "its text" },
	{ "service", -12, 0, 0, emit_service, "weir's service of the flow" },
	{ "backend", -15, -39, 0, emit_backend, "its backend" },
};

enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static const struct column *chosen[MAX_CHOSEN];
static int n_chosen;

struct tcp_clock tcp_clock(const struct trace *t)
{
	struct timespec mono, wall;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct tcp_clock){
		.start_ns = trace_start_ns(t), .tick_ns = trace_tick_ns(),
		.wall_ns = (wall.tv_sec - mono.tv_sec) * (uint64_t)SECOND_NS + wall.tv_nsec - mono.tv_nsec,
	};
}

static int choose(const char *name, size_t n)
{
	for (int i = 0; i < N_COLUMNS; i++) {
		if (strlen(columns[i].name) != n || strncmp(columns[i].name, name, n))
			continue;
		if (n_chosen == MAX_CHOSEN)
			return fail(EXIT_USAGE, "--columns: at most %d", MAX_CHOSEN);
		chosen[n_chosen++] = &columns[i];
		return 0;
	}
	return fail(EXIT_USAGE, "--columns: %.*s: no such column; -o help lists them", (int)n, name);
}

static int choose_all(const char *names)
{
	for (const char *p = names; *p; p += *p == ',') {
		size_t n = strcspn(p, ",");
		int code = choose(p, n);

		if (code)
			return code;
		p += n;
	}
	return 0;
}

static void choose_events(uint32_t events)
{
	for (int i = 0; i < N_COLUMNS; i++)
		if (columns[i].events & events)
			chosen[n_chosen++] = &columns[i];
	if (tcp_opt.flow)
		choose_all("rule,rule_text,service,backend");
}

int tcp_columns(const char *names, uint32_t events)
{
	const char *own = tcp_opt.columns;
	int code = 0;

	n_chosen = 0;
	if (tcp_opt.time && !out_is_json())
		choose_all("time");
	if (tcp_opt.timestamp && !out_is_json())
		choose_all("timestamp");
	if (!own || *own == '+') {
		if (out_is_json())
			choose_events(events);
		else
			code = choose_all(names);
		if (!code && tcp_opt.flow && !out_is_json())
			code = choose_all("rule,service,backend");
		own = own ? own + 1 : "";
	}
	return code ? code : choose_all(own);
}

void tcp_columns_need(struct session_filter *f)
{
	f->brief = true;
	for (int i = 0; i < n_chosen; i++) {
		f->brief &= !(chosen[i]->events & COUNTS);
		f->names |= chosen[i]->emit == emit_congestion || chosen[i]->emit == emit_cgroup;
		f->fins |= chosen[i]->emit == emit_transfer || chosen[i]->emit == emit_closing;
	}
}

void tcp_columns_start(void)
{
	for (int i = 0; i < n_chosen; i++)
		out_column(chosen[i]->name, i == n_chosen - 1 ? -1 : tcp_opt.wide && chosen[i]->wide ? chosen[i]->wide : chosen[i]->width);
	if (tcp_opt.csv)
		out_csv();
	else
		out_lines();
	out_list("sessions");
}

void tcp_row(const struct tcp_clock *clock, const struct session *s)
{
	out_row();
	for (int i = 0; i < n_chosen; i++)
		chosen[i]->emit(chosen[i], clock, s);
}

void tcp_columns_list(void)
{
	out_list("columns");
	for (int i = 0; i < N_COLUMNS; i++) {
		out_row();
		out_text("column", columns[i].name);
		out_text("meaning", columns[i].help);
	}
	out_list_end();
}
