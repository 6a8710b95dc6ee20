/* SPDX-License-Identifier: GPL-2.0 */
/* limit: the token buckets of `limit` statements, as the time at which a bucket would be full again (GCRA, ITU-T I.371): one word, changed by
 * compare-and-swap, and one whose time has come is as good as none. A rule's own bucket stands under its id; those per source and the like
 * in a set-associative table shared by all rules. The programs write; ctl empties those of an id that changes hands, and reads `limit_lost`.
 * Full: the entry that would be full again soonest is given away and counted: its source begins anew with a full bucket. */
#pragma once
#include <linux/types.h>
#include "rule.h"

#define LIMIT_SHIFT 6			/* times are ns << 6: a cost of a packet at 100 million a second is still right to 0.2 % */

#define LIMIT_OVER 1			/* holds above the rate, not below */
#define LIMIT_BYTES 2
enum limit_key { LIMIT_SADDR = 4, LIMIT_DADDR = 8, LIMIT_SPORT = 16, LIMIT_DPORT = 32, LIMIT_PROTO = 64 };

/* A bucket of at least so many jiffies needs no finer clock: what comes within one is taken to come at its begin, so the rate is the same, and the burst is by one
 * jiffy's worth larger or smaller at most, 2 %. */
#define LIMIT_TICKS 50

#define LIMIT_WAYS 4
#define LIMIT_BUCKETS (1 << 16)

struct limit_entry {
	__u64 key;			/* hash of rule and key, in the low 18 bits the rule's id; 0: free */
	__u64 full_at;
};

struct limit_bucket { struct limit_entry way[LIMIT_WAYS]; };

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} limit_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LIMIT_BUCKETS);
	__type(key, __u32);
	__type(value, struct limit_bucket);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} limit_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} limit_lost SEC(".maps");
#endif
