/* SPDX-License-Identifier: GPL-2.0 */
/* key: the packet as the filter sees it, and classify()'s own notes. */
#pragma once
#include "../maps/limit.h"
#include "../maps/rule.h"
#include "set_table.h"
#ifdef __bpf__
#include "program.h"
#endif

#define FILTER_LOGS 8		/* a power of two: rules on the way with `log` of one packet that are kept, and one */

/* How far the walk over the rows is. */
struct filter_walk {
	__u64 words;		/* of 64 words of the rows, those still to look at */
	__u64 units;		/* of one word, those still to look at */
	__u32 word;		/* which one */
	__u32 summary;		/* words of the summary that are done */
};

/* Addresses left in their words, IPv4 in the first; one value for each further field, high word first for wide ones. */
struct filter_key {
	__u64 saddr[2], daddr[2];
	__u32 ports;		/* source << 16 | destination */
	__u32 has_ports;
	__u32 family, proto;	/* family 0, 4, 6 */
	__u64 present;		/* bitmap of the fields in hi, lo */
	__u64 hi[FIELD_COUNT];
	__u64 lo[FIELD_COUNT];
	__u32 chain;		/* slot << 1 | chain: index of the outer maps */
	__u32 size;		/* FILTER_SMALL, … */
	__u32 packets, bytes;	/* what rules that count and go on add */

	/* field.h's own: what stands here and not in a register, the verifier does not tell apart, so paths do not multiply */
	struct filter_raw raw[FILTER_RAWS];
	__u32 off;
	__u8 byte[12];

	/* set.h's own */
	struct set_lookup lookup;
	struct set_query query;
	__u32 element[FILTER_LOOKUPS];	/* place of what was found, 0: nothing, or it does not count */
	__u32 slot[FILTER_LOOKUPS];	/* of it, the word of set_slots: SET_ELEMENT_SLOT */

	/* classify()'s own */
	__u32 core[CORE_COUNT];	/* rows */
	__u32 row[FIELD_COUNT];
	__u32 lone;		/* row of the only further field, 0: there are others */
	struct filter_walk walk;
	__u32 word;		/* filter_extra()'s */
	__u32 scanned;		/* entry that scan.h has found, 0: none; here, since there is no stack for it */
	__u32 position;		/* of the rule found */
	__u32 from;		/* rules before are passed by */
	__u32 found;		/* its entry; 0: none yet */
	__u32 cacheable;
	union {
		__u32 noted;	/* both at once */
		struct { __u16 n_logs, marked; };
	};
	__u32 log[FILTER_LOGS];	/* entries, for log.h */
};

/* Two members of 32 bits that are written at once. */
#define KEY_PAIR(k, first, second) (*({ \
	_Static_assert(__builtin_offsetof(struct filter_key, first) % 8 == 0 && \
		       __builtin_offsetof(struct filter_key, second) == __builtin_offsetof(struct filter_key, first) + 4, "a word"); \
	(word_of_key *)&(k)->first; }))
typedef __u64 __attribute__((may_alias)) word_of_key;

/* Too large for the stack; nothing on this CPU classifies while another packet does. */
#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct filter_key);
} filter_scratch SEC(".maps");
#endif

/* What plain rules do not need. The loader leaves it out until a chain does (docs/design/generations.md), and all that hangs on it is gone. Built with WEIR_PLAIN it is not even in
 * the source: bench/ compares. */
#ifdef WEIR_PLAIN
#define FULL 0
#elif defined(__bpf__)
#define FULL has(FEATURE_FULL)
#else
#define FULL 1
#endif

/* Of the chain's fields, of an entry's bits: is any of these there? FULL comes second: where it is the verifier's business alone, it takes no time. */
static __always_inline int asks(const struct filter_chain *c, __u64 fields)
{
	return c->fields & fields && FULL;
}

static __always_inline int says(__u32 entry, __u32 bits)
{
	return entry & bits && FULL;
}

static __always_inline void filter_set(struct filter_key *k, __u32 field, __u64 hi, __u64 lo)
{
	k->hi[field] = hi;
	k->lo[field] = lo;
	k->present |= FIELD_BIT(field);
}
