/* SPDX-License-Identifier: GPL-2.0 */
/* skb: what differs between a frame and an skb. One skb may stand for many packets of the wire (GSO, GRO): they are counted as the wire would,
 * from gso_segs; skb->wire_len is right at egress only. The outermost VLAN tag may have been taken out of the bytes. */
#pragma once
#include "../xdp/parse.h"
#include "../xdp/quote.h"
#include "../xdp/program.h"

#define HEADERS_WANTED 192	/* linear bytes asked for when an skb has fewer */

static __always_inline void skb_linear(struct __sk_buff *skb)
{
	__u32 linear = skb->data_end - skb->data, want = skb->len < HEADERS_WANTED ? skb->len : HEADERS_WANTED;

	if (linear < want)
		bpf_skb_pull_data(skb, want);
}

/* A tag that the kernel keeps beside the bytes stands before those in them. */
static __always_inline void skb_vlan(struct __sk_buff *skb, struct pkt *p)
{
	if (!skb->vlan_present)
		return;
	p->vlans++;
	p->vlan_id = skb->vlan_tci & 0xfff;
	p->ether_type = skb->vlan_proto;
	p->len += 4;
}

static __always_inline void beside(struct __sk_buff *skb, struct beside *b)
{
	b->mark = skb->mark;
	b->gso_size = skb->gso_size;
	b->tagged = !!skb->vlan_present;
	b->tci = skb->vlan_tci;
	b->tag_proto = skb->vlan_proto;
}

static __always_inline long frame_copy(struct __sk_buff *skb, void *to, __u32 n)
{
	return bpf_skb_load_bytes(skb, 0, to, n);
}

#define HOOK_HERE(chain) ((chain) ? HOOK_TC_EGRESS : HOOK_TC_INGRESS)	/* which hook runs a chain */

/* Every segment but the first repeats the headers. */
static __always_inline void skb_segments(struct __sk_buff *skb, struct pkt *p)
{
	__u32 more = skb->gso_segs > 1 ? skb->gso_segs - 1 : 0;

	if (!more)
		return;
	p->packets = more + 1;
	if (p->payload < p->l3 || !p->l3)
		return;
	p->len += more * p->payload;
	p->ip_bytes += more * (p->payload - p->l3);
}

static __always_inline int skb_parse(struct __sk_buff *skb, struct pkt *p)
{
	__u32 packets = skb->gso_segs > 1 ? skb->gso_segs : 1;
	int why = 0;

	skb_linear(skb);
	if (parse_plain(skb, p, skb->len, packets))
		why = parse_any(skb, p, packet_quote(), skb->len, packets);
	skb_vlan(skb, p);
	skb_segments(skb, p);
	return why;
}
