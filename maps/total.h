/* SPDX-License-Identifier: GPL-2.0 */
/* total: every packet that a hook saw, counted once, by interface, hook, verdict and reason. Per CPU; the programs write, ctl
 * sums; nobody resets. These are the truth that flows are checked against: `bytes` are frame bytes as the interface counts them,
 * `ip_bytes` the IP part, the unit of flows. */
#pragma once
#include <linux/types.h>
#include "datapath.h"
#include "reason.h"

struct total {
	__u64 packets, bytes, ip_bytes;
};

/* Rows of one hook: the drop reasons, then PASS, TX and REDIRECT by pass reason. */
enum { TOTAL_PASS = REASON_DROP_END, TOTAL_ROWS = TOTAL_PASS + 3 * PASS_COUNT };

static inline __u32 total_index(__u32 slot, __u32 hook, __u32 row)
{
	return (slot * HOOK_COUNT + hook) * TOTAL_ROWS + row;
}

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_INTERFACES * HOOK_COUNT * TOTAL_ROWS);
	__type(key, __u32);
	__type(value, struct total);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} totals SEC(".maps");
#endif
