/* SPDX-License-Identifier: GPL-2.0 */
/* limit: does a packet pass the `limit` of a rule that matches it? A function of its own to the verifier, for the few rules that ask. */
#pragma once
#include "../maps/limit.h"
#include "key.h"
#include "memory.h"
#include "program.h"

#define LIMIT_TRIES 8		/* against other CPUs at the same bucket; then the packet is taken for one too many */

static __always_inline __u64 limit_mix(__u64 h, __u64 w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static __always_inline __u64 prefix_of(__u64 word, __u32 length)
{
	return length >= 64 ? word : length ? word >> (64 - length) << (64 - length) : 0;
}

static __always_inline __u64 limit_hash(const struct filter_key *k, const struct filter_limit *l)
{
	__u32 wide = k->family == 6;
	__u64 h = limit_mix(program.seed[0], l->id | (__u64)k->family << 32);

	if (l->flags & LIMIT_SADDR) {
		h = limit_mix(h, prefix_of(k->saddr[0], l->slength));
		if (wide && l->slength > 64)
			h = limit_mix(h, prefix_of(k->saddr[1], l->slength - 64));
	}
	if (l->flags & LIMIT_DADDR) {
		h = limit_mix(h, prefix_of(k->daddr[0], l->dlength));
		if (wide && l->dlength > 64)
			h = limit_mix(h, prefix_of(k->daddr[1], l->dlength - 64));
	}
	if (l->flags & LIMIT_SPORT)
		h = limit_mix(h, k->ports >> 16);
	if (l->flags & LIMIT_DPORT)
		h = limit_mix(h, k->ports & 0xffff);
	if (l->flags & LIMIT_PROTO)
		h = limit_mix(h, k->proto);
	h = (h ^ h >> 32) * (program.seed[1] | 1);
	return (h & ~(__u64)RULE_ID_MASK) | l->id;
}

/* Take `cost` from the bucket; 1 if it was there. */
static __always_inline int bucket_take(__u64 *full_at, __u64 now, __u64 cost, __u64 depth)
{
	for (int i = 0; i < LIMIT_TRIES; i++) {
		__u64 had = *(volatile __u64 *)full_at, from = had > now ? had : now;

		if (from + cost - now > depth)
			return 0;
		if (__sync_val_compare_and_swap(full_at, had, from + cost) == had)
			return 1;
	}
	return 0;
}

/* The key's entry, made if there was none. Where all are in use, the one nearest to full is forgotten. */
static __always_inline __u64 *bucket_of_key(__u64 key, __u64 now)
{
	__u32 i = key >> 48 & (LIMIT_BUCKETS - 1), way = 0;
	struct limit_bucket *b = bpf_map_lookup_elem(&limit_keys, &i);
	__u64 soonest = ~0ull, had = 0, *lost;

	if (!b)
		return 0;
	for (int n = 0; n < LIMIT_WAYS; n++)
		if (b->way[n].key == key)
			return &b->way[n].full_at;
	for (int n = 0; n < LIMIT_WAYS; n++) {
		__u64 full_at = b->way[n].full_at;

		if (full_at < soonest) {
			soonest = full_at;
			had = b->way[n].key;
			way = n;
		}
	}
	way &= LIMIT_WAYS - 1;
	if (__sync_val_compare_and_swap(&b->way[way].key, had, key) != had)
		return 0;
	if (soonest > now) {
		lost = bpf_map_lookup_elem(&limit_lost, &first_element);
		if (lost)
			++*lost;
	}
	b->way[way].full_at = now;
	return &b->way[way].full_at;
}

/* Both clocks count from the start of the machine. */
static __always_inline __u64 limit_now(const struct filter_limit *l)
{
	return l->tick ? (bpf_jiffies64() - ((1ull << 32) - 300 * program.hz)) * l->tick : bpf_ktime_get_ns() << LIMIT_SHIFT;
}

static __always_inline int limit_holds(struct filter_key *k, const struct filter_limit *l)
{
	__u64 now = limit_now(l), units = l->flags & LIMIT_BYTES ? k->bytes : k->packets;
	__u32 id = l->id;
	__u64 *full_at;
	int passes;

	if (l->flags & ~(LIMIT_OVER | LIMIT_BYTES))
		full_at = bucket_of_key(limit_hash(k, l), now);
	else
		full_at = bpf_map_lookup_elem(&limit_rules, &id);
	passes = full_at && bucket_take(full_at, now, l->cost * units, l->depth);
	return passes != (l->flags & LIMIT_OVER);
}

static __always_inline const struct filter_limit *limit_at(const struct filter_key *k, __u32 place, __u32 size)
{
	const void *m = filter_memory(k->chain, size);

	return m ? words_at(m, place, sizeof(struct filter_limit) / 8, size) : 0;
}

/* The limit at `place` in the chain's memory. */
__noinline int filter_limit(struct filter_key *k, __u32 place)
{
	const struct filter_limit *l;

	if (!k)
		return 0;
	k->cacheable = 0;
	if (k->size == FILTER_SMALL)
		l = limit_at(k, place, FILTER_SMALL);
	else if (k->size == FILTER_MEDIUM)
		l = limit_at(k, place, FILTER_MEDIUM);
	else
		l = limit_at(k, place, FILTER_LARGE);
	return l ? limit_holds(k, l) : 0;
}
