/* SPDX-License-Identifier: GPL-2.0 */
/* reject: the answer to a rejected packet leaves by the interface that the packet came by. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "answer.h"

static __always_inline long frame_read(struct xdp_md *ctx, __u32 from, void *to, __u32 n)
{
	return bpf_xdp_load_bytes(ctx, from, to, n);
}

static __always_inline int frame_begin(struct xdp_md *ctx, struct pkt *p, struct answer *a)
{
	(void)ctx, (void)p, (void)a;
	return 0;
}

/* Grown at its head, where every driver has room. Frames of the wire are not made shorter than the wire has them. */
static __always_inline int frame_replace(struct xdp_md *ctx, const struct answer *a, const void *bytes, __u32 size)
{
	int had = bpf_xdp_get_buff_len(ctx);
	__u64 n = size < 60 && had >= 60 ? 60 : size;
	int more = n - had;

	(void)a;
	if (more > 0 ? bpf_xdp_adjust_head(ctx, -more) : more < 0 ? bpf_xdp_adjust_tail(ctx, more) : 0)
		return -1;
	n--;
	asm volatile("" : "+r"(n));
	return bpf_xdp_store_bytes(ctx, 0, (void *)bytes, (n & 2047) + 1);
}

