/* SPDX-License-Identifier: GPL-2.0 */
/* filter: which rule of a chain is the first that matches. classify() runs for packets without a cached decision: the first of a flow,
 * the first after a change of the configuration, and all that a rule looking at more than the flow might concern. maps/rule.h has the tables. */
#pragma once
#include "../maps/rule.h"
#include "program.h"
#include "account.h"

#define MAX_STEPS 20		/* of a binary search: 2^20 bounds */
#define MAX_MATCH_STEPS (FILTER_MAX_RULES / 64 + 4096)	/* and as many rules that only count */

/* The packet as the filter sees it: one value a field, high word first for wide ones. */
struct filter_key {
	__u64 hi[FIELD_COUNT];
	__u64 lo[FIELD_COUNT];
	__u32 present;		/* bitmap */
	__u32 slot, chain;
	__u32 packets, bytes;	/* what rules that count and go on add */

	/* classify()'s own */
	__u32 row[FIELD_COUNT];
	__u32 size_class, fields, rules, words;
	__u64 taken;		/* bits of this step's 64 that are done */
	__u32 at;		/* which 64 */
	__u32 found;		/* entry of the rule table: id and bits; 0: none yet */
	__u32 cacheable, broken;
};

/* Too large for the stack; nothing on this CPU classifies while another packet does. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct filter_key);
} filter_scratch SEC(".maps");

static __always_inline __u64 *filter_word(__u32 size_class, __u32 slot, __u32 i)
{
	void *inner;

	if (size_class == FILTER_SMALL) {
		inner = bpf_map_lookup_elem(&filter_small, &slot);
		return inner ? bpf_map_lookup_elem(inner, &i) : 0;
	}
	if (size_class == FILTER_MEDIUM) {
		inner = bpf_map_lookup_elem(&filter_medium, &slot);
		return inner ? bpf_map_lookup_elem(inner, &i) : 0;
	}
	inner = bpf_map_lookup_elem(&filter_large, &slot);
	return inner ? bpf_map_lookup_elem(inner, &i) : 0;
}

/* Words of the slot from which the row for value hi:lo of the field begins; 0 when a table is missing (word 0 is never a row). */
__noinline __u32 filter_row(__u32 slot, __u32 chain_field, __u64 hi, __u64 lo)
{
	__u32 field = chain_field & 255, base, left, wide;
	struct filter *f = bpf_map_lookup_elem(&filters, &slot);
	struct filter_table *t;
	__u64 *w;

	if (!f || field >= FIELD_COUNT)
		return 0;
	t = &f->chain[chain_field >> 8 & 1].table[field];
	wide = FIELDS_WIDE >> field & 1;
	base = 0;
	left = t->count;
	for (int i = 0; i < MAX_STEPS && left > 1; i++) {
		__u32 half = left >> 1, probe = t->bounds + ((base + half) << wide);
		__u64 bound;

		w = filter_word(f->size_class, slot, probe);
		if (!w)
			return 0;
		bound = *w;
		if (wide && bound == hi) {
			w = filter_word(f->size_class, slot, probe + 1);
			if (!w)
				return 0;
			bound = *w;
			if (bound <= lo)
				base += half, left -= half;
			else
				left = half;
		} else if (bound <= (wide ? hi : lo)) {
			base += half, left -= half;
		} else {
			left = half;
		}
	}
	w = filter_word(f->size_class, slot, t->rows + base);
	return w ? *w : 0;
}

static __always_inline void filter_set(struct filter_key *k, __u32 field, __u64 hi, __u64 lo)
{
	k->hi[field] = hi;
	k->lo[field] = lo;
	k->present |= 1u << field;
}

static __always_inline void filter_key_ip(struct filter_key *k, const struct pkt *p)
{
	if (p->family == 4) {
		filter_set(k, FIELD_SADDR4, 0, bpf_ntohl(p->saddr.v4));
		filter_set(k, FIELD_DADDR4, 0, bpf_ntohl(p->daddr.v4));
	} else {
		filter_set(k, FIELD_SADDR6, bpf_be64_to_cpu(p->saddr.w[0]), bpf_be64_to_cpu(p->saddr.w[1]));
		filter_set(k, FIELD_DADDR6, bpf_be64_to_cpu(p->daddr.w[0]), bpf_be64_to_cpu(p->daddr.w[1]));
	}
	filter_set(k, FIELD_FAMILY, 0, p->family);
	filter_set(k, FIELD_L4PROTO, 0, p->proto);
	if (p->flags & PKT_PORTS) {
		filter_set(k, FIELD_SPORT, 0, bpf_ntohs(p->sport));
		filter_set(k, FIELD_DPORT, 0, bpf_ntohs(p->dport));
		if (p->proto == 6)
			filter_set(k, FIELD_TCP_FLAGS, 0, p->tcp_flags);
	}
	if (p->flags & PKT_ICMP) {
		filter_set(k, FIELD_ICMP_TYPE, 0, p->icmp_type);
		filter_set(k, FIELD_ICMP_CODE, 0, p->icmp_code);
	}
}

static __always_inline __u64 mac_value(const __u8 *m)
{
	return (__u64)m[0] << 40 | (__u64)m[1] << 32 | (__u64)m[2] << 24 | (__u64)m[3] << 16 | (__u64)m[4] << 8 | m[5];
}

