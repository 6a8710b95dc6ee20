/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_hist: histograms that the tracing programs put together, as text or JSON, and `tcp rtt`. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "tcp.h"

#define X_TEXT(name, text) text,
static const char *const value_text[] = { HIST_VALUES(X_TEXT) };
static const char *const key_text[] = { HIST_KEYS(X_TEXT) };
#undef X_TEXT

enum { BAR = 40, LABEL = 64 };

static int index_of(const char *const *texts, int first, int n, const char *text, size_t len)
{
	for (int i = first; i < n; i++)
		if (strlen(texts[i]) == len && !memcmp(texts[i], text, len))
			return i;
	return -1;
}

static int parse_key(struct session_filter *f, const char *by)
{
	const char *slash = strchr(by, '/');
	int key = index_of(key_text, 0, HIST_KEY_COUNT, by, slash ? (size_t)(slash - by) : strlen(by));
	char *end;
	unsigned long bits = 128;

	if (key < 0)
		return fail(EXIT_USAGE, "by %s: not a key; comm, pid, uid, netns, cgroup, port, lport, rport, laddr, raddr or service", by);
	if (slash) {
		bits = strtoul(slash + 1, &end, 10);
		if ((key != HIST_BY_LADDR && key != HIST_BY_RADDR) || slash[1] < '0' || slash[1] > '9' || *end || bits > 128)
			return fail(EXIT_USAGE, "by %s: a length of prefix, 0 to 128, goes with laddr and raddr", by);
	}
	f->hist_by = key;
	f->names |= key == HIST_BY_CGROUP;
	f->hist_bits = bits;
	return 0;
}

int tcp_hist_parse(struct session_filter *f, const char *value, const char *by)
{
	int v = index_of(value_text, 1, HIST_VALUE_COUNT, value, strlen(value));

	if (v < 0)
		return fail(EXIT_USAGE, "--hist %s: not a value; duration, bytes, tx, rx or rtt", value);
	f->hist = v;
	return by ? parse_key(f, by) : 0;
}

struct entry {
	struct session_hist_key key;
	struct session_hist hist;
};

struct entries {
	struct entry *e;
	size_t n, size;
};

static void keep(void *ctx, const struct session_hist_key *key, const struct session_hist *h)
{
	struct entries *all = ctx;

	if (all->n == all->size) {
		all->size = all->size ? 2 * all->size : 64;
		all->e = must(realloc(all->e, all->size * sizeof(*all->e)));
	}
	all->e[all->n++] = (struct entry){ *key, *h };
}

static int by_count(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hist.count != y->hist.count)
		return x->hist.count > y->hist.count ? -1 : 1;
	return memcmp(&x->key, &y->key, sizeof(x->key));
}

static void key_label(char *text, size_t size, const struct session_filter *f, const struct session_hist_key *k)
{
	char address[INET6_ADDRSTRLEN];

	switch (f->hist_by) {
	case HIST_BY_ALL:
		snprintf(text, size, "all");
		return;
	case HIST_BY_COMM:
		snprintf(text, size, "%.16s", *k->bytes ? (const char *)k->bytes : "-");
		return;
	case HIST_BY_LADDR: case HIST_BY_RADDR: case HIST_BY_SERVICE:
		break;
	default:
		snprintf(text, size, "%llu", (unsigned long long)k->number);
		return;
	}
	inet_ntop(k->family, k->bytes, address, sizeof(address));
	if (f->hist_by == HIST_BY_SERVICE)
		snprintf(text, size, k->family == AF_INET6 ? "[%s]:%llu" : "%s:%llu", address, (unsigned long long)k->number);
	else if (f->hist_bits < (k->family == AF_INET6 ? 128 : 32))
		snprintf(text, size, "%s/%u", address, f->hist_bits);
	else
		snprintf(text, size, "%s", address);
}

static const char *unit(const struct session_filter *f)
{
	return f->hist == HIST_DURATION ? "ns" : f->hist == HIST_RTT ? "us" : "bytes";
}

static void slot_range(const struct session_hist *h, int *first, int *last)
{
	*first = 64;
	*last = -1;
	for (int i = 0; i < 64; i++) {
		if (!h->slots[i])
			continue;
		*last = i;
		if (*first == 64)
			*first = i;
	}
}

static uint64_t slot_from(int i)
{
	return i ? 1ull << i : 0;
}

