/* SPDX-License-Identifier: GPL-2.0 */
/* forward: send a packet to its backend from tc. bpf_redirect_neigh() asks for the next hop's MAC and keeps the packet until it is known, which is
 * why XDP hands over what it cannot send. */
#pragma once
#include <linux/pkt_cls.h>
#include "../xdp/account.h"
#include "../xdp/encap.h"
#include "../xdp/nexthop.h"

NEXT_HOP_ASK_KERNEL(struct __sk_buff)

static __always_inline int encapsulate(struct __sk_buff *skb, struct pkt *p, const struct backend_entry *b, const struct next_hop *n)
{
	__u8 proto = outer_proto(p->family);
	__u32 at = sizeof(struct ethhdr);
	union {			/* one place for both, written by words */
		struct ipv4_wire v4;
		struct ipv6_wire v6;
		__u64 word[sizeof(struct ipv6_wire) / 8];
	} outer;

	if (p->l3 != at)	/* a second tag stands in the bytes */
		return -1;
	if (b->family == 4) {
		outer_ipv4(&outer.v4, *(__be32 *)n->source, *(__be32 *)b->addr, p->total, p->tos, proto);
		if (bpf_skb_adjust_room(skb, sizeof(outer.v4), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4))
			return -1;
		return bpf_skb_store_bytes(skb, at, &outer.v4, sizeof(outer.v4), 0);
	}
	outer_ipv6(&outer.v6, n->source, b->addr, p->total, p->tos, proto);
	if (bpf_skb_adjust_room(skb, sizeof(outer.v6), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6))
		return -1;
	return bpf_skb_store_bytes(skb, at, &outer.v6, sizeof(outer.v6), 0);
}

/* *action: what the program returns when the verdict is REDIRECT. */
static __always_inline enum verdict stage_forward(struct __sk_buff *skb, struct pkt *p, int *action)
{
	const struct backend_entry *b = backend_of(p->backend);
	struct next_hop *n = bpf_map_lookup_elem(&next_hops, &p->backend);
	struct bpf_redir_neigh to = {};
	int why;

	if (!b || !n)
		return drop(p, DROP_INTERNAL);
	if (!next_hop_fresh(n, b)) {
		why = next_hop_ask(skb, n, b, skb->ifindex);
		if (why)
			return drop(p, why);
		if (n->status == NEXT_HOP_LOCAL)
			return PASS;
	}
	if (b->forward == BACKEND_IPIP) {
		if (n->mtu && p->packets == 1 && p->total + outer_size(b->family) > n->mtu)
			return drop(p, DROP_TOO_BIG);
		if (encapsulate(skb, p, b, n))
			return drop(p, DROP_ENCAP);
		*action = bpf_redirect_neigh(n->ifindex, 0, 0, 0);
		return REDIRECT;
	}
	to.nh_family = b->family == 4 ? FIB_AF_INET : FIB_AF_INET6;
	if (b->family == 4)
		to.ipv4_nh = *(__be32 *)b->addr;
	else
		__builtin_memcpy(to.ipv6_nh, b->addr, 16);
	*action = bpf_redirect_neigh(n->ifindex, &to, sizeof(to), 0);
	return REDIRECT;
}
