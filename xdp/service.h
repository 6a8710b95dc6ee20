/* SPDX-License-Identifier: GPL-2.0 */
/* service: is the packet for a service, and which backend gets it. A flow keeps the backend its entry names; a new one takes what the ring
 * says. Fragments without ports follow their first fragment, ICMP errors the flow they are about. */
#pragma once
#include "../maps/service.h"
#include "flow.h"

struct wide_addr { __u64 w[2]; };

static __always_inline struct wide_addr wide(const union ip_addr *a, __u8 family)
{
	struct wide_addr r;

	if (family == 4) {
		r.w[0] = 0;
		r.w[1] = 0xffffull << 16 | (__u64)a->v4 << 32;
	} else {
		r.w[0] = a->w[0];
		r.w[1] = a->w[1];
	}
	return r;
}

/* The key of an address, port and protocol in the slot's half of the table, or NULL: no service. */
static __always_inline const struct service_key *service_find(__u32 slot, struct wide_addr addr, __be16 port, __u8 proto)
{
	__u32 want = (__u32)port << 16 | proto << 8 | 1;
	__u32 i = slot * SERVICE_BUCKETS + (service_hash(addr.w[0], addr.w[1], want) & (SERVICE_BUCKETS - 1));
	const struct service_table *t = bpf_map_lookup_elem(&service_keys, &first_element);
	const struct service_bucket *b;

	if (!t)
		return 0;
#pragma unroll
	for (int n = 0; n < 2 * SERVICE_WAYS; n++) {	/* what does not fit its bucket is in the neighbour's */
		const struct service_key *k;

		if (n % SERVICE_WAYS == 0) {
			__u64 bucket = i ^ n / SERVICE_WAYS;

			barrier_var(bucket);	/* clang knows that it is in bounds; the verifier of 6.1 does not, and wants the mask */
			b = &t->bucket[bucket & (2 * SERVICE_BUCKETS - 1)];
		}
		k = &b->way[n % SERVICE_WAYS];
		if (k->port_proto == want && k->addr[1] == addr.w[1] && k->addr[0] == addr.w[0])
			return k;
		if (!k->port_proto)
			return 0;
	}
	return 0;
}

static __always_inline __u32 ring_pick(const struct service_key *s, __u32 hash)
{
	__u64 n = (s->ring + (hash & s->mask)) & (RING_CHUNKS * RING_CHUNK - 1);
	const struct ring_table *r = bpf_map_lookup_elem(&rings, &first_element);

	if (!r)
		return 0;
	barrier_var(n);
	return r->slot[n];
}

static __always_inline const struct backend_entry *backend_of(__u64 slot)
{
	const struct backend_table *t = bpf_map_lookup_elem(&backends, &first_element);

	if (!t)
		return 0;
	slot &= MAX_BACKENDS - 1;
	barrier_var(slot);	/* not before t is known to be there */
	return &t->entry[slot];
}

static __always_inline int backend_alive(__u32 slot)
{
	const struct backend_entry *b = backend_of(slot);

	return slot && b && b->state != BACKEND_NONE;
}

/* The ring's answer for a tuple that goes to the service. */
static __always_inline __u32 service_choose(const struct service_key *s, struct wide_addr src, struct wide_addr dst, __be16 sport,
					    __be16 dport, __u8 proto)
{
	return ring_pick(s, ring_hash(src.w[0], src.w[1], dst.w[0], dst.w[1], (__u32)sport << 16 | dport, proto));
}

#define FRAGMENT_BACKEND_MASK 0xffffull

