/* SPDX-License-Identifier: GPL-2.0 */
/* flow: find, count and open flows. The layout and the rules of its table are in maps/flow.h; this is the only file that writes it.
 * flow_find() runs for every packet and touches one cache line of the table for IPv4, two for IPv6. */
#pragma once
#include "../maps/flow.h"
#include "../maps/rule.h"
#include "program.h"
#include "account.h"
#include "quote.h"

struct flow_key {
	__u64 w[5];		/* IPv4 uses two */
	__u64 hash;
	__u8 direction;		/* the packet's source is endpoint 0: 0, else 1 */
};

/* Sum of products of 32-bit halves with secret addends, then a secret odd multiplier: two tuples that an outsider chose meet in a bucket
 * with the probability of chance (Dietzfelbinger 1996; the NH family of RFC 4418). Top bits are the good ones. */
static __always_inline __u64 flow_hash(const __u64 *w, int n)
{
	__u64 h = 0;

#pragma unroll
	for (int i = 0; i < n; i++)
		h += (__u64)((__u32)w[i] + (__u32)program.seed[2 * i]) * (__u32)((w[i] >> 32) + (__u32)program.seed[2 * i + 1]);
	h ^= h >> 32;		/* neighbouring tuples make a progression, which a multiplier alone may leave in clumps */
	return h * (program.seed[FLOW_SEEDS - 1] | 1);
}

/* `tags`: what else tells flows apart: the outer VLAN id, and FLOW_KEY_FRAGMENT for fragments without ports. */
#define FLOW_KEY_FRAGMENT 0x8000

static __always_inline __u32 flow_key_tags(const struct pkt *p)
{
	return (p->vlans ? p->vlan_id : 0) | (p->flags & PKT_LATER_FRAGMENT ? FLOW_KEY_FRAGMENT : 0);
}

static __always_inline void flow_key4(struct flow_key *k, const union ip_addr *src, const union ip_addr *dst, __be16 sport, __be16 dport,
				      __u8 proto, __u32 tags)
{
	__u64 a = (__u64)src->v4 << 16 | sport, b = (__u64)dst->v4 << 16 | dport;

	k->direction = a > b;
	k->w[0] = (a > b ? b : a) | (__u64)proto << 48 | (__u64)program.slot << 56;
	k->w[1] = (a > b ? a : b) | (__u64)tags << 48;
	k->hash = flow_hash(k->w, 2);
}

static __always_inline void flow_key6(struct flow_key *k, const union ip_addr *src, const union ip_addr *dst, __be16 sport, __be16 dport,
				      __u8 proto, __u32 tags)
{
	int swap = src->w[0] != dst->w[0] ? src->w[0] > dst->w[0] : src->w[1] != dst->w[1] ? src->w[1] > dst->w[1] : sport > dport;

	k->direction = swap;
	k->w[0] = proto | program.slot << 8 | (__u64)tags << 16 | (__u64)(swap ? dport : sport) << 32 | (__u64)(swap ? sport : dport) << 48;
	k->w[1] = swap ? dst->w[0] : src->w[0];
	k->w[2] = swap ? dst->w[1] : src->w[1];
	k->w[3] = swap ? src->w[0] : dst->w[0];
	k->w[4] = swap ? src->w[1] : dst->w[1];
	k->hash = flow_hash(k->w, 5);
}

static __always_inline struct flow4_bucket *flow4_bucket(const struct flow_key *k)
{
	__u32 i = k->hash >> program.flow4_shift;

	return bpf_map_lookup_elem(&flow4, &i);
}

static __always_inline struct flow6_bucket *flow6_bucket(const struct flow_key *k)
{
	__u32 i = k->hash >> program.flow6_shift;

	return bpf_map_lookup_elem(&flow6, &i);
}

/* Where probing begins, so that most entries are found on the first try. */
static __always_inline __u32 flow_start(const struct flow_key *k)
{
	return k->hash >> 8 & (FLOW_WAYS - 1);
}

static __always_inline struct flow *flow4_find(const struct flow_key *k)
{
	struct flow4_bucket *b = flow4_bucket(k);

	if (!b)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow4 *f = &b->way[(flow_start(k) ^ i) & (FLOW_WAYS - 1)];

		if (f->key[0] == k->w[0] && f->key[1] == k->w[1])
			return &f->flow;
	}
	return 0;
}

