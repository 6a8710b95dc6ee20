// SPDX-License-Identifier: GPL-2.0
/* A packet's way through tc: the same stages as xdp/main.bpf.c, for skbs. Ingress does XDP's work where XDP is not attached; where it is, ingress
 * only sends or marks what XDP handed over. Where weir has no opinion the next program decides. */
#define PARSE_CONTEXT struct __sk_buff
#include "../xdp/program.h"
#include "../maps/handover.h"
#include "../maps/interface.h"
#include "skb.h"
#include "../xdp/decide.h"
#include "forward.h"
#include "reject.h"

static __always_inline enum verdict stage_parse(struct __sk_buff *skb, struct pkt *p)
{
	int why = skb_parse(skb, p);

	return why ? drop(p, why) : NEXT;
}

static __always_inline int act(enum verdict v, int action)
{
	if (v == DROP)
		return TC_ACT_SHOT;
	return v == REDIRECT ? action : TC_ACT_UNSPEC;
}

/* What XDP said at offset `at` of the metadata. The mark is taken off: metadata goes along where the packet goes. */
static __always_inline int handover_read(struct __sk_buff *skb, struct pkt *p, __u32 at)
{
	void *meta = (void *)(long)skb->data_meta;
	struct handover *h = meta + at;

	if (meta + HANDOVER_META > (void *)(long)skb->data || h->magic != HANDOVER_MAGIC)
		return 0;
	h->magic = 0;
	if (h->family_vlans & HANDOVER_MARKED)
		skb->mark = h->mark;
	if (!h->backend)
		return 0;
	p->backend = h->backend;
	p->packets = 1;
	p->len = p->frame_len = h->frame_len;
	p->ip_bytes = p->total = h->total;
	p->tos = h->tos;
	p->family = h->family_vlans >> 4;
	p->vlans = h->family_vlans & 7;
	p->l3 = sizeof(struct ethhdr) + (p->vlans - !!skb->vlan_present) * sizeof(struct vlan_wire);
	return 1;
}

/* 1: p is of a packet that XDP handed over. Generic XDP may have copied the skb, and the copy has lost the length of its MAC header (net/core/
 * skbuff.c, skb_pp_cow_data()): tc then sees it from layer 3 on. Its MAC header is put in front again; the addresses are written when it is
 * sent. */
static __always_inline int handed_over(struct __sk_buff *skb, struct pkt *p)
{
	if (handover_read(skb, p, HANDOVER_AT))
		return 1;
	return handover_read(skb, p, HANDOVER_AT_L3) && !bpf_skb_change_head(skb, sizeof(struct ethhdr), 0);
}

/* Booked by XDP; only a drop here is news. */
static __always_inline int take_over(struct __sk_buff *skb)
{
	struct pkt p = {};
	int action = TC_ACT_UNSPEC;
	enum verdict v;

	if (!handed_over(skb, &p))
		return TC_ACT_UNSPEC;
	v = stage_forward(skb, &p, &action);
	if (v == DROP) {
		account(&p, program.slot, HOOK_TC_INGRESS, v);
		log_drop(skb, &p, HOOK_TC_INGRESS);
	}
	return act(v, action);
}

static __always_inline int pipeline(struct __sk_buff *skb, struct decision_context *d, __u32 chain, enum hook hook)
{
	__u64 active = active_now();
	struct pkt p;
	struct decided r = {};
	int action = TC_ACT_UNSPEC;
	enum verdict v;

	v = stage_parse(skb, &p);
	if (v == NEXT)
		v = stage_decide(skb, &p, &r, d, active, chain);
	if (p.marked)
		skb->mark = mark_classified();
	if (v == NEXT)
		v = p.backend ? stage_forward(skb, &p, &action) : PASS;
	if (v != DROP)
		stage_count(&p, &r, d);
	else
		log_drop(skb, &p, hook);
	account(&p, program.slot, hook, v);
	if (v == DROP && p.reject && !has(FEATURE_MUTE))
		return send_back(skb, &p, hook == HOOK_TC_EGRESS ? BPF_F_INGRESS : 0);
	return act(v, action);
}

SEC("tc")
int weir_tc_ingress(struct __sk_buff *skb)
{
	struct decision_context *d = decision_context();

	if (has(FEATURE_XDP_BELOW))
		return take_over(skb);
	if (!d || own_answer(skb))
		return TC_ACT_UNSPEC;
	return pipeline(skb, d, CHAIN_INGRESS, HOOK_TC_INGRESS);
}

SEC("tc")
int weir_tc_egress(struct __sk_buff *skb)
{
	struct decision_context *d = decision_context();

	if (!d || own_answer(skb))
		return TC_ACT_UNSPEC;
	return pipeline(skb, d, CHAIN_EGRESS, HOOK_TC_EGRESS);
}

char _license[] SEC("license") = "GPL";
