/* SPDX-License-Identifier: GPL-2.0 */
/* account: every packet ends in exactly one row of `totals`. drop() is the only way to drop. */
#pragma once
#include <bpf/bpf_helpers.h>
#include "../maps/total.h"
#include "packet.h"

static __always_inline enum verdict drop(struct pkt *p, enum reason why)
{
	p->reason = why;
	return DROP;
}

/* Book the packet under what was decided. `v` is not NEXT. */
static __always_inline void account(const struct pkt *p, __u32 slot, enum hook hook, enum verdict v)
{
	__u32 row = v == DROP ? p->reason : TOTAL_PASS + (v - PASS) * PASS_COUNT + p->booked;
	__u32 i = total_index(slot, hook, row);
	struct total *t = bpf_map_lookup_elem(&totals, &i);

	if (!t)
		return;
	t->packets += p->packets;
	t->bytes += p->len;
	t->ip_bytes += p->ip_bytes;
}
