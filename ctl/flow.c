/* SPDX-License-Identifier: GPL-2.0-only */
/* flow: list and verify the accounts. */
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <netdb.h>
#include "../lib/out.h"
#include "../lib/run.h"
#include "../maps/total.h"
#include "counts.h"
#include "flow.h"
#include "generation.h"
#include "interfaces.h"
#include "service.h"
#include "jiffies.h"
#include "tcp_owner.h"
#include "verb.h"

static const char *address_text, *proto_text, *service_text, *sort_text = "bytes";
static unsigned long port, limit;
static bool first_n, with_owner;

/* ---- time: jiffies, low 32 bits → ns since 1970 */

struct jiffy_clock {
	uint32_t now;
	uint64_t tick_ns, wall_ns;
};

static struct jiffy_clock jiffy_clock(void)
{
	struct jiffy_clock c;
	struct timespec t;

	c.tick_ns = jiffy_ns();
	c.now = jiffies_now64();
	clock_gettime(CLOCK_REALTIME_COARSE, &t);	/* it ticks with jiffies */
	c.wall_ns = t.tv_sec * 1000000000ull + t.tv_nsec;
	return c;
}

static uint64_t jiffies_ago_ns(const struct jiffy_clock *c, uint32_t j)
{
	return (int32_t)(c->now - j) > 0 ? (uint64_t)(c->now - j) * c->tick_ns : 0;
}

/* ---- filter and order */

struct flow_filter {
	struct address address;
	bool has_address;
	int proto;		/* -1: any */
	const struct service *service;
};

static int parse_filter(struct flow_filter *f, const struct config *c)
{
	struct protoent *p;
	char *end;

	memset(f, 0, sizeof(*f));
	f->proto = -1;
	if (address_text && address_parse(&f->address, address_text))
		return fail(EXIT_USAGE, "--address %s: not an IPv4 or IPv6 address", address_text);
	f->has_address = address_text;
	if (port > 65535)
		return fail(EXIT_USAGE, "--port %lu: a port is at most 65535", port);
	if (proto_text) {
		p = getprotobyname(proto_text);
		f->proto = p ? p->p_proto : (int)strtoul(proto_text, &end, 10);
		if (!p && (*end || !*proto_text || f->proto > 255))
			return fail(EXIT_USAGE, "--proto %s: not a protocol: a name (tcp, udp, icmp …) or a number to 255", proto_text);
	}
	if (service_text) {
		f->service = config_service(c, service_text);
		if (!f->service)
			return no_such_service(service_text);
	}
	return 0;
}

static bool has_backend(const struct service *s, uint32_t slot)
{
	for (int i = 0; i < s->n_backends; i++)
		if (s->backends[i].slot == slot)
			return slot;
	return false;
}

static bool wanted(const struct flow_filter *f, const struct flow_view *v)
{
	size_t size = v->family == 4 ? 4 : 16;

	if (f->has_address && (f->address.family != v->family ||
			       (memcmp(f->address.bytes, v->src, size) && memcmp(f->address.bytes, v->dst, size))))
		return false;
	if (port && v->sport != port && v->dport != port)
		return false;
	if (f->proto >= 0 && v->proto != f->proto)
		return false;
	return !f->service || has_backend(f->service, v->backend);
}

static uint64_t all_bytes(const struct flow_view *v)
{
	return v->bytes + v->reverse_bytes;
}

static uint64_t all_packets(const struct flow_view *v)
{
	return v->packets + v->reverse_packets;
}

#define DESCENDING(name, expr) \
static int name(const void *a, const void *b) \
{ \
	const struct flow_view *v = a; \
	uint64_t x = expr, y; \
	v = b; \
	y = expr; \
	return x > y ? -1 : x < y; \
}
DESCENDING(by_bytes, all_bytes(v))
DESCENDING(by_packets, all_packets(v))
DESCENDING(by_first, v->first)
DESCENDING(by_last, v->last)

static const struct {
	const char *name;
	int (*compare)(const void *, const void *);
} orders[] = { { "bytes", by_bytes }, { "packets", by_packets }, { "first", by_first }, { "last", by_last } };

static int sort(struct flow_view *v, size_t n)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, sort_text))
			continue;
		if (n)
			qsort(v, n, sizeof(*v), orders[i].compare);
		return 0;
	}
	return fail(EXIT_USAGE, "--sort %s: not an order; bytes, packets, first or last", sort_text);
}

/* ---- output */

static void out_proto(uint8_t proto)
{
	struct protoent *p = getprotobynumber(proto);
	char number[8];

	snprintf(number, sizeof(number), "%u", proto);
	out_text("proto", p ? p->p_name : number);
}

