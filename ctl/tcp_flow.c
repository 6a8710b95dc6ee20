/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_flow: what weir's datapath knows about a session, and which processes have the ends of a flow. Joined here by addresses and
 * ports: the kernel's side of either knows nothing of the other. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/pace.h"
#include "../maps/rule.h"
#include "config.h"
#include "flow.h"
#include "generation.h"
#include "tcp.h"
#include "tcp_owner.h"

static struct {
	bool open, tried;
	struct config config;
	struct flow_view *flows;	/* of TCP, sorted by their ends */
	size_t n;
	uint64_t read_ns;		/* CLOCK_MONOTONIC: the table was read no earlier */
	struct tcp_flow found;
	char *text;
} joined;

/* Both ends in one order, whoever opened the flow. */
struct ends {
	int family;
	uint8_t addr[2][16];
	uint16_t port[2];
};

static struct ends ends_of(int family, const uint8_t *a, uint16_t aport, const uint8_t *b, uint16_t bport)
{
	struct ends e = { .family = family };
	int d = memcmp(a, b, 16), first = d > 0 || (!d && aport > bport);

	memcpy(e.addr[first], a, 16);
	memcpy(e.addr[!first], b, 16);
	e.port[first] = aport;
	e.port[!first] = bport;
	return e;
}

static struct ends ends_of_flow(const struct flow_view *v)
{
	return ends_of(v->family, v->src, v->sport, v->dst, v->dport);
}

static struct ends ends_of_session(const struct session *s)
{
	return ends_of(s->family == AF_INET6 ? 6 : 4, s->laddr, ntohs(s->lport), s->raddr, ntohs(s->rport));
}

static int compare_ends(const struct ends *a, const struct ends *b)
{
	int d = a->family - b->family;

	if (!d)
		d = memcmp(a->addr, b->addr, sizeof(a->addr));
	return d ? d : memcmp(a->port, b->port, sizeof(a->port));
}

static int compare_flows(const void *a, const void *b)
{
	struct ends x = ends_of_flow(a), y = ends_of_flow(b);

	return compare_ends(&x, &y);
}

static int compare_to_flow(const void *key, const void *flow)
{
	struct ends y = ends_of_flow(flow);

	return compare_ends(key, &y);
}

