// SPDX-License-Identifier: GPL-2.0
/* A packet's way through XDP. Each stage is a header of this folder; it answers NEXT for the next stage, or what happens to the packet. Whatever
 * happens is booked once, by account(). tc/main.bpf.c is the same list for skbs. */
#define PARSE_CONTEXT struct xdp_md
#include "program.h"
#include "../maps/interface.h"
#include "parse.h"
#include "account.h"

static __always_inline void beside(struct xdp_md *ctx, struct beside *b)
{
	(void)ctx, (void)b;
}

static __always_inline long frame_copy(struct xdp_md *ctx, void *to, __u32 n)
{
	return bpf_xdp_load_bytes(ctx, 0, to, n);
}

#define HOOK_HERE(chain) ((void)(chain), HOOK_XDP)	/* which hook runs a chain */
#include "decide.h"
#include "decap.h"
#include "forward.h"
#include "reject.h"

/* Parse again with the length of all buffers, if there are several; `why` is what the first one alone gave. */
static __noinline int parse_buffers(struct xdp_md *ctx, struct pkt *p, struct quote *q, int why)
{
	__u32 len = bpf_xdp_get_buff_len(ctx);

	if (len == p->frame_len)
		return why;
	__builtin_memset(p, 0, sizeof(*p));
	p->frame_len = p->len = len;
	p->packets = 1;
	return parse(ctx, p, q);
}

/* Nearly all frames have one buffer, and asking for the length costs a call: only when the first one seems to end too early, or has no IP header
 * that would tell, the others are looked for. */
static __always_inline enum verdict stage_parse(struct xdp_md *ctx, struct pkt *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct quote *q;
	int why;

	if (!parse_plain(ctx, p, end - data, 1))
		return NEXT;
	q = packet_quote();
	why = parse_any(ctx, p, q, end - data, 1);
	if (why || !p->family)
		why = parse_buffers(ctx, p, q, why);
	return why ? drop(p, why) : NEXT;
}

/* Off with the outer header, then parse what was inside. */
static __always_inline enum verdict stage_decap(struct xdp_md *ctx, struct pkt *p)
{
	__u32 len = p->len, ip_bytes = p->ip_bytes;
	enum verdict v;

	if (!has(FEATURE_DECAP) || !decap_wanted(p))
		return NEXT;
	if (decap(ctx, p))
		return drop(p, DROP_DECAP);
	v = stage_parse(ctx, p);
	p->len = len;
	p->ip_bytes = ip_bytes;
	return v;
}

static __always_inline int receive(struct xdp_md *ctx)
{
	struct decision_context *d = has(FEATURE_FLOWS) ? decision_context() : 0;
	__u64 active = has(FEATURE_FILTER | FEATURE_BALANCE | FEATURE_FLOWS) ? active_now() : 0;
	struct pkt p;
	struct decided r = {};
	__u32 ifindex = 0;
	enum verdict v;

	if (has(FEATURE_FLOWS) && !d)
		return XDP_ABORTED;
	v = stage_parse(ctx, &p);
	if (v == NEXT)
		v = stage_decap(ctx, &p);
	if (v == NEXT)
		v = stage_decide(ctx, &p, &r, d, active, CHAIN_INGRESS);
	if (v == NEXT)
		v = p.backend ? stage_forward(ctx, &p, &ifindex) : PASS;
	if (v != DROP)
		stage_count(&p, &r, d);
	else
		log_drop(ctx, &p, HOOK_XDP);
	account(&p, program.slot, HOOK_XDP, v);
	if (has(FEATURE_FILTER) && p.marked && v == PASS && !has(FEATURE_MUTE))
		handover_mark(ctx, &p);
	switch (v) {
	case TX:
		return XDP_TX;
	case REDIRECT:
		return bpf_redirect(ifindex, 0);
	case DROP:
		return p.reject && !has(FEATURE_MUTE) && !reject(ctx, &p) ? XDP_TX : XDP_DROP;
	default:
		return XDP_PASS;
	}
}

/* Frames of several buffers: jumbo frames, hardware GRO. Drivers that refuse such programs get the other one. */
SEC("xdp.frags")
int weir_xdp(struct xdp_md *ctx)
{
	return receive(ctx);
}

SEC("xdp")
int weir_xdp_linear(struct xdp_md *ctx)
{
	return receive(ctx);
}

char _license[] SEC("license") = "GPL";
