/* SPDX-License-Identifier: GPL-2.0 */
/* quote: where the parser leaves what an ICMP error quotes, for the stages that look at it. Per CPU, too large for the stack; nothing else parses on this CPU
 * meanwhile. */
#pragma once
#include "packet.h"
#include "words.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct quote);
} quote_scratch SEC(".maps");

/* Of this packet if it is PKT_QUOTE. */
static __always_inline struct quote *packet_quote(void)
{
	return bpf_map_lookup_elem(&quote_scratch, &first_element);
}
