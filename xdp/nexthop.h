/* SPDX-License-Identifier: GPL-2.0 */
/* nexthop: the kernel's answer to "how do I reach this backend", asked by bpf_fib_lookup() at most once a second, backend and CPU. Routes and
 * neighbours stay the kernel's business; no process of ours has to watch them. Used by XDP and tc. */
#pragma once
#include "../maps/service.h"
#include "parse.h"
#include "program.h"

#define FIB_SOURCE (1u << 4)	/* BPF_FIB_LOOKUP_SRC: kernel 6.7 */
#define FIB_AF_INET 2
#define FIB_AF_INET6 10

/* Outer sources where the kernel cannot name one: the IPv4 dummy address (RFC 7600), the discard prefix (RFC 6666). */
#define DUMMY_SOURCE4 bpf_htonl(0xc0000008)
#define DUMMY_SOURCE6 bpf_htonl(0x01000000)

static __always_inline void next_hop_fill(struct next_hop *n, const struct bpf_fib_lookup *fib, int sourced, __u8 family)
{
	__builtin_memcpy(n->mac, fib->dmac, 6);
	__builtin_memcpy(n->mac + 6, fib->smac, 6);
	n->ifindex = fib->ifindex;
	n->mtu = fib->mtu_result;
	__builtin_memset(n->source, 0, sizeof(n->source));
	if (family == 4) {
		*(__be32 *)n->source = sourced ? fib->ipv4_src : DUMMY_SOURCE4;
	} else if (sourced) {
		__builtin_memcpy(n->source, fib->ipv6_src, 16);
	} else {
		*(__be32 *)n->source = DUMMY_SOURCE6;
	}
}

/* What a lookup's return value means for the packet; a drop reason, or 0 and n->status. */
static __always_inline enum reason next_hop_judge(struct next_hop *n, const struct bpf_fib_lookup *fib, const struct backend_entry *b, long ret)
{
	const __be32 *a = (const __be32 *)b->addr;
	int direct = b->family == 4 ? fib->ipv4_dst == a[0] :
		     fib->ipv6_dst[0] == a[0] && fib->ipv6_dst[1] == a[1] && fib->ipv6_dst[2] == a[2] && fib->ipv6_dst[3] == a[3];

	n->status = NEXT_HOP_FAILED;
	if (ret == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return DROP_FORWARDING_OFF;
	if (ret == BPF_FIB_LKUP_RET_NOT_FWDED) {
		n->status = NEXT_HOP_LOCAL;
		return 0;
	}
	if (ret != BPF_FIB_LKUP_RET_SUCCESS && ret != BPF_FIB_LKUP_RET_NO_NEIGH)
		return DROP_NO_ROUTE;
	if (b->forward == BACKEND_L2 && !direct)
		return DROP_NOT_ON_LINK;
	n->status = ret == BPF_FIB_LKUP_RET_SUCCESS ? NEXT_HOP_OK : NEXT_HOP_ASK;
	return 0;
}

/* Ask the kernel afresh. ctx is the hook's own context type. Returns 0 or a drop reason; the answer is in n. */
#define NEXT_HOP_ASK_KERNEL(ctx_type) \
static __noinline int next_hop_ask(ctx_type *ctx, struct next_hop *n, const struct backend_entry *b, __u32 ifindex) \
{ \
	struct bpf_fib_lookup fib; \
	int sourced = 1; \
	long ret; \
 \
	__builtin_memset(&fib, 0, sizeof(fib)); \
	fib.family = b->family == 4 ? FIB_AF_INET : FIB_AF_INET6; \
	fib.ifindex = ifindex; \
	if (b->family == 4) \
		fib.ipv4_dst = *(__be32 *)b->addr; \
	else \
		__builtin_memcpy(fib.ipv6_dst, b->addr, 16); \
	ret = bpf_fib_lookup(ctx, &fib, sizeof(fib), FIB_SOURCE); \
	if (ret < 0) { \
		sourced = 0; \
		ret = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0); \
	} \
	next_hop_fill(n, &fib, sourced && ret != BPF_FIB_LKUP_RET_NOT_FWDED, b->family); \
	n->epoch = b->epoch; \
	n->jiffies = jiffies_now(); \
	return next_hop_judge(n, &fib, b, ret); \
}

static __always_inline int next_hop_fresh(const struct next_hop *n, const struct backend_entry *b)
{
	return n->status == NEXT_HOP_OK && n->epoch == b->epoch && jiffies_now() - n->jiffies < NEXT_HOP_SECONDS * program.hz;
}
