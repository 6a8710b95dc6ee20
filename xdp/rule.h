/* SPDX-License-Identifier: GPL-2.0 */
/* rule: what rules have counted. */
#pragma once
#include "../maps/rule.h"
#include "packet.h"
#include <bpf/bpf_helpers.h>

static __always_inline void rule_add(__u32 id, __u32 packets, __u32 bytes)
{
	struct rule_count *c = bpf_map_lookup_elem(&rule_counts, &id);

	if (!c)
		return;
	c->packets += packets;
	c->bytes += bytes;
}

static __always_inline void rule_count(__u32 id, const struct pkt *p)
{
	rule_add(id, p->packets, p->ip_bytes ? p->ip_bytes : p->len);
}
