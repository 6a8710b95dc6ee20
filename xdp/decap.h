/* SPDX-License-Identifier: GPL-2.0 */
/* decap: the backend's end of IPIP: take the outer header off, so that the host sees the client's packet. Only with --decap. The packet is
 * filtered and accounted as the inner one, with the outer header's bytes, since those were on the wire. */
#pragma once
#include "parse.h"
#include "account.h"

static __always_inline int decap_wanted(const struct pkt *p)
{
	return p->family && (p->proto == IP_IPIP || p->proto == IP_IPV6) && !(p->flags & PKT_FRAGMENT);
}

/* 0, or -1 when the frame cannot be changed. The Ethernet header and its tags move up to the inner packet. */
static __always_inline int decap(struct xdp_md *ctx, const struct pkt *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 outer = p->l4 - p->l3, words[5];
	__be16 type = p->proto == IP_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u32 tags = p->vlans > MAX_VLANS ? MAX_VLANS : p->vlans;

	/* 12 bytes of addresses and up to two tags as 32-bit words: the type behind them is written last */
	if (data + 20 > end || outer > 2048)
		return -1;
#pragma unroll
	for (int i = 0; i < 5; i++)
		words[i] = ((__u32 *)data)[i];
	if (bpf_xdp_adjust_head(ctx, (int)outer))
		return -1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + 20 > end)
		return -1;
#pragma unroll
	for (int i = 0; i < 5; i++)
		if (i < 3 + (int)tags)
			((__u32 *)data)[i] = words[i];
	data += 12 + 4 * (tags & 3);
	barrier_var(data);
	if (data + 2 > end)
		return -1;
	*(__be16 *)data = type;
	return 0;
}
