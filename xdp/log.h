/* SPDX-License-Identifier: GPL-2.0 */
/* log: records of packets for whoever follows (maps/log.h). Nothing of it runs while nobody does, but one look at a word: for a packet that a rule with `log`
 * has met, and for one that is dropped. */
#pragma once
#include "../maps/log.h"
#include "../maps/rule.h"
#include "key.h"
#include "program.h"
#include "parse.h"

/* A time that has passed is taken away, so that the clock is asked once. */
static __always_inline int log_wanted(__u64 *until)
{
	__u64 t = *(volatile __u64 *)until;

	if (!t)
		return 0;
	if (bpf_ktime_get_coarse_ns() < t)
		return 1;
	__sync_val_compare_and_swap(until, t, 0);
	return 0;
}

static __always_inline struct log_follow *log_followed(void)
{
	return bpf_map_lookup_elem(&log_follow, &first_element);
}

static __always_inline int log_budget_take(struct log_counts *c)
{
	__u32 per_window = program.hz / LOG_WINDOWS;
	__u64 window = bpf_jiffies64() / (per_window ? per_window : 1);

	if (c->window != window) {
		c->window = window;
		c->left = LOG_BUDGET;
	}
	if (!c->left) {
		c->suppressed++;
		return 0;
	}
	c->left--;
	return 1;
}

static __always_inline void log_fill(PARSE_CONTEXT *ctx, struct log_record *r, const struct pkt *p)
{
	__u64 n = (p->frame_len < LOG_BYTES ? p->frame_len : LOG_BYTES) - 1ull;
	struct beside b = {};

	beside(ctx, &b);
	r->time_ns = bpf_ktime_get_ns();
	r->frame_len = p->frame_len;
	r->packets = p->packets;
	r->slot = program.slot;
	r->tagged = b.tagged;
	r->tci = b.tci;
	r->tag_proto = b.tag_proto;
	__builtin_memset(r->pad, 0, sizeof(r->pad));
	asm volatile("" : "+r"(n));
	n = (n & (LOG_BYTES - 1)) + 1;	/* no comparison: the verifier of 6.1 would forget that it is not 0 */
	r->captured = frame_copy(ctx, r->bytes, n) ? 0 : n;
}

/* One record. `how`: hook << 24 | kind << 16 | verdict << 8 | reason. */
__noinline int log_send(PARSE_CONTEXT *ctx, const struct pkt *p, __u32 rule, __u32 how)
{
	struct log_counts *c = bpf_map_lookup_elem(&log_counts, &first_element);
	struct log_record *r;

	if (!p || !c || !log_budget_take(c))
		return 0;
	r = bpf_ringbuf_reserve(&log_ring, sizeof(*r), 0);
	if (!r) {
		c->lost++;
		return 0;
	}
	log_fill(ctx, r, p);
	r->rule = rule;
	r->hook = how >> 24;
	r->kind = how >> 16;
	r->verdict = how >> 8;
	r->reason = how;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	c->sent++;
	return 0;
}

static __always_inline __u32 log_entry_verdict(__u32 entry)
{
	if (entry & RULE_DROP_BIT)
		return entry >> RULE_REJECT_SHIFT & RULE_REJECT_MOST ? LOG_REJECT : LOG_DROP;
	return entry & RULE_CONTINUE_BIT ? LOG_NEXT : entry & RULE_AUDIT_BIT ? LOG_AUDIT : LOG_ACCEPT;
}

static __always_inline void log_entry(PARSE_CONTEXT *ctx, const struct pkt *p, __u32 entry, __u32 chain)
{
	log_send(ctx, p, entry & RULE_ID_MASK, (__u32)(HOOK_HERE(chain)) << 24 | log_entry_verdict(entry) << 8);
}

/* The rules with `log` that the packet met, in their order; of very many the last ones. */
__noinline int log_rules(PARSE_CONTEXT *ctx, const struct pkt *p, const struct filter_key *k)
{
	struct log_follow *f = log_followed();

	if (!p || !k || !f || !log_wanted(&f->statements_until))
		return 0;
	for (__u32 i = FILTER_LOGS - 1; i; i--)
		if (i <= k->n_logs)
			log_entry(ctx, p, k->log[(k->n_logs - i) & (FILTER_LOGS - 1)], k->chain & 1);
	if (k->found & RULE_LOG_BIT)
		log_entry(ctx, p, k->found, k->chain & 1);
	return 0;
}

/* A rule on the way, from within the walk, where there is no packet: kept for log_rules(), unless the next one takes its place because it does not log. No branch and nothing to keep: the walk's callers
 * have no stack to spare. */
static __always_inline void log_note(struct filter_key *k, __u32 entry)
{
	__u32 n = k->n_logs & (FILTER_LOGS - 1);

	asm volatile("" : "+r"(n));
	k->log[n] = entry;
	k->n_logs += entry / RULE_LOG_BIT & 1;
}

/* Has this packet, which a rule dropped, a record already? A dropped packet was classified, on this CPU, just now; if by scan.h, the notes are another's. */
static __always_inline int log_told(const struct pkt *p, const struct log_follow *f)
{
	const struct filter_key *k = bpf_map_lookup_elem(&filter_scratch, &first_element);

	return (p->reason == DROP_RULE || p->reason == DROP_REJECT) && f->statements_until && k && k->found & RULE_LOG_BIT &&
	       (k->found & RULE_ID_MASK) == p->rule;
}

__noinline int log_send_drop(PARSE_CONTEXT *ctx, const struct pkt *p, __u32 hook)
{
	struct log_follow *f = log_followed();

	if (!p || !f || !log_wanted(&f->drops_until) || log_told(p, f))
		return 0;
	return log_send(ctx, p, p->rule, hook << 24 | LOG_DROPPED << 16 | LOG_DROP << 8 | p->reason);
}

/* For each packet that is dropped. */
static __always_inline void log_drop(PARSE_CONTEXT *ctx, const struct pkt *p, __u32 hook)
{
	struct log_follow *f = log_followed();

	if (f && *(volatile __u64 *)&f->drops_until)
		log_send_drop(ctx, p, hook);
}
