/* SPDX-License-Identifier: GPL-2.0 */
/* set: what rules ask of sets that are not compiled into them, once for a packet and before the rules are looked at, and what rules put into sets. */
#pragma once
#include "key.h"
#include "memory.h"
#include "program.h"

static __always_inline const struct set_lookup *lookup_at(const struct filter_key *k, __u32 place, __u32 size)
{
	const void *m = filter_memory(k->chain, size);

	return m ? words_at(m, place, sizeof(struct set_lookup) / 8, size) : 0;
}

static __always_inline const struct set_lookup *lookup_any(const struct filter_key *k, __u32 place)
{
	if (k->size == FILTER_SMALL)
		return lookup_at(k, place, FILTER_SMALL);
	if (k->size == FILTER_MEDIUM)
		return lookup_at(k, place, FILTER_MEDIUM);
	return lookup_at(k, place, FILTER_LARGE);
}

/* The description at `place` of the chain's memory, to k->lookup. */
__noinline int set_load(struct filter_key *k, __u32 place)
{
	const struct set_lookup *l;

	if (!k)
		return 0;
	l = lookup_any(k, place);
	if (!l)
		return 0;
	k->lookup = *l;
	return 1;
}

/* ---- the key */

/* Puts a part of the key in its place; 0 if the packet lacks the field. */
__noinline int set_part(struct filter_key *k, __u32 i)
{
	__u64 hi = 0, lo, word;
	__u32 field;

	if (!k || i >= SET_PARTS)
		return 0;
	field = k->lookup.part[i].field;
	if (field == FIELD_SADDR4 || field == FIELD_DADDR4) {
		if (k->family != 4)
			return 0;
		lo = (field == FIELD_SADDR4 ? k->saddr[0] : k->daddr[0]) >> 32;
	} else if (field == FIELD_SPORT || field == FIELD_DPORT) {
		if (!k->has_ports)
			return 0;
		lo = field == FIELD_SPORT ? k->ports >> 16 : k->ports & 0xffff;
	} else if (field == FIELD_L4PROTO || field == FIELD_FAMILY) {
		if (!k->family)
			return 0;
		lo = field == FIELD_FAMILY ? k->family : k->proto;
	} else {
		if (field >= FIELD_COUNT || !(k->present >> field & 1))
			return 0;
		hi = k->hi[field];
		lo = k->lo[field];
	}
	word = k->lookup.part[i].word;
	if (word >= SET_KEY_WORDS)
		return 0;
	if (k->lookup.part[i].bits < 128) {
		lo = lo >> (k->lookup.part[i].from & 63) & ((2ull << ((k->lookup.part[i].bits - 1) & 63)) - 1);
		k->query.key[word] |= lo << (k->lookup.part[i].at & 63);
		return 1;
	}
	k->query.key[word] = hi;
	if (++word >= SET_KEY_WORDS)
		return 0;
	k->query.key[word] = lo;
	return 1;
}

__noinline int set_key(struct filter_key *k)
{
	if (!k)
		return 0;
	for (int i = 0; i < SET_KEY_WORDS; i++)
		k->query.key[i] = 0;
	for (__u32 i = 0; i < SET_PARTS && i < k->lookup.n_parts; i++)
		if (!set_part(k, i))
			return 0;
	k->query.now = set_tick(bpf_jiffies64());
	return 1;
}

/* ---- the tables, a function each for each size */

static __always_inline void *set_memory_at(void *outer, const __u32 *index)
{
	void *inner = bpf_map_lookup_elem(outer, index);

	return inner ? bpf_map_lookup_elem(inner, &first_element) : 0;
}

static __always_inline void *set_memory(void *outer, __u32 index)
{
	return set_memory_at(outer, &index);
}

static __always_inline __u64 set_mask(__u32 length)
{
	return !length ? 0 : length >= 64 ? ~0ull : ~0ull << ((64 - length) & 63);
}

/* The key under the nth prefix length. */
static __always_inline void set_shorten(struct filter_key *k, const struct set_table *t, __u32 n)
{
	__u32 length = t->length[n & (SET_LENGTHS - 1)];

	k->query.key[0] = k->query.whole[0] & set_mask(length);
	k->query.key[1] = k->query.whole[1] & set_mask(length < 64 ? 0 : length - 64);
	k->query.key[4] = length;
}

static __always_inline int set_count(struct set_entry *e, const struct filter_key *k)
{
	__sync_fetch_and_add(&e->packets, k->packets);
	__sync_fetch_and_add(&e->bytes, k->bytes);
	return 1;
}

