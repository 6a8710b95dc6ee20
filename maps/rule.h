/* SPDX-License-Identifier: GPL-2.0 */
/* rule: the compiled filter. Each field of a packet is one dimension: a sorted table of lower bounds leads to a row of bits, one
 * per rule; the AND of the rows has the matching rules as its set bits, the first is the first match. ctl writes the tables of the
 * slot that is not in force (one fresh inner map a generation) and `filters` of that slot; the programs read. `rule_counts` is per
 * CPU under a rule's stable id: programs write, ctl sums, and zeroes an id before it gives it to a new rule. */
#pragma once
#include <linux/types.h>

/* X(symbol, words of the value (64 bits each), does it stay the same for all packets of one direction of a flow) */
#define FILTER_FIELDS(X) \
	X(FIELD_FAMILY, 1, 1) \
	X(FIELD_SADDR4, 1, 1) \
	X(FIELD_DADDR4, 1, 1) \
	X(FIELD_SADDR6, 2, 1) \
	X(FIELD_DADDR6, 2, 1) \
	X(FIELD_L4PROTO, 1, 1) \
	X(FIELD_SPORT, 1, 1) \
	X(FIELD_DPORT, 1, 1) \
	X(FIELD_VLAN_ID, 1, 1) \
	X(FIELD_IFNAME, 2, 1) \
	X(FIELD_ICMP_TYPE, 1, 0) \
	X(FIELD_ICMP_CODE, 1, 0) \
	X(FIELD_TCP_FLAGS, 1, 0) \
	X(FIELD_ETHER_SADDR, 1, 0) \
	X(FIELD_ETHER_DADDR, 1, 0) \
	X(FIELD_ETHER_TYPE, 1, 0)

#define FIELD_ENUM(sym, words, invariant) sym,
enum filter_field { FILTER_FIELDS(FIELD_ENUM) FIELD_COUNT };
#undef FIELD_ENUM

#define FIELD_INVARIANT(sym, words, invariant) | ((invariant) << sym)
enum { FIELDS_INVARIANT = 0 FILTER_FIELDS(FIELD_INVARIANT) };
#undef FIELD_INVARIANT

#define FIELD_WIDE(sym, words, invariant) | (((words) == 2) << sym)
enum { FIELDS_WIDE = 0 FILTER_FIELDS(FIELD_WIDE) };
#undef FIELD_WIDE

/* Bounds stand at words[bounds] (one word each, two for wide fields, high word first), sorted, the first is 0; the row of bound i
 * begins at words[words[rows + i]]. A packet without the field has the row at `absent`. */
struct filter_table {
	__u32 bounds, count, rows, absent;
};

struct filter_chain {
	__u32 fields;		/* bitmap of the dimensions in use */
	__u32 words;		/* of a row */
	__u32 rules;		/* words[rules + n]: RULE_* of the nth rule */
	__u32 policy;		/* as an entry of rules: id and verdict */
	struct filter_table table[FIELD_COUNT];
};

#define RULE_ID_MASK 0x7fffffu	/* bits 0-22: stable id */
#define RULE_DROP_BIT (1u << 24)
#define RULE_CONTINUE_BIT (1u << 25)	/* counts, the next rules decide */
#define RULE_VARIANT_BIT (1u << 26)	/* looks at what may differ between packets of a flow */

struct filter {
	__u32 size_class;	/* which of the outer maps holds the words */
	__u32 pad[3];
	struct filter_chain chain[2];	/* ingress, egress */
};

/* Inner maps have one of three sizes, in words: what is reached inline must be of a size the verifier knows. */
enum { FILTER_SMALL = 1 << 13, FILTER_MEDIUM = 1 << 18, FILTER_LARGE = 1 << 23 };
#define FILTER_MAX_RULES 65536

#define MAX_RULES 131072	/* room for two generations; ids: 0 nobody, 1 and 2 the policies of ingress and egress, rules from RULE_FIRST */
enum { RULE_POLICY_INGRESS = 1, RULE_POLICY_EGRESS = 2, RULE_FIRST = 3 };

struct rule_count {
	__u64 packets, bytes;	/* wire packets, IP bytes (frame bytes of what is not IP) */
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct filter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} filters SEC(".maps");

#define FILTER_OUTER(name, words) \
	struct name##_inner { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, words); \
		__type(key, __u32); \
		__type(value, __u64); \
	}; \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, 2); \
		__type(key, __u32); \
		__uint(pinning, LIBBPF_PIN_BY_NAME); \
		__array(values, struct name##_inner); \
	} name SEC(".maps")

FILTER_OUTER(filter_small, FILTER_SMALL);
FILTER_OUTER(filter_medium, FILTER_MEDIUM);
FILTER_OUTER(filter_large, FILTER_LARGE);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
	__type(value, struct rule_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} rule_counts SEC(".maps");
#endif