static void read_flows(void)
{
	size_t n = 0;

	free(joined.flows);
	joined.flows = NULL;
	joined.n = 0;
	joined.read_ns = monotonic_ns();
	if (flows_read(&joined.flows, &n)) {	/* detached meanwhile: sessions go on without */
		fail_clear();
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (joined.flows[i].proto == IPPROTO_TCP)
			joined.flows[joined.n++] = joined.flows[i];
	if (joined.n)
		qsort(joined.flows, joined.n, sizeof(*joined.flows), compare_flows);
}

int tcp_flow_open(void)
{
	int code = joined.open ? 0 : generation_read(&joined.config, NULL);

	joined.tried = true;
	joined.open = !code;
	return code;
}

static const char *text_of_rule(uint32_t id)
{
	free(joined.text);
	joined.text = NULL;
	for (int k = 0; id && k < CHAIN_COUNT; k++) {
		const struct chain *c = &joined.config.chains[k];

		if (id == (k ? RULE_POLICY_EGRESS : RULE_POLICY_INGRESS))
			return c->policy_drop ? "policy drop" : "policy accept";
		for (int i = 0; i < c->n_rules; i++)
			if (c->rules[i].id == id)
				return joined.text = rule_text(&c->rules[i]);
	}
	return NULL;
}

static void name_backend(struct tcp_flow *f, uint32_t slot)
{
	for (int i = 0; slot && i < joined.config.n_services; i++) {
		const struct service *s = &joined.config.services[i];

		for (int b = 0; b < s->n_backends; b++) {
			if (s->backends[b].slot != slot)
				continue;
			f->service = s->name;
			f->family = s->backends[b].addr.family == 6 ? AF_INET6 : AF_INET;
			memcpy(f->backend, s->backends[b].addr.bytes, sizeof(f->backend));
			return;
		}
	}
}

/* The table is read again for a session that something happened to since. Of several flows between the same ends (two interfaces, a
 * VLAN) the one that says most. */
static const struct flow_view *find(const struct session *s)
{
	struct ends e = ends_of_session(s);
	const struct flow_view *v, *last, *best = NULL;

	if (s->time_ns > joined.read_ns)
		read_flows();
	last = joined.flows + joined.n;
	v = joined.n ? bsearch(&e, joined.flows, joined.n, sizeof(*v), compare_to_flow) : NULL;
	while (v && v > joined.flows && !compare_to_flow(&e, v - 1))
		v--;
	for (; v && v < last && !compare_to_flow(&e, v); v++)
		if (!best || (v->backend && !best->backend) || (v->rule > best->rule && !best->backend))
			best = v;
	return best;
}

const struct tcp_flow *tcp_flow_of(const struct session *s)
{
	static struct session asked;	/* the columns of a row ask for the same session */
	static const struct tcp_flow *answer;
	const struct flow_view *v;

	if (!joined.tried && tcp_flow_open())
		fail_clear();
	if (!joined.open)
		return NULL;
	if (asked.time_ns == s->time_ns && asked.state.sock == s->state.sock && asked.event == s->event)
		return answer;
	asked = *s;
	v = find(s);
	answer = v ? &joined.found : NULL;
	if (!v)
		return NULL;
	joined.found = (struct tcp_flow){ .rule = v->rule, .rule_text = text_of_rule(v->rule) };
	name_backend(&joined.found, v->backend);
	return answer;
}

const char *tcp_service_of(int family, const uint8_t *address, uint16_t port)
{
	size_t size = family == AF_INET6 ? 16 : 4;

	if (!joined.tried && tcp_flow_open())
		fail_clear();
	for (int i = 0; joined.open && i < joined.config.n_services; i++) {
		const struct service *s = &joined.config.services[i];

		for (int k = 0; k < s->n_listens; k++) {
			const struct listen *l = &s->listens[k];

			if (l->proto == IPPROTO_TCP && l->port == port && (l->addr.family == 6) == (family == AF_INET6) &&
			    !memcmp(l->addr.bytes, address, size))
				return s->name;
		}
	}
	return NULL;
}

/* ---- owners of flows */

struct owner_entry {
	struct ends ends;
	uint16_t lport;
	uint8_t laddr[16];
	struct session_process process;
};

static struct {
	struct owner_entry *e;
	size_t n, size;
} owners;

static void keep_owner(void *ctx, const struct session *s)
{
	struct owner_entry *e;

	(void)ctx;
	if (owners.n == owners.size) {
		owners.size = owners.size ? 2 * owners.size : 1024;
		owners.e = must(realloc(owners.e, owners.size * sizeof(*owners.e)));
	}
	e = &owners.e[owners.n++];
	*e = (struct owner_entry){ .ends = ends_of_session(s), .lport = ntohs(s->lport), .process = s->state.process };
	memcpy(e->laddr, s->laddr, sizeof(e->laddr));
}

static int compare_owners(const void *a, const void *b)
{
	const struct owner_entry *x = a, *y = b;

	return compare_ends(&x->ends, &y->ends);
}

int tcp_owners_read(void)
{
	const struct session_filter filter = {};
	struct trace *trace;
	int code = trace_open(&filter, &trace);

	if (code)
		return code;
	code = trace_list(trace, 1 << SESSION_EVENT_OPEN, keep_owner, NULL);
	trace_close(trace);
	if (owners.n)
		qsort(owners.e, owners.n, sizeof(*owners.e), compare_owners);
	return code;
}

const struct session_process *tcp_owner_of(const struct flow_view *v, bool destination)
{
	struct owner_entry key = { .ends = ends_of_flow(v) }, *e, *last = owners.e + owners.n;
	const uint8_t *addr = destination ? v->dst : v->src;
	uint16_t port = destination ? v->dport : v->sport;

	if (v->proto != IPPROTO_TCP || !owners.n)
		return NULL;
	e = bsearch(&key, owners.e, owners.n, sizeof(*e), compare_owners);
	while (e && e > owners.e && !compare_owners(&key, e - 1))
		e--;
	for (; e && e < last && !compare_owners(&key, e); e++)
		if (e->lport == port && !memcmp(e->laddr, addr, sizeof(e->laddr)) && e->process.pid)
			return &e->process;
	return NULL;
}
