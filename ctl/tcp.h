/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp: what the files of the object tcp share: the options of its verbs, the filter they make, the columns they print. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "../loader/trace.h"
#include "verb.h"

enum { SECOND_NS = 1000000000 };

/* ---- tcp_filter.c */

extern struct tcp_options {
	unsigned long pid, duration, min_bytes, min_ms, sockets, interval, count, lines;
	const char *comm, *uid, *cgroup, *netns, *port, *lport, *rport, *addr, *laddr, *raddr;
	const char *columns, *hist, *by;
	bool wide, time, timestamp, csv, totals, failed, open, all, flow;
} tcp_opt;

#define TCP_FILTER_OPTIONS \
	{ "pid", 'p', OPT_NUMBER, &tcp_opt.pid, "PID", "only of this process" }, \
	{ "comm", 'c', OPT_TEXT, &tcp_opt.comm, "NAME", "only of processes with this name (COMM, whole)" }, \
	{ "uid", 'u', OPT_TEXT, &tcp_opt.uid, "USER", "only sockets of this user, by name or number" }, \
	{ "cgroup", 0, OPT_TEXT, &tcp_opt.cgroup, "CGROUP", "only sockets made in this cgroup (v2): a path, or its id" }, \
	{ "netns", 0, OPT_TEXT, &tcp_opt.netns, "NETNS", "only in this network namespace: a name, a path or an inode number" }, \
	{ "port", 'P', OPT_TEXT, &tcp_opt.port, "PORTS", "only with one of these ports on either end: 22,8000-8100" }, \
	{ "lport", 'L', OPT_TEXT, &tcp_opt.lport, "PORTS", "… on the local end" }, \
	{ "rport", 'D', OPT_TEXT, &tcp_opt.rport, "PORTS", "… on the remote end" }, \
	{ "addr", 'a', OPT_TEXT, &tcp_opt.addr, "PREFIXES", "only with an end in one of these: 10.0.0.0/8,2001:db8::/32" }, \
	{ "laddr", 0, OPT_TEXT, &tcp_opt.laddr, "PREFIXES", "… the local end" }, \
	{ "raddr", 0, OPT_TEXT, &tcp_opt.raddr, "PREFIXES", "… the remote end" }, \
	{ "min-bytes", 0, OPT_NUMBER, &tcp_opt.min_bytes, "BYTES", "only with at least so much payload, both directions together" }, \
	{ "min-ms", 0, OPT_NUMBER, &tcp_opt.min_ms, "MS", "only of at least this duration" }, \
	{ "duration", 'd', OPT_NUMBER, &tcp_opt.duration, "SECONDS", "stop after this time" }, \
	{ "sockets", 0, OPT_NUMBER, &tcp_opt.sockets, "N", "room for so many in the fast table (131072); more cost more" }

#define TCP_OUTPUT_OPTIONS \
	{ "wide", 'w', OPT_FLAG, &tcp_opt.wide, NULL, "whole COMM, columns that fit IPv6 addresses" }, \
	{ "columns", 'o', OPT_TEXT, &tcp_opt.columns, "COLUMNS", "these columns, in this order; \"+a,b\" adds, \"help\" lists them" }, \
	{ "time", 'T', OPT_FLAG, &tcp_opt.time, NULL, "begin with the time of day" }, \
	{ "timestamp", 't', OPT_FLAG, &tcp_opt.timestamp, NULL, "begin with the seconds since the start" }, \
	{ "csv", 's', OPT_FLAG, &tcp_opt.csv, NULL, "comma-separated values" }, \
	{ "flow", 0, OPT_FLAG, &tcp_opt.flow, NULL, "with rule, service and backend of the flow, where weir's datapath saw it" }, \
	{ "totals", 0, OPT_FLAG, &tcp_opt.totals, NULL, "close with what was counted" }

/* Options into a filter; events are the caller's. An exit code. */
int tcp_filter(struct session_filter *f);

/* "22,8000-8100" and "10.0.0.0/8,::1" are added to the filter. An exit code. */
int tcp_filter_ports(struct session_filter *f, const char *option, const char *text, enum session_side side);
int tcp_filter_prefixes(struct session_filter *f, const char *option, const char *text, enum session_side side);

/* ---- tcp_columns.c */

struct tcp_clock {
	uint64_t start_ns;	/* CLOCK_MONOTONIC */
	uint64_t wall_ns;	/* add to CLOCK_MONOTONIC for the time of day */
	uint64_t tick_ns;
};

struct tcp_clock tcp_clock(const struct trace *t);

/* The columns to print: by -o, or these names separated by commas. With -j all that belong to the events, or those of -o. An exit code. */
int tcp_columns(const char *names, uint32_t events);

/* Note in the filter what those among them need that costs extra. */
void tcp_columns_need(struct session_filter *f);

/* Those that tcp_columns() chose. */
void tcp_columns_start(void);
void tcp_row(const struct tcp_clock *clock, const struct session *s);

/* Names of the columns and what they mean. */
void tcp_columns_list(void);

const char *tcp_state_text(int state);
uint64_t tcp_duration_ns(const struct tcp_clock *clock, const struct session *s);

/* ---- tcp_kernel.c: names of what the kernel counts and calls */

const char *tcp_reason_text(uint32_t reason);
const char *tcp_place_text(uint64_t address);

/* ---- tcp_hist.c */

/* "duration" and "by", "raddr/24" into the filter. An exit code. */
int tcp_hist_parse(struct session_filter *f, const char *value, const char *by);
int tcp_hist_print(struct trace *t, const struct session_filter *f, bool reset);

/* ---- verbs */

int tcp_event_run(uint32_t events, const char *columns);
void tcp_trailer(struct trace *t);
int tcp_rtt(int argc, char **argv);
int tcp_top(int argc, char **argv);
int tcp_synbl(int argc, char **argv);

/* ---- tcp_flow.c: the flow of a session, from the instance's tables */

struct tcp_flow {
	uint32_t rule;			/* 0: none */
	const char *rule_text, *service;	/* NULL: none */
	int family;			/* of the backend; 0: none */
	uint8_t backend[16];
};

int tcp_flow_open(void);		/* an exit code; EXIT_NOTHING without an instance */
const struct tcp_flow *tcp_flow_of(const struct session *s);	/* NULL: none */

/* The service that listens there, NULL: none. Opens the instance when it can. */
const char *tcp_service_of(int family, const uint8_t *address, uint16_t port);
