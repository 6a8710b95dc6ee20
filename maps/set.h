/* SPDX-License-Identifier: GPL-2.0 */
/* set: the tables of sets that are asked by lookup, not compiled into the rules: large ones, and those that change while their rules stay. A set has
 * a slot as long as it exists; `set_slots` says where its table is. ctl writes all tables, and programs put elements into those of `flags dynamic` sets; an
 * element is there or not in one store, whoever looks. A table is replaced by writing the other copy of the slot and storing the word in `set_slots`.
 *
 * Three kinds. SET_ADDRESS4, of IPv4 addresses and nothing else: two bits for each /24 (none, all, some), and for those of which some are in it, a 16-bit map for each
 * /28, hashed. SET_ADDRESS6, of IPv6 prefixes that do not hold one another: 16 bytes each, hashed, those of 128 bits apart from shorter ones, in front of
 * them a Bloom filter, and for ctl a byte for each /48, hashed, that says of which lengths prefixes are below it. SET_ELEMENTS: entries of one cache line, hashed, with time, counter and prefix length. */
#pragma once
#include <linux/types.h>

#define MAX_SETS 64
#define SET_SIZES(X) X(set_64k, 16) X(set_1m, 20) X(set_16m, 24) X(set_64m, 26) X(set_256m, 28)	/* map, log2 of bytes */
#define SET_CLASS(name, bits) SET_CLASS_##name,
enum set_class { SET_SIZES(SET_CLASS) SET_CLASSES };
#undef SET_CLASS

enum set_kind { SET_NONE, SET_ADDRESS4, SET_ELEMENTS, SET_ADDRESS6 };

/* A word of set_slots: which table of its class the set has, as the key of the class's map, and above it class and kind: how it is asked is known before it is looked
 * at. 0: no set. */
#define SET_SLOT_USED (1ull << 63)
#define SET_SLOT_INDEX(w) ((__u32)(w))			/* slot << 1 | copy */
#define SET_SLOT_COPY(w) ((w) & 1)
#define SET_SLOT_CLASS(w) ((__u32)((w) >> 32) & 7)
#define SET_SLOT_KIND(w) ((__u32)((w) >> 40) & 3)
#define SET_SLOT(slot, copy, class, kind) (SET_SLOT_USED | (__u64)(kind) << 40 | (__u64)(class) << 32 | (slot) << 1 | (copy))

/* As much of it as says where the table is, in 32 bits. */
#define SET_ELEMENT_SLOT(w) (SET_SLOT_INDEX(w) | SET_SLOT_CLASS(w) << 16)
#define SET_ELEMENT_WORD(s) ((__u64)((s) >> 16) << 32 | ((s) & 0xffff))

#define SET_KEY_WORDS 5
#define SET_LENGTHS 16
#define SET_PARTS 5		/* of a concatenation */
#define SET_NAME 64

/* In front of a table. Places are words of 64 bits from here, as in maps/rule.h. */
struct set_table {
	__u32 kind;
	__u32 flags;			/* SET_* */
	__u32 mask;			/* buckets - 1 */
	__u32 buckets;			/* where they begin: of ADDRESS4 its blocks, of ELEMENTS its tags */
	__u32 entries;			/* where they begin: of ADDRESS4 its map */
	__u32 shift;			/* of ADDRESS4: bits of a bucket's number */
	__u32 n_lengths;		/* of ELEMENTS; 0: keys are whole */
	__u32 limit;			/* of elements */
	__u32 used;			/* entries taken, of those whose time is over too */
	__u32 refused;			/* adds from the packet path for which there was no room */
	__u32 timeout;			/* of elements without one of their own, in ticks; 0: none */
	__u32 mask_whole;		/* of ADDRESS6: lines of whole addresses - 1; they begin at `entries`, shorter prefixes at `buckets` */
	__u64 seed;
	__u8 length[SET_LENGTHS];	/* prefix lengths in use */
	/* ctl's own: what the set is, so that an element can be changed without reading the configuration */
	__u8 type[SET_PARTS], n_types, interval, fixed;
	char name[SET_NAME];
	__u64 bytes;			/* in use */
	__u32 directory;		/* of ADDRESS6: where it begins */
	__u32 directory_mask;		/* its bytes - 1 */
	__u32 hints;			/* of ADDRESS6: where they begin */
	__u32 hints_mask;		/* their lines - 1 */
	__u64 spare[11];
};

