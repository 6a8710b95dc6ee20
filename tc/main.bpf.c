// SPDX-License-Identifier: GPL-2.0
/* A packet's way through tc: the same stages as xdp/main.bpf.c, for skbs. Ingress does XDP's work where XDP is not attached; where it is, ingress
 * only sends what XDP handed over. Where weir has no opinion the next program decides. */
#include "../xdp/program.h"
#include "../maps/handover.h"
#include "../maps/interface.h"
#include "skb.h"
#include "../xdp/decide.h"
#include "forward.h"

static __always_inline enum verdict stage_parse(struct __sk_buff *skb, struct pkt *p, struct quote *q)
{
	int why = skb_parse(skb, p, q);

	return why ? drop(p, why) : NEXT;
}

static __always_inline int act(enum verdict v, int action)
{
	if (v == DROP)
		return TC_ACT_SHOT;
	return v == REDIRECT ? action : TC_ACT_UNSPEC;
}

/* The backend XDP chose, 0 when this packet was not handed over. The mark is taken off: metadata goes along where the packet goes. */
static __always_inline __u32 handed_over(struct __sk_buff *skb)
{
	struct handover *h = (void *)(long)skb->data_meta;

	if ((void *)(h + 1) > (void *)(long)skb->data || h->magic != HANDOVER_MAGIC)
		return 0;
	h->magic = 0;
	return h->backend;
}

/* Booked by XDP; only a drop here is news. */
static __always_inline int take_over(struct __sk_buff *skb, struct decision_context *d)
{
	struct pkt p = {};
	int action = TC_ACT_UNSPEC;
	__u32 backend = handed_over(skb);
	enum verdict v;

	if (!backend)
		return TC_ACT_UNSPEC;
	v = stage_parse(skb, &p, &d->quote);
	p.backend = backend;
	if (v == NEXT)
		v = stage_forward(skb, &p, &action);
	if (v == DROP)
		account(&p, program.slot, HOOK_TC_INGRESS, v);
	return act(v, action);
}

static __always_inline int pipeline(struct __sk_buff *skb, struct decision_context *d, __u32 chain, enum hook hook)
{
	__u64 active = active_now();
	struct pkt p = {};
	struct decided r = {};
	int action = TC_ACT_UNSPEC;
	enum verdict v;

	v = stage_parse(skb, &p, &d->quote);
	if (v == NEXT)
		v = stage_decide(&p, &r, d, active, chain, (void *)(long)skb->data, (void *)(long)skb->data_end);
	if (v == NEXT)
		v = p.backend ? stage_forward(skb, &p, &action) : PASS;
	if (v != DROP)
		stage_count(&p, &r, d);
	account(&p, program.slot, hook, v);
	return act(v, action);
}

SEC("tc")
int weir_tc_ingress(struct __sk_buff *skb)
{
	struct decision_context *d = decision_context();

	if (!d)
		return TC_ACT_UNSPEC;
	if (has(FEATURE_XDP_BELOW))
		return take_over(skb, d);
	return pipeline(skb, d, CHAIN_INGRESS, HOOK_TC_INGRESS);
}

SEC("tc")
int weir_tc_egress(struct __sk_buff *skb)
{
	struct decision_context *d = decision_context();

	if (!d)
		return TC_ACT_UNSPEC;
	return pipeline(skb, d, CHAIN_EGRESS, HOOK_TC_EGRESS);
}

char _license[] SEC("license") = "GPL";
