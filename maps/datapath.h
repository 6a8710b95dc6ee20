/* SPDX-License-Identifier: GPL-2.0 */
/* datapath: what all programs of one instance agree on. `datapath` is written once by the loader, before it is pinned, and read
 * by the loader at each load; `control` names the generation in force: ctl writes it, one aligned 64-bit store, the programs read
 * it once a packet. */
#pragma once
#include <linux/types.h>

#define WEIR_SCHEMA 9		/* of all of maps/: raise it when a layout changes; maps of another schema are refused */
#define MAX_INTERFACES 128	/* slots 1..127; slot 0 is nobody */

enum hook { HOOK_XDP, HOOK_TC_INGRESS, HOOK_TC_EGRESS, HOOK_COUNT };

#define FLOW_SEEDS 12

struct datapath {
	__u32 schema;
	__u32 flow4_bits;	/* log2 of the buckets of flow4 and flow6 */
	__u32 flow6_bits;
	__u32 hz;		/* jiffies a second */
	__u64 seed[FLOW_SEEDS];	/* of the flow table's hash: secret, random */
};

/* generation << 8 | slot: every table of the configuration has two slots, 0 and 1. Generations count from 1; 0: nothing applied,
 * everything passes. */
struct control {
	__u64 active;
	__u64 full;		/* the rules in force need programs with FEATURE_FULL; for the loader */
	__u64 pad[6];
};

static inline __u32 active_generation(__u64 active)
{
	return active >> 8;
}

static inline __u32 active_slot(__u64 active)
{
	return active & 1;
}

/* Features of one attached interface: constants of its programs, so what is off is not there. */
enum feature {
	FEATURE_FILTER = 1,
	FEATURE_BALANCE = 2,
	FEATURE_FLOWS = 4,	/* flow table: accounts, cached decisions */
	FEATURE_DECAP = 8,	/* strip IPIP before all else */
	FEATURE_XDP_BELOW = 16,	/* tc ingress only: XDP is attached and has done the work */
	FEATURE_TC_ABOVE = 32,	/* XDP only: tc ingress is attached and can ask for neighbours */
	FEATURE_MUTE = 64,	/* test runs: nobody is answered, nothing that others see changes */
	FEATURE_FULL = 128,	/* any rule; without, those that decide by IPv4 addresses, ports and protocol */
};

/* The .rodata of one interface's programs; the loader fills it in. */
struct program_config {
	__u32 slot;		/* in `interfaces` */
	__u32 features;
	__u32 flow4_shift;	/* 64 - bits */
	__u32 flow6_shift;
	__u32 hz;
	__u32 inserts;		/* new flows a jiffy and CPU */
	__u64 name[2];		/* interface name, big-endian words, as the filter compares it */
	__u64 seed[FLOW_SEEDS];
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct datapath);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} datapath SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} control SEC(".maps");
#endif