#define SET_DYNAMIC 1			/* programs add */
#define SET_COUNTS 2			/* elements count */
#define SET_TIMES 4
#define SET_NOTED 8			/* ctl's: elements have more than their value */
#define SET_CONSTANT 16
#define SET_COMMENTED 32
#define SET_HAS_ZERO 64			/* of ADDRESS6: the addresses that mean a free and a deleted entry */
#define SET_HAS_ONES 128
#define SET_HAS_LAST 256		/* and the /127 that holds the latter, which would look like it */

_Static_assert(sizeof(struct set_table) % 64 == 0, "what follows begins a cache line");

/* ---- SET_ADDRESS4 */

#define SET_BLOCK_BITS 28		/* a block is a /28 */
#define SET_WAYS4 16			/* in a bucket, one cache line */
#define SET_MAP4 (sizeof(struct set_table) / 8)			/* where its map begins, */
#define SET_MAP4_WORDS ((1 << 24) * 2 / 64)
#define SET_BLOCKS4 (SET_MAP4 + SET_MAP4_WORDS)			/* and its buckets, */
#define SET_BUCKETS4(size) ((size) / 128)			/* so many: all by its size, and not read by programs */
enum set_part { SET_PART_NONE, SET_PART_ALL, SET_PART_SOME, SET_PART_ELSEWHERE };	/* of a /24; ELSEWHERE: some, not all in its own bucket */

/* Blocks are permuted, so that the bucket and the rest of the number say which one it is: exact in 14 bits. */
static inline __attribute__((always_inline)) __u32 set_permute(__u32 block)
{
	__u32 open = (1u << SET_BLOCK_BITS) - 1;

	block = block * 0x9e3779b1u & open;
	block ^= block >> 14;
	block = block * 0x85ebca6bu & open;
	block ^= block >> 13;
	block = block * 0xc2b2ae35u & open;
	return block ^ block >> 15;
}

/* The nth bucket of a block: its own is the 0th, where that is full it is in the next. `tag`: the bits above the bucket's. */
static inline __attribute__((always_inline)) __u32 set_bucket4(__u32 bucket, __u32 tag, __u32 n, __u32 mask)
{
	return (bucket + n * ((tag + 1) * 0x9e3779b1u >> 7 | 1)) & mask;
}

#define SET_TRIES 3			/* buckets that may have an entry */
#define SET_BLOCK(bits, tag, n) ((__u32)(bits) | (__u32)(tag) << 16 | (__u32)(n) << 30)

/* ---- SET_ADDRESS6 */

#define SET_LINES6 16			/* of four prefixes; one behind the other, where all before are full */
#define SET_FIRST6 2			/* of these are looked at without a function of their own */
#define SET_NET6 48			/* shorter prefixes are not in the directory */

/* A prefix of fewer than 128 bits is its bits, a 1, and zeros: its length is said with it. Without branches: lengths come in no order that could be foreseen.
 * Returned: all ones for a whole address, else 0. */
static inline __attribute__((always_inline)) __u64 set_prefix6(__u64 *hi, __u64 *lo, __u32 length)
{
	__u64 n = length, s = (63 - n) & 63, bit = 1ull << s, bits = ~0ull << s;
	__u64 high = (__u64)((__s64)(n - 64) >> 63), whole = ~(__u64)((__s64)(n - 128) >> 63);

	asm volatile("" : "+r"(high), "+r"(whole));
	*hi = (*hi | (bit & high)) & (bits | ~high);
	*lo = (*lo | (bit & ~whole)) & (bits | whole) & ~high;
	return whole;
}