/* What the first bucket says; the next ones are for the few that are there. */
enum set_answer { SET_NO, SET_YES, SET_ELSEWHERE, SET_LENGTHWISE, SET_END };

static __always_inline int set_first(struct filter_key *k, const void *m, __u32 size)
{
	const struct set_table *t = m;

	k->query.hash = set_hash(k->query.key, t->seed);
	k->query.found = set_find(m, t, &k->query, 0, size);
	return k->query.found ? SET_YES : set_spills(m, t, &k->query, size) ? SET_ELSEWHERE : SET_NO;
}

/* The entry, found or just claimed, is what the statement wants it to be. */
static __always_inline int set_put(struct filter_key *k, void *m, __u32 size)
{
	struct set_table *t = m;
	__u32 timeout = k->lookup.timeout ? k->lookup.timeout : t->timeout, had;
	struct set_entry *e = (struct set_entry *)words_at(m, k->query.found ? k->query.found : k->query.place, 8, size);

	if (!k->query.found && !k->query.place) {
		__sync_fetch_and_add(&t->refused, 1);
		return 0;
	}
	if (!k->query.found) {
		set_fill(m, t, &k->query, k->query.place, timeout, size);
	} else if (k->lookup.update == SET_UPDATE) {
		had = *(volatile __u32 *)&e->expires;
		if (set_alive(had, k->query.now))
			__sync_val_compare_and_swap(&e->expires, had, set_until(k->query.now, timeout));
	}
	return t->flags & SET_COUNTS ? set_count(e, k) : 1;
}

/* But for IPv6 none of these calls another: they run where little of the stack is left. */
#define SET_FUNCTIONS(name, bits) \
__noinline int name##_probe(struct filter_key *k, __u32 index) \
{ \
	const struct set_table *t = set_memory(&name, index); \
 \
	if (!k || !t) \
		return SET_NO; \
	if (t->kind == SET_ADDRESS4) \
		return bits > 22 && set4_has(t, k->query.key[0] >> 32, 1u << bits); \
	return t->n_lengths ? SET_LENGTHWISE : set_first(k, t, 1u << bits); \
} \
 \
__noinline int name##_prefix6(struct filter_key *k, __u32 index, __u32 length) \
{ \
	const struct set_table *t = set_memory(&name, index); \
 \
	return k && t ? set6_has_prefix(t, t, &k->query, length, 1u << bits) : SET_NO; \
} \
 \
__noinline int name##_six(struct filter_key *k, __u32 index) \
{ \
	const struct set_table *t = set_memory(&name, index); \
 \
	return k && t ? set6_any_first(t, t, k->query.key, 1u << bits) : SET_NO; \
} \
 \