static void print_json(const struct session_filter *f, const struct entry *e, const char *label)
{
	int first, last;

	out_row();
	out_text("value", value_text[f->hist]);
	out_text("unit", unit(f));
	out_text("by", key_text[f->hist_by]);
	out_text("key", label);
	out_text("service", f->hist_by == HIST_BY_SERVICE ? tcp_service_of(e->key.family, e->key.bytes, e->key.number) : NULL);
	out_number("count", e->hist.count);
	out_number("sum", e->hist.sum);
	out_list("slots");
	slot_range(&e->hist, &first, &last);
	for (int i = first; i <= last; i++) {
		out_row();
		out_number("from", slot_from(i));
		out_number("below", i == 63 ? UINT64_MAX : 1ull << (i + 1));
		out_number("count", e->hist.slots[i]);
	}
	out_list_end();
}

/* Powers of two read best in the unit's own thousands. */
static void scaled(char *text, size_t size, const struct session_filter *f, uint64_t v)
{
	static const char *const bytes[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
	static const char *const ns[] = { "ns", "us", "ms", "s" };
	uint64_t step = f->hist == HIST_DURATION || f->hist == HIST_RTT ? 1000 : 1024;
	int i = f->hist == HIST_RTT, most = step == 1000 ? 3 : 6;
	double d = v;

	for (; d >= step && i < most; i++)
		d /= step;
	snprintf(text, size, d < 10 && d != (uint64_t)d ? "%.1f%s" : "%.0f%s", d, step == 1000 ? ns[i] : bytes[i]);
}

static void print_text(const struct session_filter *f, const struct entry *e, const char *label)
{
	uint64_t most = 1;
	int first, last;
	char from[32], to[32], bar[BAR + 1];

	scaled(from, sizeof(from), f, e->hist.count ? e->hist.sum / e->hist.count : 0);
	printf("%s = %s: %llu, average %s\n", key_text[f->hist_by], label, (unsigned long long)e->hist.count, from);
	slot_range(&e->hist, &first, &last);
	for (int i = first; i <= last; i++)
		most = e->hist.slots[i] > most ? e->hist.slots[i] : most;
	for (int i = first; i <= last; i++) {
		int n = (e->hist.slots[i] * BAR + most - 1) / most;

		memset(bar, '#', n);
		bar[n] = 0;
		scaled(from, sizeof(from), f, slot_from(i));
		scaled(to, sizeof(to), f, i == 63 ? UINT64_MAX : 1ull << (i + 1));
		printf("%10s .. %-10s %10llu |%s\n", from, to, (unsigned long long)e->hist.slots[i], bar);
	}
	printf("\n");
}

int tcp_hist_print(struct trace *t, const struct session_filter *f, bool reset)
{
	struct entries all = {};
	char label[LABEL];

	trace_hists(t, reset, keep, &all);
	if (all.n)
		qsort(all.e, all.n, sizeof(*all.e), by_count);
	if (out_is_json())
		out_list("histograms");
	for (size_t i = 0; i < all.n; i++) {
		key_label(label, sizeof(label), f, &all.e[i].key);
		if (out_is_json())
			print_json(f, &all.e[i], label);
		else
			print_text(f, &all.e[i], label);
	}
	if (out_is_json())
		out_list_end();
	free(all.e);
	return 0;
}

static void ignore(void *ctx, const struct session *s)
{
	(void)ctx;
	(void)s;
}

static int sample(void *ctx)
{
	return trace_sample(ctx);
}

int tcp_rtt(int argc, char **argv)
{
	struct session_filter filter = { .events = 1 << SESSION_EVENT_END };
	struct trace *trace = NULL;
	struct trace_sink sink = { .session = ignore, .tick = sample, .tick_ns = (tcp_opt.interval ? tcp_opt.interval : 1) * SECOND_NS };
	int code = tcp_filter(&filter);

	if (argc && (argc != 2 || strcmp(argv[0], "by")))
		return fail(EXIT_USAGE, "%s: only \"by KEY\" goes here", argv[0]);
	if (!code)
		code = tcp_hist_parse(&filter, "rtt", argc ? argv[1] : "raddr/24");
	if (!code)
		code = trace_open(&filter, &trace);
	if (code)
		return code;
	sink.ctx = trace;
	code = trace_sample(trace);
	if (!code)
		code = trace_run(trace, tcp_opt.duration * SECOND_NS, &sink);
	if (!code)
		code = tcp_hist_print(trace, &filter, false);
	tcp_trailer(trace);
	trace_close(trace);
	return code;
}
