/* SPDX-License-Identifier: GPL-2.0 */
/* set_table: looking into the tables of maps/set.h, and adding to them. Compiled for user space too, where ctl fills tables by the same functions. */
#pragma once
#include "../maps/set.h"
#include "ctz.h"
#include "words.h"

struct set_query {
	__u64 key[SET_KEY_WORDS];
	__u64 whole[2];			/* of an address, whose prefixes are asked for */
	__u64 hash;
	__u32 now;			/* ticks */
	__u32 found;			/* place of the entry; 0: none */
	__u32 place;			/* of the one that was claimed */
	__u64 word;			/* the program's: of the set that is asked, from set_slots */
	__u32 base, mask;		/* of IPv6: its lines */
};

/* ---- IPv4 addresses */

/* The 16 bits of a block in one bucket; `want`: its tag, and which of its buckets it is, as in the entries. Two entries at a time and without branches: where
 * among sixteen it stands nobody can foresee. */
static __always_inline __u32 set4_bits(const void *m, __u32 bucket, __u32 want, __u32 size)
{
	__u64 tags = 0x0000ffff0000ffffull, carry = 0x0001000000010000ull, both = (__u64)want << 32 | want, found = 0;
	__u64 at = SET_BLOCKS4 + (__u64)bucket * 8;
	const __u64 *b;

	asm volatile("" : "+r"(at));	/* clang knows that it is inside and would leave the mask out, which 6.1 asks for */
	b = words_at(m, at, 8, size);
	asm volatile("" : "+r"(tags), "+r"(carry), "+r"(both));	/* stay in registers, */
	for (int i = 0; i < SET_WAYS4 / 2; i++) {
		/* 0x10000 less what differs keeps its bit 16 only where nothing does */
		__u64 alike = (carry - ((b[i] >> 16 & tags) ^ both)) & carry;

		found |= b[i] & (alike - (alike >> 16));
		asm volatile("" : "+r"(found));	/* one step after the other: all at once would take stack */
	}
	return (found | found >> 32) & 0xffff;
}

/* 0, 1; 2: it may be in the next buckets of its block. One cold line for most of what is not there and for whole /24s: fetching the bucket meanwhile, in case
 * that it is needed, costs more than it saves. */
static __always_inline int set4_first(const void *m, __u32 address, __u32 size)
{
	__u32 net = address >> 8, part = *word_at(m, SET_MAP4 + (net >> 5), size) >> (net & 31) * 2 & 3, block, bits;

	if (part < SET_PART_SOME)
		return part;
	block = set_permute(address >> 4);
	bits = set4_bits(m, block & (SET_BUCKETS4(size) - 1), block / SET_BUCKETS4(size), size);
	return bits || part == SET_PART_SOME ? bits >> (address & 15) & 1 : 2;
}

static __always_inline int set4_has(const void *m, __u32 address, __u32 size)
{
	__u32 mask = SET_BUCKETS4(size) - 1, block, tag, bits = 0;
	int first = set4_first(m, address, size);

	if (first < 2)
		return first;
	block = set_permute(address >> 4);
	tag = block / SET_BUCKETS4(size);
	for (__u32 n = 1; n < SET_TRIES && !bits; n++)
		bits = set4_bits(m, set_bucket4(block & mask, tag, n, mask), tag | n << 14, size);
	return bits >> (address & 15) & 1;
}

/* ---- IPv6 prefixes */

/* Among four entries: 1; 0: it is not, and one of them is free; 2: they are full of others. Without branches: the verifier has one way to go. */
static __always_inline __u32 set6_line(const __u64 *e, const struct set_query *q)
{
	__u64 alike = 0, room = 0;

	ROLLED
	for (int i = 0; i < 8; i += 2) {
		__u64 differs = (e[i] ^ q->whole[0]) | (e[i + 1] ^ q->whole[1]), used = e[i] | e[i + 1];

		alike |= ~(differs | -differs) >> 63;
		room |= ~(used | -used) >> 63;
	}
	return alike ? 1 : room ? 0 : 2;
}