static __always_inline void filter_key_link(struct filter_key *k, const struct pkt *p, const __u64 *mac)
{
	filter_set(k, FIELD_IFNAME, program.name[0], program.name[1]);
	if (p->vlans)
		filter_set(k, FIELD_VLAN_ID, 0, p->vlan_id);
	filter_set(k, FIELD_ETHER_TYPE, 0, bpf_ntohs(p->ether_type));
	filter_set(k, FIELD_ETHER_DADDR, 0, mac[0]);
	filter_set(k, FIELD_ETHER_SADDR, 0, mac[1]);
}

static __always_inline void rule_add(__u32 id, __u32 packets, __u32 bytes)
{
	struct rule_count *c = bpf_map_lookup_elem(&rule_counts, &id);

	if (!c)
		return;
	c->packets += packets;
	c->bytes += bytes;
}

static __always_inline void rule_count(__u32 id, const struct pkt *p)
{
	rule_add(id, p->packets, p->ip_bytes ? p->ip_bytes : p->len);
}

static const __u8 debruijn_ctz[64] = {
	0, 1, 48, 2, 57, 49, 28, 3, 61, 58, 50, 42, 38, 29, 17, 4, 62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
	63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11, 46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
};

/* Trailing zeros of a non-zero word: BPF has no instruction for it (Leiserson, Prokop, Randall 1998). */
static __always_inline __u32 ctz64(__u64 x)
{
	return debruijn_ctz[((x & -x) * 0x03f79d71b4cb0a89ull) >> 58 & 63];
}

/* One step: AND the rows of 64 rules and take the first of those that match and were not taken yet. A rule that only counts makes the next step
 * look at the same 64 again. bpf_loop() callback; returns 1 to stop. */
static long match_step(__u32 n __attribute__((unused)), struct filter_key **ctx)
{
	struct filter_key *k = *ctx;
	__u64 invariant = ~0ull, all = ~0ull;
	__u32 bit, rule, at = k->at;
	__u64 *w;

	if (at >= k->words)
		return 1;
#pragma unroll
	for (int i = 0; i < FIELD_COUNT; i++) {
		if (!(k->fields >> i & 1))
			continue;
		w = filter_word(k->size_class, k->slot, k->row[i] + at);
		if (!w)
			goto broken;
		if (FIELDS_INVARIANT >> i & 1)
			invariant &= *w;
		else
			all &= *w;
	}
	invariant &= ~k->taken;
	all &= invariant;
	if (!all) {
		if (invariant)	/* would match other packets of this flow */
			k->cacheable = 0;
		k->at++;
		k->taken = 0;
		return 0;
	}
	bit = ctz64(all);
	if (invariant & ((1ull << bit) - 1))
		k->cacheable = 0;
	w = filter_word(k->size_class, k->slot, k->rules + at * 64 + bit);
	if (!w)
		goto broken;
	rule = *w;
	if (rule & (RULE_VARIANT_BIT | RULE_CONTINUE_BIT))
		k->cacheable = 0;
	if (!(rule & RULE_CONTINUE_BIT)) {
		k->found = rule;
		return 1;
	}
	rule_add(rule & RULE_ID_MASK, k->packets, k->bytes);
	k->taken = (2ull << bit) - 1;
	return 0;
broken:
	k->broken = 1;
	return 1;
}

/* First match of k->chain in the tables of k->slot. Every packet gets an answer: the policy where no rule matches. 0 and k->found, or -1 when
 * a table is missing. */
__noinline int classify(struct filter_key *k)
{
	struct filter_chain *c;
	struct filter *f;
	__u32 slot;

	if (!k)
		return -1;
	slot = k->slot;
	f = bpf_map_lookup_elem(&filters, &slot);
	if (!f)
		return -1;
	c = &f->chain[k->chain & 1];
	k->size_class = f->size_class;
	k->fields = c->fields;
	k->rules = c->rules;
	k->words = c->words;
	k->at = k->taken = k->found = k->broken = 0;
	k->cacheable = 1;
#pragma unroll
	for (int i = 0; i < FIELD_COUNT; i++) {
		if (!(c->fields >> i & 1))
			continue;
		k->row[i] = k->present >> i & 1 ? filter_row(slot, (k->chain & 1) << 8 | i, k->hi[i], k->lo[i]) : c->table[i].absent;
		if (!k->row[i])
			return -1;
	}
	if (k->words)
		bpf_loop(MAX_MATCH_STEPS, match_step, &k, 0);
	if (k->broken)
		return -1;
	if (!k->found)
		k->found = c->policy;
	return 0;
}

/* `mac`: destination and source. NEXT: accepted, p->rule and p->cacheable say by what and for how long. */
static __always_inline enum verdict stage_filter(struct pkt *p, __u64 active, __u32 chain, const __u64 *mac)
{
	struct filter_key *k;
	__u32 zero = 0;

	p->rule = 0;
	p->cacheable = 1;
	if (!has(FEATURE_FILTER) || !active_generation(active))
		return NEXT;
	k = bpf_map_lookup_elem(&filter_scratch, &zero);
	if (!k)
		return drop(p, DROP_INTERNAL);
	k->present = 0;
	k->slot = active_slot(active);
	k->chain = chain;
	if (p->family)
		filter_key_ip(k, p);
	filter_key_link(k, p, mac);
	k->packets = p->packets;
	k->bytes = p->ip_bytes ? p->ip_bytes : p->len;
	if (classify(k))
		return drop(p, DROP_INTERNAL);
	p->rule = k->found & RULE_ID_MASK;
	p->cacheable = k->cacheable;
	rule_count(p->rule, p);
	if (!(k->found & RULE_DROP_BIT))
		return NEXT;
	return drop(p, p->rule < RULE_FIRST ? DROP_POLICY : DROP_RULE);
}
