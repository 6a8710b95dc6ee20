// SPDX-License-Identifier: GPL-2.0
/* lpm: the least program that asks BPF_MAP_TYPE_LPM_TRIE for the packet's source address, and the same without asking. bench makes the maps, once, and
 * fills them with the elements that the set beside them has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "lpm.h"

#define TRIE(name, key_) \
	struct { \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE); \
		__uint(max_entries, LPM_ENTRIES); \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, struct key_); \
		__type(value, __u8); \
	} name SEC(".maps")

TRIE(lpm4, lpm_key4);
TRIE(lpm6, lpm_key6);

static __always_inline int key4(struct xdp_md *ctx, struct lpm_key4 *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 34 > end)
		return 0;
	k->length = 32;
	k->address = *(__u32 *)(data + 26);
	return 1;
}

static __always_inline int key6(struct xdp_md *ctx, struct lpm_key6 *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 54 > end)
		return 0;
	k->length = 128;
	__builtin_memcpy(k->address, data + 22, 16);
	return 1;
}

/* `key` makes the key, in both. */
#define ASK(name, key_, map, key) \
SEC("xdp.frags") \
int name##_ask(struct xdp_md *ctx) \
{ \
	struct key_ k; \
 \
	return key(ctx, &k) && bpf_map_lookup_elem(&map, &k) ? XDP_DROP : XDP_PASS; \
} \
 \
SEC("xdp.frags") \
int name##_floor(struct xdp_md *ctx) \
{ \
	struct key_ k; \
 \
	if (key(ctx, &k)) \
		asm volatile("" :: "r"(&k) : "memory"); \
	return XDP_PASS; \
}

ASK(lpm4, lpm_key4, lpm4, key4)
ASK(lpm6, lpm_key6, lpm6, key6)

char _license[] SEC("license") = "GPL";