static __always_inline struct flow *flow6_find(const struct flow_key *k)
{
	struct flow6_bucket *b = flow6_bucket(k);

	if (!b)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *f = &b->way[(flow_start(k) ^ i) & (FLOW_WAYS - 1)];

		if (f->key[0] == k->w[0] && f->key[2] == k->w[2] && f->key[4] == k->w[4] && f->key[1] == k->w[1] &&
		    f->key[3] == k->w[3])
			return &f->flow;
	}
	return 0;
}

/* Too large for the stack of whoever asks for the flow of a quoted packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_key);
} quoted_scratch SEC(".maps");

/* The flow of the packet that an ICMP error is about; 0: not known. */
static __always_inline struct flow *flow_quoted(const struct pkt *p)
{
	struct flow_key *k = bpf_map_lookup_elem(&quoted_scratch, &first_element);
	const struct quote *q = packet_quote();

	if (!k || !q)
		return 0;
	if (q->family == 4) {
		flow_key4(k, &q->saddr, &q->daddr, q->sport, q->dport, q->proto, flow_key_tags(p));
		return flow4_find(k);
	}
	flow_key6(k, &q->saddr, &q->daddr, q->sport, q->dport, q->proto, flow_key_tags(p));
	return flow6_find(k);
}

/* Count the packet; returns the tag its direction had. */
static __always_inline __u32 flow_count(struct flow *f, const struct pkt *p, __u32 direction)
{
	__u64 *packets = &f->packets[direction & 1], *bytes = &f->bytes[direction & 1];
	__u64 had;

	had = __sync_fetch_and_add(packets, p->packets);
	__sync_fetch_and_add(bytes, p->ip_bytes);
	if (p->tcp_flags & ~(*bytes >> FLOW_FLAGS_SHIFT))
		__sync_fetch_and_or(bytes, (__u64)p->tcp_flags << FLOW_FLAGS_SHIFT);
	f->last = jiffies_now();
	return had >> FLOW_TAG_SHIFT;
}

/* The tag of decisions made for this chain under this generation; never 0. */
static __always_inline __u32 flow_tag(__u64 active, __u32 chain)
{
	return (active_generation(active) % FLOW_GENERATIONS + 1) << 1 | chain;
}

static __always_inline __u32 decision_rule(__u64 decision, __u32 direction)
{
	return decision >> (direction ? FLOW_RULE_BITS : 0) & FLOW_RULE_MASK;
}

/* The backend for packets of this direction, 0: none. */
static __always_inline __u32 decision_backend(__u64 decision, __u32 direction)
{
	return (decision >> FLOW_BACKEND_DIRECTION_SHIFT & 1) == direction ? decision >> FLOW_BACKEND_SHIFT : 0;
}

/* `old` with the rule of this packet's direction, and with its backend unless the packet has no say in that. */
static __always_inline __u64 decision_make(__u64 old, const struct pkt *p, int own_backend)
{
	__u32 shift = p->direction ? FLOW_RULE_BITS : 0;

	old &= ~((__u64)FLOW_RULE_MASK << shift);
	old |= (__u64)p->rule << shift;
	if (!own_backend || (!p->backend && !decision_backend(old, p->direction)))
		return old;
	old &= ~(0x1ffffull << FLOW_BACKEND_DIRECTION_SHIFT);
	return old | (__u64)p->direction << FLOW_BACKEND_DIRECTION_SHIFT | (__u64)p->backend << FLOW_BACKEND_SHIFT;
}

/* Remember what was decided for an entry whose decision read `old` before deciding. Of two CPUs that decide at once the first wins, and
 * only the winner sets the tag, so a tag never vouches for a decision of another generation. */
static __always_inline void flow_remember(struct flow *f, const struct pkt *p, __u64 old, __u32 tag, int own_backend)
{
	__u64 *packets = &f->packets[p->direction & 1];
	__u64 made = decision_make(old, p, own_backend), had;

	if (made != old && __sync_val_compare_and_swap(&f->decision, old, made) != old)
		return;
	if (!p->cacheable)
		return;
	had = *(volatile __u64 *)packets;
	__sync_val_compare_and_swap(packets, had, (had & FLOW_PACKETS_MASK) | (__u64)tag << FLOW_TAG_SHIFT);
}

/* May this CPU open another flow in this jiffy? */
static __always_inline int flow_budget_take(void)
{
	struct flow_budget *b = bpf_map_lookup_elem(&flow_budget, &first_element);
	__u64 now = bpf_jiffies64();

	if (!b)
		return 0;
	if (b->jiffy != now) {
		b->jiffy = now;
		b->left = program.inserts;
	}
	if (!b->left)
		return 0;
	b->left--;
	return 1;
}

