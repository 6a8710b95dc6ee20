/* SPDX-License-Identifier: GPL-2.0 */
/* program: what one interface's programs were made for, and small things every stage needs. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "../maps/datapath.h"
#include "words.h"

const volatile struct program_config program SEC(".rodata.program") = {};

static __always_inline int has(enum feature f)
{
	return program.features & f;
}

/* The configuration in force; read once a packet, so that all stages see the same one. */
static __always_inline __u64 active_now(void)
{
	struct control *c = bpf_map_lookup_elem(&control, &first_element);

	return c ? *(volatile __u64 *)&c->active : 0;
}

static __always_inline __u32 jiffies_now(void)
{
	return bpf_jiffies64();
}