static void out_backend(const struct config *c, uint32_t slot)
{
	for (int i = 0; slot && i < c->n_services; i++) {
		const struct service *s = &c->services[i];

		for (int b = 0; b < s->n_backends; b++) {
			if (s->backends[b].slot != slot)
				continue;
			out_text("service", s->name);
			out_address("backend", s->backends[b].addr.family == 4 ? AF_INET : AF_INET6, s->backends[b].addr.bytes);
			return;
		}
	}
	out_text("service", NULL);
	out_text("backend", NULL);
}

static void out_flags(const char *key, uint8_t flags)
{
	static const char letters[] = "FSRPAUEC";
	char text[9];
	int n = 0;

	for (int i = 0; i < 8; i++)
		if (flags & 1 << i)
			text[n++] = letters[i];
	text[n] = 0;
	out_text(key, text);
}

static void out_owner(const struct flow_view *v, bool destination)
{
	const struct session_process *p = tcp_owner_of(v, destination);

	if (p)
		out_number(destination ? "dst_pid" : "src_pid", p->pid);
	else
		out_text(destination ? "dst_pid" : "src_pid", NULL);
	out_text(destination ? "dst_comm" : "src_comm", p ? p->comm : NULL);
}

static void emit(const struct flow_view *v, const struct config *c, const struct interface_slot *slots, const struct jiffy_clock *clock)
{
	static const char *const states[] = { "half-open", "established", "closed" };
	int family = v->family == 4 ? AF_INET : AF_INET6;
	uint64_t first = jiffies_ago_ns(clock, v->first), last = jiffies_ago_ns(clock, v->last);

	out_row();
	out_proto(v->proto);
	out_address("src", family, v->src);
	out_number("sport", v->sport);
	out_address("dst", family, v->dst);
	out_number("dport", v->dport);
	out_number("packets", v->packets);
	out_number("bytes", v->bytes);
	out_number("reverse_packets", v->reverse_packets);
	out_number("reverse_bytes", v->reverse_bytes);
	out_hidden(true);
	out_number("first_ns", clock->wall_ns - first);
	out_number("last_ns", clock->wall_ns - last);
	out_text("interface", slots[v->interface % MAX_INTERFACES].name);
	out_number("vlan", v->vlan);
	out_bool("fragments", v->fragments);
	out_flags("tcp_flags", v->flags);
	out_flags("reverse_tcp_flags", v->reverse_flags);
	out_number("reverse_rule", v->reverse_rule);
	out_hidden(false);
	out_text("state", states[v->state]);
	out_number("rule", v->rule);
	out_backend(c, v->backend);
	if (with_owner) {
		out_owner(v, false);
		out_owner(v, true);
	}
	if (!out_is_json()) {
		out_ns("age", first);
		out_ns("idle", last);
	}
}

static int parse_limit(int argc, char **argv)
{
	char *end;

	if (!argc)
		return 0;
	limit = strtoul(argv[0], &end, 10);
	if (argc > 1 || !first_n || argv[0][0] < '0' || argv[0][0] > '9' || *end)
		return fail(EXIT_USAGE, "%s: takes options only", argv[argc > 1]);
	return 0;
}

static int list(const struct config *c)
{
	const struct interface_slot *slots = interfaces_read();
	struct jiffy_clock clock = jiffy_clock();
	struct flow_filter filter;
	struct flow_view *v = NULL;
	size_t n = 0, shown = 0;
	int err = parse_filter(&filter, c);

	if (!err && !slots)
		err = EXIT_NOTHING;
	if (!err && with_owner)
		err = tcp_owners_read();
	if (!err)
		err = flows_read(&v, &n);
	if (!err)
		err = sort(v, n);
	if (!err)
		out_list("flows");
	for (size_t i = 0; !err && i < n && (!limit || shown < limit); i++) {
		if (!wanted(&filter, &v[i]))
			continue;
		emit(&v[i], c, slots, &clock);
		shown++;
	}
	if (!err)
		out_list_end();
	free(v);
	return err;
}

static int flow_list(int argc, char **argv)
{
	struct config c;
	int err = parse_limit(argc, argv);

	if (!err)
		err = generation_read(&c, NULL);
	if (err)
		return err;
	err = list(&c);
	config_free(&c);
	return err;
}

/* ---- verify: totals = exported + live + overflow */

struct sums {
	uint64_t packets, bytes;
};