__noinline int name##_six_further(struct filter_key *k, __u32 index) \
{ \
	const struct set_table *t = set_memory(&name, index); \
 \
	if (!k || !t) \
		return SET_NO; \
	_Pragma("clang loop unroll(disable)") \
	for (__u32 n = 0; n < SET_LENGTHS && n < t->n_lengths; n++) \
		if (name##_prefix6(k, index, t->length[n & (SET_LENGTHS - 1)])) \
			return SET_YES; \
	return SET_NO; \
} \
 \
__noinline int name##_length(struct filter_key *k, __u32 index, __u32 n) \
{ \
	const struct set_table *t = set_memory(&name, index); \
 \
	if (!k || !t || n >= t->n_lengths) \
		return SET_END; \
	set_shorten(k, t, n); \
	return set_first(k, t, 1u << bits); \
} \
 \
__noinline int name##_next(struct filter_key *k, __u32 index, __u32 n) \
{ \
	const void *m = set_memory(&name, index); \
 \
	if (!k || !m) \
		return SET_NO; \
	k->query.found = set_find(m, m, &k->query, n, 1u << bits); \
	return k->query.found ? SET_YES : SET_NO; \
} \
 \
__noinline int name##_claim(struct filter_key *k, __u32 index, __u32 n) \
{ \
	void *m = set_memory(&name, index); \
 \
	if (!k || !m) \
		return 0; \
	k->query.place = set_claim(m, m, &k->query, n, 1u << bits); \
	return !!k->query.place; \
} \
 \
__noinline int name##_put(struct filter_key *k, __u32 index) \
{ \
	void *m = set_memory(&name, index); \
 \
	return k && m ? set_put(k, m, 1u << bits) : 0; \
} \
 \
__noinline int name##_count(struct filter_key *k, __u32 index) \
{ \
	void *m = set_memory(&name, index); \
 \
	return k && m ? set_count((struct set_entry *)words_at(m, k->query.found, 8, 1u << bits), k) : 0; \
}

SET_SIZES(SET_FUNCTIONS)

enum set_do { SET_DO_PROBE, SET_DO_SIX, SET_DO_SIX_FURTHER, SET_DO_LENGTH, SET_DO_NEXT, SET_DO_CLAIM, SET_DO_PUT, SET_DO_COUNT };

/* Of the set of k->query.word, which stands there and not on the stack. `what` is a constant wherever it is used. */
static __always_inline int set_do(struct filter_key *k, enum set_do what, __u32 n)
{
	__u32 class = SET_SLOT_CLASS(k->query.word), index = SET_SLOT_INDEX(k->query.word);

#define SET_CASE(name, bits) \
	if (class == SET_CLASS_##name) \
		return what == SET_DO_PROBE ? name##_probe(k, index) : what == SET_DO_SIX ? name##_six(k, index) : \
		       what == SET_DO_SIX_FURTHER ? name##_six_further(k, index) : \
		       what == SET_DO_LENGTH ? name##_length(k, index, n) : what == SET_DO_NEXT ? name##_next(k, index, n) : \
		       what == SET_DO_CLAIM ? name##_claim(k, index, n) : what == SET_DO_PUT ? name##_put(k, index) : name##_count(k, index);
	SET_SIZES(SET_CASE)
#undef SET_CASE
	return 0;
}

/* Where the word of a slot stands, or NULL. */
static __always_inline const volatile __u64 *set_place(const __u32 *slot)
{
	return bpf_map_lookup_elem(&set_slots, slot);
}

static __always_inline __u64 set_word(const __u32 *slot)
{
	const volatile __u64 *w = set_place(slot);

	return w ? *w : 0;
}

/* 0: there is no such set. */
static __always_inline int set_open(struct filter_key *k)
{
	__u32 slot = k->lookup.slot;	/* on the stack: 6.1 takes no other memory of ours for a key */

	k->query.word = set_word(&slot);
	k->query.found = k->query.place = 0;
	return !!k->query.word;
}

static __always_inline int set_elsewhere(struct filter_key *k)
{
	for (__u32 n = 1; n < SET_TRIES; n++)
		if (set_do(k, SET_DO_NEXT, n) == SET_YES)
			return SET_YES;
	return SET_NO;
}

static __always_inline int set_lengthwise(struct filter_key *k)
{
	int answer = SET_NO;

	k->query.whole[0] = k->query.key[0];
	k->query.whole[1] = k->query.key[1];
	for (__u32 n = 0; n < SET_LENGTHS && answer == SET_NO; n++) {
		answer = set_do(k, SET_DO_LENGTH, n);
		if (answer == SET_ELSEWHERE)
			answer = set_elsewhere(k);
	}
	return answer;
}

/* The ways that few lookups go; a function, so that the verifier goes them once. */
__noinline int set_further(struct filter_key *k, int answer)
{
	if (!k)
		return SET_NO;
	return answer == SET_ELSEWHERE ? set_elsewhere(k) : set_lengthwise(k);
}

static __always_inline int set_six(struct filter_key *k)
{
	int answer = set_do(k, SET_DO_SIX, 0);

	return answer > SET_YES ? set_do(k, SET_DO_SIX_FURTHER, 0) : answer;
}

/* ---- what the filter calls */

/* The nth lookup, into the field that stands for it. */
static __always_inline void set_ask(struct filter_key *k, __u32 n)
{
	int answer = SET_NO;

	if (set_open(k))
		answer = SET_SLOT_KIND(k->query.word) == SET_ADDRESS6 ? set_six(k) : set_do(k, SET_DO_PROBE, 0);
	if (answer != SET_NO && answer != SET_YES)
		answer = set_further(k, answer);
	k->lo[FIELD_SET0 + n] = answer == SET_YES;
	k->present |= FIELD_BIT(FIELD_SET0 + n);
	k->element[n] = k->query.found;
	k->slot[n] = SET_ELEMENT_SLOT(k->query.word);
}

/* Is the address in the table, if it is one of addresses and its first bucket says so; else SET_END. */
static __always_inline int set4_ask(__u32 address, const volatile __u64 *at)
{
	__u64 word = at ? *at : 0;

	if (SET_SLOT_KIND(word) != SET_ADDRESS4)
		return SET_END;
#define SET4_CASE(name, bits) \
	if (bits > 22 && SET_SLOT_CLASS(word) == SET_CLASS_##name) { \
		/* the word is the key, where it stands: should it be another by now, it leads to the set's new table or to none */ \
		const void *m = set_memory_at(&name, (const __u32 *)at); \
		int first = m ? set4_first(m, address, 1u << bits) : 2; \
 \
		return first < 2 ? first : SET_END; \
	}
	SET_SIZES(SET4_CASE)
#undef SET4_CASE
	return SET_END;
}

/* The nth lookup, if it is of one address, as most are: no copy of what it is, no key put together from parts, and of IPv4 in one call. SET_YES: it is answered,
 * SET_NO: the packet has no such address, SET_ELSEWHERE: the key is made, SET_END: it is of something else. */
__noinline int set_ask_address(struct filter_key *k, __u32 place, __u32 n)
{
	const struct set_lookup *l;
	const volatile __u64 *at;
	__u32 field;
	int answer;

	if (!k || n >= FILTER_LOOKUPS)
		return SET_END;
	l = lookup_any(k, place);
	if (!l || l->n_parts != 1)
		return SET_END;
	field = l->part[0].field;
	if (field == FIELD_SADDR6 || field == FIELD_DADDR6) {
		if (k->family != 6)
			return SET_NO;
		k->lookup.slot = l->slot;
		k->query.key[0] = field == FIELD_SADDR6 ? k->saddr[0] : k->daddr[0];
		k->query.key[1] = field == FIELD_SADDR6 ? k->saddr[1] : k->daddr[1];
		k->query.key[2] = k->query.key[3] = k->query.key[4] = 0;
		k->query.now = set_tick(bpf_jiffies64());
		return SET_ELSEWHERE;
	}
	if (field != FIELD_SADDR4 && field != FIELD_DADDR4)
		return SET_END;
	if (k->family != 4)
		return SET_NO;
	at = set_place(&l->slot);
	answer = set4_ask((field == FIELD_SADDR4 ? k->saddr[0] : k->daddr[0]) >> 32, at);
	if (answer == SET_END)
		return SET_END;
	k->lo[FIELD_SET0 + n] = answer;
	k->present |= FIELD_BIT(FIELD_SET0 + n);
	k->element[n] = 0;
	return SET_YES;
}

/* All lookups of a chain; `fields`: those of FIELDS_SET that it has. */
__noinline int filter_sets(struct filter_key *k, __u32 place, __u64 fields)
{
	if (!k)
		return 0;
	fields = (fields & FIELDS_SET) >> FIELD_SET0;
	ROLLED
	for (__u64 i = 0; i < FILTER_LOOKUPS; i++) {
		__u32 n = ctz64(fields) & (FILTER_LOOKUPS - 1);
		__u32 at = place + n * (sizeof(struct set_lookup) / 8);
		int done;

		asm volatile("" : "+r"(i));
		if (!fields)
			break;
		fields &= fields - 1;
		done = set_ask_address(k, at, n);
		if (done == SET_ELSEWHERE || (done == SET_END && set_load(k, at) && set_key(k)))
			set_ask(k, n);
	}
	return 0;
}

/* The only one, nearly always of an address. */
static __always_inline void set_answer(struct filter_key *k, __u32 place, __u64 fields)
{
	__u32 n = ctz64(fields >> FIELD_SET0);

	if (set_ask_address(k, place + n * (sizeof(struct set_lookup) / 8), n) > SET_YES)
		filter_sets(k, place, fields);
}

/* Elements that the rule's lookups have found are told. */
__noinline int set_tell(struct filter_key *k)
{
	if (!k || has(FEATURE_MUTE))
		return 0;
	for (__u32 n = 0; n < FILTER_LOOKUPS; n++) {
		if (!(k->lookup.counted >> n & 1) || !k->element[n])
			continue;
		k->query.found = k->element[n];
		k->query.word = SET_ELEMENT_WORD(k->slot[n]);
		set_do(k, SET_DO_COUNT, 0);
	}
	return 0;
}

/* The rule's own element comes, or stays; 0: there was no room. */
__noinline int set_update(struct filter_key *k)
{
	if (!k)
		return 0;
	if (!k->lookup.update || has(FEATURE_MUTE))
		return 1;
	if (!set_open(k))
		return 0;
	if (set_do(k, SET_DO_PROBE, 0) == SET_ELSEWHERE)
		set_elsewhere(k);
	for (__u32 n = 0; n < SET_TRIES && !k->query.found && !k->query.place; n++)
		set_do(k, SET_DO_CLAIM, n);
	return set_do(k, SET_DO_PUT, 0);
}

/* A rule of RULE_SET_BIT matches. 0: there was no room for its element, so it does not. */
static __always_inline int filter_touch(struct filter_key *k, __u32 place)
{
	k->cacheable = 0;
	if (!set_load(k, place))
		return 0;
	set_tell(k);
	return set_key(k) && set_update(k);
}