/* The prefix of q->key, which stands in q->whole as the table has it, and not on the stack. */
static __always_inline int set6_has_prefix(const void *m, const struct set_table *t, struct set_query *q, __u32 length, __u32 size)
{
	__u32 whole = length >= 128, answer = 2;

	q->whole[0] = q->key[0];
	q->whole[1] = q->key[1];
	set_prefix6(&q->whole[0], &q->whole[1], length);
	if (whole && !(q->whole[0] | q->whole[1]))
		return !!(t->flags & SET_HAS_ZERO);
	if (!~(q->whole[0] & q->whole[1]))
		return !!(t->flags & (whole ? SET_HAS_ONES : SET_HAS_LAST));
	q->hash = set_hash6(q->whole[0], q->whole[1], t->seed);
	q->base = whole ? t->entries : t->buckets;
	q->mask = whole ? t->mask_whole : t->mask;
	ROLLED
	for (__u64 n = 0; n < SET_LINES6; n++) {
		asm volatile("" : "+r"(n));	/* else the loop is laid out so that 6.1 takes its end for a jump back */
		answer = set6_line(words_at(m, q->base + (q->hash++ & q->mask) * 8, 8, size), q);
		if (answer != 2)
			break;
	}
	return answer == 1;
}

/* Is the prefix in the first lines of its own: 0, 1; 2: they are full of others, set6_has_prefix() must be asked. Lines are filled from their beginning, so one with
 * room has it at its end. */
static __always_inline __u32 set6_first(const void *m, const struct set_table *t, __u64 hi, __u64 lo, __u64 whole, __u64 hash, __u32 size)
{
	__u32 base = t->buckets ^ ((t->buckets ^ t->entries) & whole), mask = t->mask ^ ((t->mask ^ t->mask_whole) & whole);

	for (int n = 0; n < SET_FIRST6; n++) {
		const __u64 *e = words_at(m, base + (hash++ & mask) * 8, 8, size);
		__u64 differs = ~0ull;

		for (int i = 0; i < 8; i += 2) {
			__u64 d = (e[i] ^ hi) | (e[i + 1] ^ lo);

			differs &= d | -d;
			asm volatile("" : "+r"(differs));
		}
		if (~differs >> 63)
			return 1;
		if (!(e[6] | e[7]))
			return 0;
	}
	return 2;
}

/* Is a prefix of the address among the first lines: 0, 1; 2: it may be elsewhere. */
static __always_inline __u32 set6_any_first(const void *m, const struct set_table *t, const __u64 *key, __u32 size)
{
	__u64 net = set_line6(key[0], SET_NET6, t->seed), above = set_line6(key[0], SET_HINTED6, t->seed);
	__u32 further = 0;

	ROLLED
	for (__u32 n = 0; n < SET_LENGTHS && n < t->n_lengths; n++) {
		__u64 length = t->length[n & (SET_LENGTHS - 1)], hi = key[0], lo = key[1];
		__u64 whole = set_prefix6(&hi, &lo, length), hash = set_hash6(hi, lo, t->seed);
		__u32 first;

		if (length >= SET_HINTED6 && !set_hint6(*word_at(m, set_hint6_place(t, length < SET_NET6 ? above : net, hash), size), hash))
			continue;
		/* these mean free and deleted entries, and stand elsewhere */
		first = !(hi | lo) || !~(hi & lo) ? 2 : set6_first(m, t, hi, lo, whole, hash, size);
		if (first == 1)
			return 1;
		further |= first;
	}
	return further;
}

/* ---- elements */

