/* SPDX-License-Identifier: GPL-2.0 */
/* mark: what `meta mark set` makes of a packet's mark. `mark_lost`: per CPU, the programs write: packets whose mark XDP could not hand on to tc, since
 * tc ingress is not attached or the driver has no room for metadata. */
#pragma once
#include <linux/types.h>

struct filter_mark {		/* in a chain's memory, one word: (mark & keep) ^ flip */
	__u32 keep, flip;
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mark_lost SEC(".maps");
#endif
