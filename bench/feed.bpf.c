// SPDX-License-Identifier: GPL-2.0
/* feed: test runs with repeat do not restore the packet, so an encapsulating program would see its own output the second time. The feeder is what is
 * run instead: it undoes the target's length change, restores the front of the packet, writes the address and port of the next flow, waits until
 * all that has left the store buffer, and tail-calls the target. The floor is a target that makes the same length change and nothing else.
 * hash_lookups and hash_floor give the unit: one lookup in a BPF hash that hits. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "feed.h"

const volatile struct feed feed SEC(".rodata.feed") = {};

__u32 flow = 0;		/* the one whose packet comes next */
__u64 fed = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} target SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FEED_HEADERS);
	__type(key, __u32);
	__type(value, struct feed_header);
} headers SEC(".maps");

static __always_inline void fill_header(void *data)
{
	struct feed_header *h = bpf_map_lookup_elem(&headers, &flow);

	flow = (flow + 1) & (FEED_HEADERS - 1);
	if (!h)
		return;
	if (feed.headers == 6) {
		*(__u8 *)(data + 20) = h->proto;
		*(__u32 *)(data + 24) = h->saddr;
		*(__u32 *)(data + 28) = h->daddr;
		*(__u16 *)(data + 54) = h->sport;
		*(__u16 *)(data + 56) = h->dport;
		return;
	}
	*(__u8 *)(data + 23) = h->proto;
	*(__u32 *)(data + 26) = h->saddr;
	*(__u32 *)(data + 30) = h->daddr;
	*(__u16 *)(data + 34) = h->sport;
	*(__u16 *)(data + 36) = h->dport;
}

static __always_inline int fill(void *data, void *end)
{
	__u32 address = feed.address + flow, sum;

	if (data + FEED_BYTES > end)
		return -1;
#pragma unroll
	for (int i = 0; i < FEED_BYTES / 8; i++)
		((__u64 *)data)[i] = feed.bytes[i];
	if (feed.headers) {
		fill_header(data);
	} else if (feed.sources) {
		*(__u32 *)(data + 26) = bpf_get_prandom_u32() % feed.sources * 0x9e3779b1;
	} else if (feed.mask) {
		*(__u32 *)(data + (feed.address_at & 63)) = bpf_htonl(address);
		*(__u16 *)(data + (feed.port_at & 63)) = bpf_htons(0x8000 | (flow * 0x9e37 >> 4 & 0x7fff));
		if (feed.check_at) {
			sum = feed.check + (address >> 16) + (address & 0xffff);
			sum = (sum & 0xffff) + (sum >> 16);
			sum = (sum & 0xffff) + (sum >> 16);
			*(__u16 *)(data + (feed.check_at & 63)) = bpf_htons(~sum);
		}
		/* full period for every power of two (Knuth): each flow comes once a round */
		flow = (flow * 1664525 + 1013904223) & feed.mask;
	}
	__sync_fetch_and_add(&fed, 1);	/* a locked instruction drains the store buffer: the target does not stall on our stores */
	return 0;
}

SEC("xdp.frags")
int feed_xdp(struct xdp_md *ctx)
{
	if (feed.grows && (__u32)(ctx->data_end - ctx->data) != feed.length && bpf_xdp_adjust_head(ctx, (int)feed.grows))
		return XDP_ABORTED;
	if (fill((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int floor_xdp(struct xdp_md *ctx)
{
	if (feed.grows && bpf_xdp_adjust_head(ctx, -(int)feed.grows))
		return XDP_ABORTED;
	return feed.verdict;
}

SEC("tc")
int feed_tc(struct __sk_buff *skb)
{
	if (fill((void *)(long)skb->data, (void *)(long)skb->data_end))
		return TC_ACT_SHOT;
	bpf_tail_call(skb, &target, 0);
	return TC_ACT_SHOT;
}

SEC("tc")
int floor_tc(struct __sk_buff *skb __attribute__((unused)))
{
	return feed.verdict;
}

/* ---- the unit */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, COST_ENTRIES);
	__type(key, struct cost_key);
	__type(value, __u64);
} cost_hash SEC(".maps");

__u32 state = 1;
__u64 sink = 0;

/* The next of COST_ENTRIES keys; bench.c fills the map with the same. */
static __always_inline void next_key(struct cost_key *k, __u32 *x)
{
	__u32 i;

	*x = *x * 1664525 + 1013904223;
	i = *x >> 7 & (COST_ENTRIES - 1);
	k->w[0] = i * 0x9e3779b1;
	k->w[1] = ~i;
	k->w[2] = 1;
	k->w[3] = 2;
}

SEC("xdp")
int hash_lookups(struct xdp_md *ctx __attribute__((unused)))
{
	__u32 x = state;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < COST_LOOKUPS; i++) {
		struct cost_key k;
		__u64 *v;

		next_key(&k, &x);
		v = bpf_map_lookup_elem(&cost_hash, &k);
		if (!v)
			return XDP_ABORTED;
		sum += *v;
	}
	state = x;
	sink += sum;
	return XDP_PASS;
}

SEC("xdp")
int hash_floor(struct xdp_md *ctx __attribute__((unused)))
{
	__u32 x = state;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < COST_LOOKUPS; i++) {
		struct cost_key k;

		next_key(&k, &x);
		asm volatile("" :: "r"(&k) : "memory");
		sum += k.w[0];
	}
	state = x;
	sink += sum;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
