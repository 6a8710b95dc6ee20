/* SPDX-License-Identifier: GPL-2.0 */
/* forward: send a packet to its backend from XDP: new MAC addresses, or an outer header, then TX or REDIRECT as the route says. VLAN tags stay.
 * Where the next hop's MAC is not known yet the frame goes up to tc with a mark in its metadata: only there can the kernel ask for it. */
#pragma once
#include "encap.h"
#include "nexthop.h"
#include "account.h"
#include "mark.h"
#include "../maps/handover.h"

NEXT_HOP_ASK_KERNEL(struct xdp_md)

/* 0: tc will see it. */
static __always_inline int handover(struct xdp_md *ctx, struct pkt *p, __u32 backend)
{
	struct handover *h;
	void *meta;

	if (!has(FEATURE_TC_ABOVE) || bpf_xdp_adjust_meta(ctx, -HANDOVER_META))
		return -1;
	meta = (void *)(long)ctx->data_meta;
	if (meta + HANDOVER_META > (void *)(long)ctx->data)
		return -1;
	__builtin_memset(meta, 0, HANDOVER_AT);		/* frames are not joined by GRO where metadata differs */
	h = meta + HANDOVER_AT;
	h->magic = HANDOVER_MAGIC;
	h->backend = backend;
	h->total = backend ? p->total : 0;
	h->frame_len = backend ? p->frame_len : 0;
	h->tos = backend ? p->tos : 0;
	h->family_vlans = p->family << 4 | (p->marked ? HANDOVER_MARKED : 0) | p->vlans;
	h->mark = p->marked ? mark_classified() : 0;
	p->marked = 0;
	return 0;
}

/* The mark of a packet that goes up to the host: tc gives it to the skb. */
static __noinline int handover_mark(struct xdp_md *ctx, struct pkt *p)
{
	__u64 *lost;

	if (!handover(ctx, p, 0))
		return 0;
	lost = bpf_map_lookup_elem(&mark_lost, &first_element);
	if (lost)
		++*lost;
	return 0;
}

struct link_wire { __u8 mac[12]; __be16 type; };

static __always_inline void link_address(void *to, const struct next_hop *n)
{
	((word_of_header *)to)[0] = ((const word_of_header *)n->mac)[0];
	((__u32 *)to)[2] = ((const __u32 *)n->mac)[2];
}

/* Room for the outer header behind a new Ethernet header without tags. */
static __always_inline void *make_room(struct xdp_md *ctx, const struct next_hop *n, __u32 size, __be16 type)
{
	struct link_wire *eth;

	if (bpf_xdp_adjust_head(ctx, -(int)size))
		return 0;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return 0;
	link_address(eth, n);
	eth->type = type;
	return eth + 1;
}

/* The same with the packet's tags in front of it. */
static __always_inline void *make_room_tagged(struct xdp_md *ctx, const struct pkt *p, const struct next_hop *n, __u32 size, __be16 type)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 tags[MAX_VLANS] = {};
	struct link_wire *eth;

#pragma unroll
	for (int i = 0; i < MAX_VLANS; i++) {
		if (i >= p->vlans)
			break;
		if (data + 16 + 4 * i > end)
			return 0;
		tags[i] = *(__u32 *)(data + 12 + 4 * i);
	}
	if (bpf_xdp_adjust_head(ctx, -(int)size))
		return 0;
	eth = data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if ((void *)(eth + 1) > end)
		return 0;
	link_address(eth, n);
#pragma unroll
	for (int i = 0; i < MAX_VLANS; i++) {
		if (i >= p->vlans)
			break;
		if (data + 18 + 4 * i > end)
			return 0;
		*(__u32 *)(data + 12 + 4 * i) = tags[i];
	}
	data += 12 + 4 * (p->vlans & 3);
	barrier_var(data);
	if (data + 2 > end)
		return 0;
	*(__be16 *)data = type;
	return data + 2;
}

static __always_inline int encapsulate(struct xdp_md *ctx, struct pkt *p, const struct backend_entry *b, const struct next_hop *n)
{
	__u8 proto = outer_proto(p->family);
	void *outer;

	if (b->family == 4) {
		outer = p->vlans ? make_room_tagged(ctx, p, n, sizeof(struct ipv4_wire), bpf_htons(ETH_P_IP)) :
				   make_room(ctx, n, sizeof(struct ipv4_wire), bpf_htons(ETH_P_IP));
		if (!outer || outer + sizeof(struct ipv4_wire) > (void *)(long)ctx->data_end)
			return -1;
		outer_ipv4(outer, *(__be32 *)n->source, *(__be32 *)b->addr, p->total, p->tos, proto);
	} else {
		outer = p->vlans ? make_room_tagged(ctx, p, n, sizeof(struct ipv6_wire), bpf_htons(ETH_P_IPV6)) :
				   make_room(ctx, n, sizeof(struct ipv6_wire), bpf_htons(ETH_P_IPV6));
		if (!outer || outer + sizeof(struct ipv6_wire) > (void *)(long)ctx->data_end)
			return -1;
		outer_ipv6(outer, n->source, b->addr, p->total, p->tos, proto);
	}
	return 0;
}

/* TX, REDIRECT, PASS (the backend is this host, or tc goes on) or DROP. *ifindex: where REDIRECT goes. */
static __always_inline enum verdict stage_forward(struct xdp_md *ctx, struct pkt *p, __u32 *ifindex)
{
	const struct backend_entry *b = backend_of(p->backend);
	struct next_hop *n = bpf_map_lookup_elem(&next_hops, &p->backend);
	void *data = (void *)(long)ctx->data;

	if (!b || !n)
		return drop(p, DROP_INTERNAL);
	if (!next_hop_fresh(n, b)) {
		int why = next_hop_ask(ctx, n, b, ctx->ingress_ifindex);

		if (why)
			return drop(p, why);
		if (n->status == NEXT_HOP_LOCAL)
			return PASS;
		if (n->status == NEXT_HOP_ASK)
			return handover(ctx, p, p->backend) ? drop(p, DROP_NO_NEIGHBOUR) : PASS;
	}
	if (b->forward == BACKEND_L2) {
		if (data + 12 > (void *)(long)ctx->data_end)
			return drop(p, DROP_INTERNAL);
		link_address(data, n);
	} else {
		if (n->mtu && p->total + outer_size(b->family) > n->mtu)
			return drop(p, DROP_TOO_BIG);
		if (encapsulate(ctx, p, b, n))
			return drop(p, DROP_ENCAP);
	}
	*ifindex = n->ifindex;
	return n->ifindex == ctx->ingress_ifindex ? TX : REDIRECT;
}