/* How much an entry is worth: 0 keep it, else the higher the sooner it goes. */
__noinline __u32 flow_stale(const struct flow *f, __u8 proto, __u32 now)
{
	__u32 idle, hz = program.hz;
	enum flow_state s;

	if (!f)
		return 0;
	idle = now - f->last;
	s = flow_state(f, proto);
	if ((__s32)idle < 0)
		return 0;
	if (idle > flow_idle_limit(s, proto) * hz)
		return 0x80000000u | idle;
	if (s != FLOW_ESTABLISHED && idle > FLOW_PRESSURE_IDLE * hz)
		return s == FLOW_CLOSED ? 0x40000000u | idle : idle;
	return 0;
}

/* Take out what an entry counted before it belongs to another flow. */
static __always_inline void flow_retire(struct flow *f, __u32 slot)
{
	__u64 packets = 0, bytes = 0;
	struct flow_aged *a;

	packets += __sync_lock_test_and_set(&f->packets[0], 0) & FLOW_PACKETS_MASK;
	packets += __sync_lock_test_and_set(&f->packets[1], 0) & FLOW_PACKETS_MASK;
	bytes += __sync_lock_test_and_set(&f->bytes[0], 0) & FLOW_BYTES_MASK;
	bytes += __sync_lock_test_and_set(&f->bytes[1], 0) & FLOW_BYTES_MASK;
	a = bpf_map_lookup_elem(&flow_aged, &slot);
	if (!a)
		return;
	a->flows++;
	a->packets += packets;
	a->bytes += bytes;
}

static __always_inline void flow_begin(struct flow *f, const struct pkt *p, __u32 tag, int own_backend)
{
	f->decision = decision_make(p->direction ? FLOW_OPENER_BIT : 0, p, own_backend);
	f->first = f->last = jiffies_now();
	__sync_fetch_and_add(&f->packets[p->direction & 1],
			     p->packets + (p->cacheable ? (__u64)tag << FLOW_TAG_SHIFT : 0));
	__sync_fetch_and_add(&f->bytes[p->direction & 1], p->ip_bytes + ((__u64)p->tcp_flags << FLOW_FLAGS_SHIFT));
}

/* Open a flow for a packet that was accepted, and count the packet in it. Returns what to book it under. Two CPUs that open the same flow
 * at once make two entries; the one probed first serves from then on, readers add them up. */
#define FLOW_OPEN(name, type, words, proto_shift, slot_shift) \
static __noinline enum pass_reason name(const struct flow_key *k, const struct pkt *p, __u32 tag, int own_backend) \
{ \
	struct type##_bucket *b = type##_bucket(k); \
	__u32 now = jiffies_now(), best = 0, way = 0, start = flow_start(k); \
	struct type *f; \
	__u64 had = 0; \
 \
	if (!b) \
		return PASS_TABLE_FULL; \
	for (__u32 i = 0; i < FLOW_WAYS; i++) { \
		__u32 n = (start ^ i) & (FLOW_WAYS - 1), stale; \
		__u64 key0; \
 \
		f = &b->way[n]; \
		key0 = *(volatile __u64 *)&f->key[0]; \
		if (!key0) { \
			way = n; \
			had = 0; \
			best = ~0u; \
			break; \
		} \
		if (key0 == FLOW_BUSY) \
			continue; \
		stale = flow_stale(&f->flow, key0 >> proto_shift, now); \
		if (stale > best) { \
			best = stale; \
			way = n; \
			had = key0; \
		} \
	} \
	if (!best) \
		return PASS_TABLE_FULL; \
	if (!flow_budget_take()) \
		return PASS_INSERT_LIMIT; \
	f = &b->way[way & (FLOW_WAYS - 1)]; \
	if (__sync_val_compare_and_swap(&f->key[0], had, FLOW_BUSY) != had) \
		return PASS_TABLE_FULL; \
	if (had) \
		flow_retire(&f->flow, had >> slot_shift & 255); \
	for (int i = 1; i < words; i++) \
		f->key[i] = k->w[i]; \
	flow_begin(&f->flow, p, tag, own_backend); \
	__sync_lock_test_and_set(&f->key[0], k->w[0]); \
	return PASS_FLOW; \
}

FLOW_OPEN(flow4_open, flow4, 2, 48, 56)
FLOW_OPEN(flow6_open, flow6, 5, 0, 8)
