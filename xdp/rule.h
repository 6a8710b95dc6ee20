/* SPDX-License-Identifier: GPL-2.0 */
/* rule: what rules have counted. */
#pragma once
#include "../maps/rule.h"
#include "packet.h"
#include <bpf/bpf_helpers.h>

/* What is added, callers read behind the lookup: numbers kept across it would take stack, of which programs at tc have none left. */
#define RULE_ADD(id, more_packets, more_bytes) \
	do { \
		__u32 id_ = (id); \
		struct rule_count *c_ = bpf_map_lookup_elem(&rule_counts, &id_); \
 \
		if (c_) { \
			c_->packets += (more_packets); \
			c_->bytes += (more_bytes); \
		} \
	} while (0)

static __always_inline void rule_count(__u32 id, const struct pkt *p)
{
	RULE_ADD(id, p->packets, p->ip_bytes ? p->ip_bytes : p->len);
}