static int read_totals(struct sums *totals, struct sums *overflow)
{
	static const enum pass_reason booked[] = { PASS_FLOW, PASS_TABLE_FULL, PASS_INSERT_LIMIT };
	struct counts counts;
	struct total t;
	int err = counts_open(&counts, "totals", sizeof(t));

	for (uint32_t i = 0; !err && i < MAX_INTERFACES * HOOK_COUNT; i++) {
		for (int r = 0; r < 9; r++) {
			enum pass_reason reason = booked[r % 3];

			if (counts_read(&counts, i * TOTAL_ROWS + TOTAL_PASS + r / 3 * PASS_COUNT + reason, &t))
				continue;
			totals->packets += t.packets;
			totals->bytes += t.ip_bytes;
			if (reason == PASS_FLOW)
				continue;
			overflow->packets += t.packets;
			overflow->bytes += t.ip_bytes;
		}
	}
	counts_close(&counts);
	return err;
}

static int read_aged(struct sums *exported)
{
	struct counts counts;
	struct flow_aged a;
	int err = counts_open(&counts, "flow_aged", sizeof(a));

	for (uint32_t i = 0; !err && i < MAX_INTERFACES; i++) {
		if (counts_read(&counts, i, &a))
			continue;
		exported->packets += a.packets;
		exported->bytes += a.bytes;
	}
	counts_close(&counts);
	return err;
}

static void out_sums(const char *key, const struct sums *s)
{
	out_object(key);
	out_number("packets", s->packets);
	out_number("bytes", s->bytes);
	out_object_end();
}

static void table_row(const char *what, int64_t packets, int64_t bytes)
{
	out_row();
	out_text("what", what);
	out_signed("packets", packets);
	out_signed("bytes", bytes);
}

static void show_sums(const struct sums *totals, const struct sums *exported, const struct sums *live, const struct sums *overflow,
		      int64_t packets, int64_t bytes)
{
	if (out_is_json()) {
		out_sums("totals", totals);
		out_sums("exported", exported);
		out_sums("live", live);
		out_sums("overflow", overflow);
		out_object("difference");
		out_signed("packets", packets);
		out_signed("bytes", bytes);
		out_object_end();
		return;
	}
	out_list("sums");
	table_row("totals", totals->packets, totals->bytes);
	table_row("exported", exported->packets, exported->bytes);
	table_row("live", live->packets, live->bytes);
	table_row("overflow", overflow->packets, overflow->bytes);
	table_row("difference", packets, bytes);
	out_list_end();
}

static int flow_verify(int argc, char **argv)
{
	struct sums totals = {}, exported = {}, live = {}, overflow = {};
	struct flow_view *v = NULL;
	int64_t packets, bytes;
	size_t n = 0;
	int err;

	(void)argv;
	if (argc)
		return fail(EXIT_USAGE, "takes no words");
	err = read_totals(&totals, &overflow);
	if (!err)
		err = read_aged(&exported);
	if (!err)
		err = flows_read(&v, &n);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		live.packets += all_packets(&v[i]);
		live.bytes += all_bytes(&v[i]);
	}
	free(v);
	packets = totals.packets - exported.packets - live.packets - overflow.packets;
	bytes = totals.bytes - exported.bytes - live.bytes - overflow.bytes;
	show_sums(&totals, &exported, &live, &overflow, packets, bytes);
	return 0;
}

static const struct opt list_opts[] = {
	{ "address", 0, OPT_TEXT, &address_text, "ADDRESS", "flows from or to this address" },
	{ "port", 0, OPT_NUMBER, &port, "PORT", "flows from or to this port" },
	{ "proto", 0, OPT_TEXT, &proto_text, "PROTO", "tcp, udp, icmp … or a number" },
	{ "service", 0, OPT_TEXT, &service_text, "NAME", "flows to the backends of this service" },
	{ "sort", 0, OPT_TEXT, &sort_text, "ORDER", "bytes (default), packets, first or last; largest and latest first" },
	{ "limit", 0, OPT_NUMBER, &limit, "N", "the first N only" },
	{ "owner", 'p', OPT_FLAG, &with_owner, NULL, "TCP: the processes of this host that have the ends" },
	{ "numeric", 'n', OPT_FLAG, &first_n, NULL, "numbers, never names: always so; -n N is --limit N" },
	{}
};

static const struct verb verbs[] = {
	{ "list", "", "flows with what both directions counted", flow_list, list_opts },
	{ "verify", "", "totals against flows: the difference is 0 when nothing is on the way", flow_verify, NULL },
	{}
};

const struct object flow_object = { "flow", "bidirectional 5-tuples as the wire shows them", verbs };