static inline __attribute__((always_inline)) __u64 set_hash6(__u64 hi, __u64 lo, __u64 seed)
{
	__u64 h = (hi ^ seed) * 0x9e3779b97f4a7c15ull;

	h = (h ^ h >> 32 ^ lo) * 0xbf58476d1ce4e5b9ull;
	return h ^ h >> 32;
}

/* Which byte of the directory an address belongs to, and which bit of it the nth length has. */
static inline __attribute__((always_inline)) __u64 set_net6(__u64 hi, __u64 seed)
{
	return set_hash6(hi >> (64 - SET_NET6), 0, seed);
}

/* Hints: a Bloom filter. A prefix has a line, by its /48 or, a shorter one, its /32, in it a word, and in that two bits, by its hash: what is looked for of one
 * address is in two lines. */
#define SET_HINTED6 32			/* shorter ones are looked for always */
static inline __attribute__((always_inline)) __u64 set_line6(__u64 hi, __u32 length, __u64 seed)
{
	return set_hash6(hi >> (length < SET_NET6 ? 64 - SET_HINTED6 : 64 - SET_NET6), length < SET_NET6, seed);
}

static inline __attribute__((always_inline)) __u64 set_hint6_place(const struct set_table *t, __u64 line, __u64 hash)
{
	return t->hints + (line & t->hints_mask) * 8 + (hash >> 49 & 7);
}

static inline __attribute__((always_inline)) __u32 set_hint6(__u64 word, __u64 hash)
{
	return word >> (hash >> 58) & word >> (hash >> 52 & 63) & 1;
}

static inline __attribute__((always_inline)) __u32 set_length_bit(__u32 n)
{
	return n < 7 ? n : 7;
}

/* ---- SET_ELEMENTS */

#define SET_TICK_SHIFT 4		/* a tick: 16 jiffies */
enum set_time { SET_FREE, SET_BUSY, SET_FIRST_TICK };	/* of an entry; SET_BUSY: being written */
#define SET_NEVER 0xffffffffu

struct set_entry {
	__u64 key[SET_KEY_WORDS];	/* IPv4 in the low half of [0], IPv6 high word first; of prefixes, the length in [4] */
	__u32 expires;			/* enum set_time, SET_NEVER or a tick */
	__u32 timeout;			/* ticks; 0: none */
	__u64 packets, bytes;
};

#define SET_WAYS 16			/* tags of a bucket, one cache line; the first counts what of the bucket is in others */

_Static_assert(sizeof(struct set_entry) == 64, "a cache line");

/* Which values of a packet make the key of a lookup: `bits` of the field from `from` on, put at bit `at` of word `word`; wide ones take two words. */
struct set_part_of_key { __u8 field, from, bits, word, at, pad[3]; };

/* In a chain's memory. */
struct set_lookup {
	__u32 slot;
	__u16 n_parts;
	__u16 update;			/* of a statement: enum set_update */
	__u32 timeout;			/* of a statement, ticks; 0: the set's */
	__u32 counted;			/* of a statement: bitmap of the lookups whose elements count */
	struct set_part_of_key part[SET_PARTS];
	__u64 spare;
};

enum set_update { SET_NO_UPDATE, SET_ADD, SET_UPDATE };	/* ADD: what is there stays as it is; UPDATE: its time begins anew */

_Static_assert(sizeof(struct set_lookup) == 64, "eight words");

#ifdef __bpf__
#define SET_OUTER(name, bits) \
	struct name##_inner { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1); \
		__uint(key_size, sizeof(__u32)); \
		__uint(value_size, 1 << bits); \
	}; \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, MAX_SETS * 2);	/* slot << 1 | copy */ \
		__type(key, __u32); \
		__uint(pinning, LIBBPF_PIN_BY_NAME); \
		__array(values, struct name##_inner); \
	} name SEC(".maps");

SET_SIZES(SET_OUTER)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_SETS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} set_slots SEC(".maps");
#endif
