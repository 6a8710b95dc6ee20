/* SPDX-License-Identifier: GPL-2.0 */
/* reject: the answer to a rejected packet goes back where the packet came from: at ingress out of the interface, at egress in by it, so that the host's own
 * sender has it at once. It passes our hooks again on that way and is known there by a secret beside it: what we say is not filtered, nor counted as a packet. */
#pragma once
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "../xdp/answer.h"

#define REJECT_PULL 512		/* bytes; more than any checksum that is still to be made lies behind the frame's start */

static __always_inline long frame_read(struct __sk_buff *skb, __u32 from, void *to, __u32 n)
{
	return bpf_skb_load_bytes(skb, from, to, n);
}

/* A tag that stands in the bytes is taken off, or put beside them if it is the inner one of two, until the answer is written: the kernel resizes plain IP only. */
static __always_inline int frame_begin(struct __sk_buff *skb, struct pkt *p, struct answer *a)
{
	__u32 tags = p->l3 - sizeof(struct ether_wire);

	a->outer.type = 0;
	if (!tags)
		return 0;
	if (p->vlans > MAX_VLANS || bpf_skb_load_bytes(skb, 12, &a->outer, sizeof(a->outer)))
		return -1;
	if (skb->vlan_present) {
		a->outer.type = skb->vlan_proto;
		a->outer.tci = bpf_htons(skb->vlan_tci);
	}
	p->l3 -= tags;
	p->l4 -= tags;
	p->payload -= tags;
	return bpf_skb_vlan_pop(skb);
}

/* The packet may wait for its checksum to be filled in by the device, at a place that is another's now. The kernel forgets that once the place lies in front of
 * the packet: so the packet is made longer by what is then taken off at its front. */
static __always_inline int frame_replace(struct __sk_buff *skb, const struct answer *a, const void *bytes, __u32 size)
{
	__u64 n = size - 1;

	if (bpf_skb_change_tail(skb, size + REJECT_PULL, 0) || bpf_skb_adjust_room(skb, -REJECT_PULL, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	asm volatile("" : "+r"(n));
	if (bpf_skb_store_bytes(skb, 0, bytes, (n & 2047) + 1, 0))
		return -1;
	return a->outer.type ? bpf_skb_vlan_push(skb, a->outer.type, bpf_ntohs(a->outer.tci)) : 0;
}

static __always_inline __u64 answer_secret(void)
{
	return program.seed[FLOW_SEEDS - 2] ^ program.slot;
}

/* Is this what we answered at the interface's other hook? */
static __always_inline int own_answer(struct __sk_buff *skb)
{
	if (skb->cb[0] != (__u32)answer_secret() || skb->cb[1] != (__u32)(answer_secret() >> 32))
		return 0;
	skb->cb[0] = 0;
	return 1;
}

static __always_inline int send_back(struct __sk_buff *skb, struct pkt *p, __u64 flags)
{
	if (reject(skb, p))
		return TC_ACT_SHOT;
	skb->cb[0] = answer_secret();
	skb->cb[1] = answer_secret() >> 32;
	return bpf_redirect(skb->ifindex, flags);
}
