// SPDX-License-Identifier: GPL-2.0
/* layouts: candidates for the flow table, each as one program that finds or opens the packet's flow and counts it, and does nothing else. What they
 * cost is in docs/design/flow-table.md. Not part of the datapath. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define WAYS 8
#define BUCKET_BITS 18
#define BUCKETS (1 << BUCKET_BITS)	/* two entries for each of a million flows */
#define MULTIPLIER1 0x9e3779b97f4a7c15ull
#define MULTIPLIER2 0xc2b2ae3d27d4eb4full

struct key { __u64 w[2]; };
struct counts { __u64 packets[2], bytes[2], decision; __u32 first, last; };
struct entry64 { struct key key; struct counts c; };
struct entry128 { struct key key; struct counts c; __u64 more[8]; };

struct tagless { struct entry64 way[WAYS]; };
struct tagged { __u32 tag[WAYS]; __u64 pad[4]; struct entry64 way[WAYS]; };
struct wide { struct entry128 way[WAYS]; };

#define ARRAY(name, type_, entries) struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(map_flags, BPF_F_MMAPABLE); __uint(max_entries, entries); \
	__type(key, __u32); __type(value, type_); } name SEC(".maps")
#define HASH(name, type_) struct { __uint(type, type_); __uint(max_entries, BUCKETS * WAYS); \
	__type(key, struct key); __type(value, struct counts); } name SEC(".maps")

struct line { struct entry64 only; };

/* What memory itself takes: no table can be cheaper than one line of 64 bytes a flow. */
#define LINES (1 << 20)
ARRAY(line_map, struct line, LINES);
ARRAY(tagless_map, struct tagless, BUCKETS);
ARRAY(tagged_map, struct tagged, BUCKETS);
ARRAY(wide_map, struct wide, BUCKETS);
HASH(hash_map, BPF_MAP_TYPE_HASH);
HASH(lru_map, BPF_MAP_TYPE_LRU_HASH);

__u64 lost = 0;		/* packets that found no room */

static __always_inline int key_of(struct xdp_md *ctx, struct key *k, __u32 *bytes)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *l4 = (void *)(ip + 1);

	if ((void *)(l4 + 1) > end)
		return -1;
	k->w[0] = (__u64)ip->saddr << 16 | l4->source | (__u64)ip->protocol << 48;
	k->w[1] = (__u64)ip->daddr << 16 | l4->dest;
	*bytes = bpf_ntohs(ip->tot_len);
	return 0;
}

static __always_inline __u64 hash_of(const struct key *k)
{
	__u64 h = k->w[0] * MULTIPLIER1 ^ k->w[1] * MULTIPLIER2;

	return (h ^ h >> 32) * MULTIPLIER1;
}

static __always_inline int count(struct counts *c, __u32 bytes)
{
	__sync_fetch_and_add(&c->packets[0], 1);
	__sync_fetch_and_add(&c->bytes[0], bytes);
	c->last = bpf_jiffies64();
	return XDP_PASS;
}

/* Probed from a hashed start. */
#define PROBED(name, map) \
SEC("xdp.frags") \
int layout_##name(struct xdp_md *ctx) \
{ \
	struct key k; \
	__u32 bytes, i, start; \
	struct name *b; \
	__u64 h; \
 \
	if (key_of(ctx, &k, &bytes)) \
		return XDP_ABORTED; \
	h = hash_of(&k); \
	i = h >> (64 - BUCKET_BITS); \
	start = h >> 8 & (WAYS - 1); \
	b = bpf_map_lookup_elem(&map, &i); \
	if (!b) \
		return XDP_ABORTED; \
	_Pragma("unroll") for (int n = 0; n < WAYS; n++) { \
		__typeof__(&b->way[0]) e = &b->way[(start ^ n) & (WAYS - 1)]; \
 \
		if (e->key.w[0] == k.w[0] && e->key.w[1] == k.w[1]) \
			return count(&e->c, bytes); \
	} \
	_Pragma("unroll") for (int n = 0; n < WAYS; n++) { \
		__typeof__(&b->way[0]) e = &b->way[(start ^ n) & (WAYS - 1)]; \
 \
		if (!e->key.w[0] && !__sync_val_compare_and_swap(&e->key.w[0], 0, k.w[0])) { \
			e->key.w[1] = k.w[1]; \
			return count(&e->c, bytes); \
		} \
	} \
	lost++; \
	return XDP_PASS; \
}

PROBED(tagless, tagless_map)
PROBED(wide, wide_map)

/* Fingerprints of all eight in a line of their own, read before any entry. */
SEC("xdp.frags")
int layout_tagged(struct xdp_md *ctx)
{
	struct tagged *b;
	__u32 bytes, i, tag;
	struct key k;
	__u64 h;

	if (key_of(ctx, &k, &bytes))
		return XDP_ABORTED;
	h = hash_of(&k);
	i = h >> (64 - BUCKET_BITS);
	tag = h >> 8 | 1;
	b = bpf_map_lookup_elem(&tagged_map, &i);
	if (!b)
		return XDP_ABORTED;
#pragma unroll
	for (int n = 0; n < WAYS; n++)
		if (b->tag[n] == tag && b->way[n].key.w[0] == k.w[0] && b->way[n].key.w[1] == k.w[1])
			return count(&b->way[n].c, bytes);
#pragma unroll
	for (int n = 0; n < WAYS; n++)
		if (!b->tag[n] && !__sync_val_compare_and_swap(&b->tag[n], 0, tag)) {
			b->way[n].key = k;
			return count(&b->way[n].c, bytes);
		}
	lost++;
	return XDP_PASS;
}

#define HASHED(name) \
SEC("xdp.frags") \
int layout_##name(struct xdp_md *ctx) \
{ \
	struct counts fresh = {}, *c; \
	struct key k; \
	__u32 bytes; \
 \
	if (key_of(ctx, &k, &bytes)) \
		return XDP_ABORTED; \
	c = bpf_map_lookup_elem(&name##_map, &k); \
	if (c) \
		return count(c, bytes); \
	fresh.packets[0] = 1; \
	fresh.bytes[0] = bytes; \
	if (bpf_map_update_elem(&name##_map, &k, &fresh, BPF_NOEXIST)) \
		lost++; \
	return XDP_PASS; \
}

#define LINE(name, at) \
SEC("xdp.frags") \
int layout_##name(struct xdp_md *ctx) \
{ \
	struct line *l; \
	struct key k; \
	__u32 bytes, i; \
 \
	if (key_of(ctx, &k, &bytes)) \
		return XDP_ABORTED; \
	i = at; \
	l = bpf_map_lookup_elem(&line_map, &i); \
	return l ? count(&l->only.c, bytes) : XDP_ABORTED; \
}

LINE(line, bpf_ntohl(k.w[0] >> 16) & (LINES - 1))	/* the feeder counts sources up */
LINE(scattered4, hash_of(&k) >> 48)			/* over 4 MiB, 64 MiB: flows share lines, nobody compares keys */
LINE(scattered64, hash_of(&k) >> 44)

HASHED(hash)
HASHED(lru)

char _license[] SEC("license") = "GPL";