static __always_inline struct fragment *fragment_slot(const struct pkt *p, __u64 *key)
{
	__u64 h = (p->saddr.w[0] ^ p->saddr.w[1] * 0x9e3779b97f4a7c15ull) + program.seed[0];
	__u32 i;

	h = (h ^ h >> 32 ^ p->daddr.w[0]) * (program.seed[1] | 1);
	h = (h ^ h >> 32 ^ p->daddr.w[1]) * (program.seed[2] | 1);
	h = (h ^ h >> 32 ^ ((__u64)p->frag_id << 8 | p->proto)) * (program.seed[3] | 1);
	h ^= h >> 32;
	*key = h & ~FRAGMENT_BACKEND_MASK;
	i = (h * (program.seed[4] | 1)) >> 40 & (FRAGMENT_SLOTS - 1);
	return bpf_map_lookup_elem(&fragments, &i);
}

/* Where the first fragment of this datagram went; 0: not seen, or forgotten. */
static __noinline __u32 fragment_backend(const struct pkt *p)
{
	__u64 key, had;
	struct fragment *f = fragment_slot(p, &key);

	if (!f || jiffies_now() - f->jiffies > FRAGMENT_SECONDS * program.hz)
		return 0;
	had = *(volatile __u64 *)&f->key_backend;
	return (had & ~FRAGMENT_BACKEND_MASK) == key ? had & FRAGMENT_BACKEND_MASK : 0;
}

static __noinline int fragment_note(const struct pkt *p)
{
	__u64 key;
	struct fragment *f = fragment_slot(p, &key);

	if (!f)
		return 0;
	f->jiffies = jiffies_now();
	*(volatile __u64 *)&f->key_backend = key | p->backend;
	return 0;
}

/* The backend of the flow that an ICMP error is about. What it quotes was sent by the service to the client, so the flow is its reverse. */
static __noinline __u32 quote_backend(const struct pkt *p, __u32 slot)
{
	const struct quote *q = packet_quote();
	struct wide_addr src, dst;
	const struct service_key *s;
	struct flow *f = 0;

	if (!q)
		return 0;
	src = wide(&q->daddr, q->family);
	dst = wide(&q->saddr, q->family);
	s = service_find(slot, dst, q->sport, q->proto);
	if (!s)
		return 0;
	if (has(FEATURE_FLOWS))
		f = flow_quoted(p);
	if (f && backend_alive(f->decision >> FLOW_BACKEND_SHIFT))
		return f->decision >> FLOW_BACKEND_SHIFT;
	return service_choose(s, src, dst, q->dport, q->sport, q->proto);
}

/* With FEATURE_BALANCE: a backend for a packet whose flow names none. NEXT with p->backend 0: not for a service. */
static __always_inline enum verdict stage_service(struct pkt *p, __u64 active)
{
	__u32 slot = active_slot(active);
	const struct service_key *s;
	struct wide_addr dst;

	if (!active_generation(active) || !p->family || p->backend)
		return NEXT;
	dst = wide(&p->daddr, p->family);
	if (p->flags & PKT_PORTS) {
		s = service_find(slot, dst, p->dport, p->proto);
		if (!s)
			return NEXT;
		p->backend = service_choose(s, wide(&p->saddr, p->family), dst, p->sport, p->dport, p->proto);
		return p->backend ? NEXT : drop(p, DROP_NO_BACKEND);
	}
	s = service_find(slot, dst, 0, 0);
	if (!s)
		return NEXT;
	if (p->flags & PKT_LATER_FRAGMENT) {
		p->backend = fragment_backend(p);
		return p->backend ? NEXT : drop(p, DROP_ORPHAN_FRAGMENT);
	}
	if (p->flags & PKT_QUOTE) {
		p->backend = quote_backend(p, slot);
		return NEXT;	/* about no flow of a service: for the host itself */
	}
	if (p->flags & PKT_ICMP)
		p->backend = service_choose(s, wide(&p->saddr, p->family), dst, p->sport, p->dport, p->proto);
	return NEXT;
}

static __always_inline void backend_count(__u32 slot, const struct pkt *p, int new_flow)
{
	struct backend_count *c = bpf_map_lookup_elem(&backend_counts, &slot);

	if (!c)
		return;
	c->packets += p->packets;
	c->bytes += p->ip_bytes;
	c->flows += new_flow;
}
