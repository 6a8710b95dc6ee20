/* SPDX-License-Identifier: GPL-2.0 */
/* interfaces: who stands behind an interface slot. The loader writes; ctl reads; programs know their slot from .rodata. A slot
 * is kept after detach (its flows and totals are still shown) and is given to another interface only when none is free. */
#pragma once
#include <linux/types.h>
#include "datapath.h"

struct interface_slot {
	char name[16];		/* empty: the slot is free */
	__u64 netns;		/* inode of the network namespace */
	__u32 ifindex;
	__u32 attached;		/* 1: programs are attached */
	__u32 features;		/* enum feature of its programs, for the next upgrade */
	__u32 inserts;		/* new flows a jiffy and CPU */
	__u32 frags;		/* XDP programs take frames of several buffers */
	__u32 full;		/* FEATURE_FULL whatever the rules are */
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct interface_slot);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} interfaces SEC(".maps");
#endif
