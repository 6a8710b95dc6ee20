/* SPDX-License-Identifier: GPL-2.0 */
/* decide: flow, filter and service in the order that makes an established packet cheap: a flow whose decision is of the generation in force
 * needs one lookup; all others are classified, and what comes out is remembered. The same for XDP and tc. */
#pragma once
#include "flow.h"
#include "filter.h"
#include "service.h"

enum { CHAIN_INGRESS, CHAIN_EGRESS };

/* What the slow way needs besides the packet. Per CPU, too large for the stack; nothing else decides on this CPU meanwhile. */
struct decision_context {
	__u64 active;
	__u64 was;		/* the flow's decision before this packet */
	__u32 chain;
	__u32 pad;
	struct flow_key key;	/* of an IP packet, when flows are on */
};

/* What stage_decide() leaves for stage_count(). */
struct decided {
	struct flow *flow;	/* the packet's flow, NULL: none yet */
	int known;		/* the flow had a decision in force */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct decision_context);
} decision_scratch SEC(".maps");

static __always_inline struct decision_context *decision_context(void)
{
	return bpf_map_lookup_elem(&decision_scratch, &first_element);
}

/* Which backend is not the flow's but the packet's own: fragments without ports, ICMP errors. */
static __always_inline int backend_per_packet(const struct pkt *p)
{
	return p->flags & (PKT_LATER_FRAGMENT | PKT_QUOTE);
}

/* Every stage, for a packet whose flow has no say. */
static __always_inline enum verdict decide_stages(PARSE_CONTEXT *ctx, struct pkt *p, __u64 active, __u32 chain, struct flow *f)
{
	enum verdict v = stage_filter(ctx, p, active, chain, f);

	if (!has(FEATURE_BALANCE))
		return v;
	if (v == NEXT && chain == CHAIN_INGRESS)
		v = stage_service(p, active);
	if (v == NEXT && p->backend && p->flags & PKT_FRAGMENT && !(p->flags & PKT_LATER_FRAGMENT))
		fragment_note(p);
	return v;
}

/* The slow way. `f` is the packet's flow or NULL. A function of its own to the verifier, so that its paths do not multiply with those of the
 * parser and the flow table. Returns an enum verdict. */
__noinline int decide_anew(PARSE_CONTEXT *ctx, struct pkt *p, struct decision_context *d, struct flow *f)
{
	if (!p || !d)
		return DROP;
	p->backend = 0;
	d->was = 0;
	if (f) {
		d->was = *(volatile __u64 *)&f->decision;
		if (d->chain == CHAIN_INGRESS && backend_alive(decision_backend(d->was, p->direction)))
			p->backend = decision_backend(d->was, p->direction);
	}
	return decide_stages(ctx, p, d->active, d->chain, f);
}

/* Count the packet in its flow, or open one, and remember what was decided. */
__noinline int count_anew(struct pkt *p, struct decision_context *d, struct flow *f)
{
	int own_backend;
	__u32 tag;

	if (!p || !d)
		return 0;
	own_backend = d->chain == CHAIN_INGRESS && !backend_per_packet(p);
	tag = flow_tag(d->active, d->chain);
	if (f) {
		flow_count(f, p, p->direction);
		flow_remember(f, p, d->was, tag, own_backend);
		p->booked = PASS_FLOW;
	} else {
		p->booked = p->family == 4 ? flow4_open(&d->key, p, tag, own_backend) : flow6_open(&d->key, p, tag, own_backend);
	}
	return 0;
}

/* The quick way: the flow knows. 0 when it does not. `owner`: the entry's first key word. */
static __always_inline int decide_by_flow(struct pkt *p, const struct flow_key *k, struct flow *f, const volatile __u64 *owner, __u32 chain,
					  __u64 active)
{
	__u64 decision;

	if (f->packets[p->direction & 1] >> FLOW_TAG_SHIFT != flow_tag(active, chain) ||
	    p->flags & (PKT_FRAGMENT | PKT_QUOTE) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)	/* a new connection may look like an old one */
		return 0;
	decision = *(volatile __u64 *)&f->decision;
	barrier();
	if (*owner != k->w[0])	/* given to another flow meanwhile */
		return 0;
	p->backend = chain == CHAIN_INGRESS ? decision_backend(decision, p->direction) : 0;
	if (p->backend && !backend_alive(p->backend))
		return 0;
	p->rule = decision_rule(decision, p->direction);
	rule_count(p->rule, p);
	return 1;
}

/* NEXT with p->backend set: send it there; NEXT without: the host's. Unless it is dropped, stage_count() must follow. */
static __always_inline enum verdict stage_decide(PARSE_CONTEXT *ctx, struct pkt *p, struct decided *r, struct decision_context *d,
						 __u64 active, __u32 chain)
{
	struct flow_key *k = &d->key;
	struct flow *f = 0;

	r->known = 0;
	r->flow = 0;
	if (!has(FEATURE_FLOWS))	/* no call: it costs as much as all of the balancer */
		return decide_stages(ctx, p, active, chain, 0);
	if (p->family == 4) {
		flow_key4(k, &p->saddr, &p->daddr, p->sport, p->dport, p->proto, flow_key_tags(p));
		p->direction = k->direction;
		f = flow4_find(k);
		if (f)
			r->known = decide_by_flow(p, k, f, (__u64 *)f - 2, chain, active);
	} else if (p->family == 6) {
		flow_key6(k, &p->saddr, &p->daddr, p->sport, p->dport, p->proto, flow_key_tags(p));
		p->direction = k->direction;
		f = flow6_find(k);
		if (f)
			r->known = decide_by_flow(p, k, f, (__u64 *)f - 8, chain, active);
	}
	r->flow = f;
	if (r->known)
		return NEXT;
	d->active = active;
	d->chain = chain;
	return decide_anew(ctx, p, d, f);
}

/* The accounts of a packet that goes on: its flow and its backend. Sets p->booked. */
static __always_inline void stage_count(struct pkt *p, const struct decided *r, struct decision_context *d)
{
	if (p->backend)
		backend_count(p->backend, p, !r->flow);
	if (!p->family) {
		p->booked = PASS_NOT_IP;
	} else if (!has(FEATURE_FLOWS)) {
		p->booked = PASS_NO_FLOWS;
	} else if (r->known && r->flow) {	/* known implies it; the verifier of 6.1 does not see that */
		p->booked = PASS_FLOW;
		flow_count(r->flow, p, p->direction);
	} else {
		count_anew(p, d, r->flow);
	}
}