static __always_inline __u64 set_hash(const __u64 *key, __u64 seed)
{
	__u64 h = seed;

	for (int i = 0; i < SET_KEY_WORDS; i++) {
		h = (h ^ key[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return h * 0xbf58476d1ce4e5b9ull;
}

static __always_inline int set_alive(__u32 expires, __u32 now)
{
	return expires >= SET_FIRST_TICK && (expires == SET_NEVER || (__s32)(expires - now) > 0);
}

/* The clock in ticks, from jiffies; never one of the times that mean something else. */
static __always_inline __u32 set_tick(__u64 jiffies)
{
	__u32 tick = jiffies >> SET_TICK_SHIFT;

	return tick < SET_FIRST_TICK ? SET_FIRST_TICK : tick == SET_NEVER ? SET_NEVER - 1 : tick;
}

static __always_inline __u32 set_until(__u32 now, __u32 timeout)
{
	return timeout ? set_tick((__u64)(now + timeout) << SET_TICK_SHIFT) : SET_NEVER;
}

static __always_inline __u32 set_tag(__u64 hash)
{
	return hash >> 32 | 1;
}

/* The nth bucket of a key: where the 0th is full it is in the next. */
static __always_inline __u32 set_bucket(const struct set_table *t, __u64 hash, __u32 n)
{
	return (hash + n * (hash >> 40 | 1)) & t->mask;
}

static __always_inline int set_same(const struct set_entry *e, const __u64 *key)
{
	__u64 differs = 0;

	for (int i = 0; i < SET_KEY_WORDS; i++)
		differs |= e->key[i] ^ key[i];
	return !differs;
}

static __always_inline struct set_entry *set_entry_at(const void *m, const struct set_table *t, __u32 bucket, __u32 way, __u32 size)
{
	return (struct set_entry *)words_at(m, t->entries + ((__u64)bucket * SET_WAYS + way) * 8, 8, size);
}

/* The place of the live entry of q->key in its nth bucket, or 0. */
static __always_inline __u32 set_find(const void *m, const struct set_table *t, const struct set_query *q, __u32 n, __u32 size)
{
	__u32 bucket = set_bucket(t, q->hash, n), tag = set_tag(q->hash);
	const __u32 *tags = words_at(m, t->buckets + (__u64)bucket * 8, 8, size);

	__u64 alike = 0;

	for (int i = 1; i < SET_WAYS; i++)	/* without branches: nearly always none or one */
		alike |= ((__u64)(tags[i] ^ tag) - 1) >> 63 << i;
	for (int i = 1; i < SET_WAYS && alike; i++, alike &= alike - 1) {
		__u32 way = ctz64(alike) & (SET_WAYS - 1);
		const struct set_entry *e = set_entry_at(m, t, bucket, way, size);
		__u32 before = *(const volatile __u32 *)&e->expires;

		if (!set_alive(before, q->now) || !set_same(e, q->key))
			continue;
		if (*(const volatile __u32 *)&e->expires >= SET_FIRST_TICK)	/* not given away meanwhile */
			return t->entries + (bucket * SET_WAYS + way) * 8;
	}
	return 0;
}

/* Is anything of the bucket in the next ones? */
static __always_inline int set_spills(const void *m, const struct set_table *t, const struct set_query *q, __u32 size)
{
	const __u32 *tags = words_at(m, t->buckets + (__u64)set_bucket(t, q->hash, 0) * 8, 8, size);

	return tags[0];
}

/* Take a free entry of the nth bucket, or one whose time is over. Its place, or 0. */
static __always_inline __u32 set_claim(void *m, struct set_table *t, const struct set_query *q, __u32 n, __u32 size)
{
	__u32 bucket = set_bucket(t, q->hash, n), full = t->used >= t->limit;

	for (int i = 1; i < SET_WAYS; i++) {
		struct set_entry *e = set_entry_at(m, t, bucket, i, size);
		__u32 had = *(volatile __u32 *)&e->expires;

		if (had == SET_BUSY || set_alive(had, q->now) || (full && had == SET_FREE))
			continue;
		if (__sync_val_compare_and_swap(&e->expires, had, SET_BUSY) != had)
			continue;
		if (had == SET_FREE)
			__sync_fetch_and_add(&t->used, 1);
		if (n)
			__sync_fetch_and_add((__u32 *)words_at(m, t->buckets + (__u64)set_bucket(t, q->hash, 0) * 8, 8, size), 1);
		return t->entries + (bucket * SET_WAYS + i) * 8;
	}
	return 0;
}

/* The claimed entry becomes that of q->key. Two CPUs that add the same at once may make two; the first is the one that is found, both end with their time,
 * and ctl takes out both. */
static __always_inline void set_fill(void *m, const struct set_table *t, const struct set_query *q, __u32 place, __u32 timeout, __u32 size)
{
	struct set_entry *e = (struct set_entry *)words_at(m, place, 8, size);
	__u32 nth = (place - t->entries) / 8, *tags = (__u32 *)words_at(m, t->buckets + nth / 2, 1, size);

	for (int i = 0; i < SET_KEY_WORDS; i++)
		e->key[i] = q->key[i];
	e->timeout = timeout;
	e->packets = e->bytes = 0;
	tags[nth & 1] = set_tag(q->hash);
	*(volatile __u32 *)&e->expires = set_until(q->now, timeout);
}
