/* SPDX-License-Identifier: GPL-2.0 */
/* rule: the compiled filter. What a chain tells apart are units: one rule each, or hash tables of many alike rules. Each field of a
 * packet leads to a class of values, each class has a row of bits, one per unit; the AND of the rows leaves the units that may match, in the order of
 * the rules. ctl writes the tables of the slot that is not in force, a fresh inner map for each chain, and drops those of the other slot
 * afterwards; the programs read. `rule_counts` is per CPU under a rule's stable id: programs write, ctl sums, and zeroes an id before it
 * gives it to a new rule. */
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
	X(FIELD_ETHER_TYPE, 1, 0) \
	X(FIELD_CT_STATE, 1, 1)		/* enum ct_state; nothing is cached for packets of another state than established */ \
	X(FIELD_SET0, 1, 1)		/* 1: the nth lookup of the chain found its key, 0: it did not */ \
	X(FIELD_SET1, 1, 1) \
	X(FIELD_SET2, 1, 1) \
	X(FIELD_SET3, 1, 1) \
	X(FIELD_SET4, 1, 1) \
	X(FIELD_SET5, 1, 1) \
	X(FIELD_SET6, 1, 1) \
	X(FIELD_SET7, 1, 1) \
	X(FIELD_SET8, 1, 0)		/* in sets that change by themselves, or count */ \
	X(FIELD_SET9, 1, 0) \
	X(FIELD_SET10, 1, 0) \
	X(FIELD_SET11, 1, 0) \
	X(FIELD_SET12, 1, 0) \
	X(FIELD_SET13, 1, 0) \
	X(FIELD_SET14, 1, 0) \
	X(FIELD_SET15, 1, 0) \
	X(FIELD_L3_TYPE, 1, 1)		/* behind the VLAN tags */ \
	X(FIELD_TOS, 1, 0)		/* DSCP and ECN */ \
	X(FIELD_TTL, 1, 0) \
	X(FIELD_IP_LENGTH, 1, 0) \
	X(FIELD_FRAG_OFF, 1, 0)		/* IPv4 */ \
	X(FIELD_NEXTHDR, 1, 0)		/* of the IPv6 header itself */ \
	X(FIELD_OPTIONS, 1, 0)		/* enum field_exthdr or field_ip_option */ \
	X(FIELD_TCP_OPTIONS, 1, 0)	/* enum field_tcp_option */ \
	X(FIELD_TCP_MSS, 1, 0) \
	X(FIELD_VLAN_PCP, 1, 0) \
	X(FIELD_LENGTH, 1, 0) \
	X(FIELD_MARK, 1, 0) \
	X(FIELD_RANDOM, 1, 0) \
	X(FIELD_RAW0, 1, 0)		/* struct filter_raw */ \
	X(FIELD_RAW1, 1, 0) \
	X(FIELD_RAW2, 1, 0) \
	X(FIELD_RAW3, 1, 0)

#define FIELD_ENUM(sym, words, invariant) sym,
enum filter_field { FILTER_FIELDS(FIELD_ENUM) FIELD_COUNT };
#undef FIELD_ENUM

/* Bitmaps of fields. */
#define FIELD_INVARIANT(sym, words, invariant) | ((__u64)(invariant) << sym)
#define FIELDS_INVARIANT (0ull FILTER_FIELDS(FIELD_INVARIANT))
#define FIELD_WIDE(sym, words, invariant) | ((__u64)((words) == 2) << sym)
#define FIELDS_WIDE (0ull FILTER_FIELDS(FIELD_WIDE))
#define FIELDS_MARKED (1ull << 63)	/* in a chain's `fields`: rules set the mark, so what it is must be known */
#define FIELDS_READ (~0ull << FIELD_L3_TYPE)	/* not known to the parser: xdp/field.h reads them where a rule asks */

#define FIELD_BIT(f) (1ull << (f))
#define FIELDS_RAW (~0ull << FIELD_RAW0)
#define FILTER_LOOKUPS 16
#define FILTER_LOOKUPS_FIXED 8	/* the first ones */
#define FIELDS_SET (0xffffull << FIELD_SET0)
#define FIELDS_CORE (FIELD_BIT(FIELD_FAMILY) | FIELD_BIT(FIELD_SADDR4) | FIELD_BIT(FIELD_DADDR4) | FIELD_BIT(FIELD_SADDR6) | \
		     FIELD_BIT(FIELD_DADDR6) | FIELD_BIT(FIELD_L4PROTO) | FIELD_BIT(FIELD_SPORT) | FIELD_BIT(FIELD_DPORT))
#define FIELDS_EXTRA (~(FIELDS_CORE | FIELDS_MARKED))

/* Of the packet, by what the flow table knows; nft's numbers. */
enum ct_state { CT_INVALID = 1, CT_ESTABLISHED = 2, CT_RELATED = 4, CT_NEW = 8, CT_UNTRACKED = 64 };

/* Bits of FIELD_OPTIONS (by family) and FIELD_TCP_OPTIONS. */
enum field_exthdr { EXTHDR_HBH = 1, EXTHDR_RT = 2, EXTHDR_FRAG = 4, EXTHDR_DST = 8, EXTHDR_MH = 16 };
enum field_ip_option { IP_OPTION_LSRR = 1, IP_OPTION_RR = 2, IP_OPTION_SSRR = 4, IP_OPTION_RA = 8 };
enum field_tcp_option {
	TCP_OPTION_MAXSEG = 1, TCP_OPTION_WINDOW = 2, TCP_OPTION_SACK_PERM = 4, TCP_OPTION_SACK = 8, TCP_OPTION_TIMESTAMP = 16,
	TCP_OPTION_MD5SIG = 32, TCP_OPTION_MPTCP = 64, TCP_OPTION_FASTOPEN = 128,
};

/* Bits by their place in the packet; the nth is FIELD_RAW0 + n. */
enum raw_base { RAW_LINK, RAW_NETWORK, RAW_TRANSPORT };
#define FILTER_RAWS 4

struct filter_raw {
	__u8 base;		/* enum raw_base */
	__u8 length;		/* bits, at most 64; 0: not in use */
	__u16 offset;		/* bits */
};

/* The fields that every packet is asked for, one word each: a trie leads to the class. */
enum filter_core { CORE_PROTO, CORE_SADDR4, CORE_DADDR4, CORE_SPORT, CORE_DPORT, CORE_COUNT };

#define CORE_PROTO_BITS 10	/* family 0, 1 (IPv4) or 2 (IPv6) << 8 | protocol */

/* Places in a chain's memory are counted in words of 64 bits (a struct of 2^n words begins at a multiple of that), except `nodes`: entries of 32 bits. An entry of the trie is a class, or FILTER_NODE and
 * where its node of 1 << bits entries begins; the root has more. The first entries are the classes themselves, entry c is c: so a walk makes as many steps
 * for a short way as for a long one, and there is no branch to foresee. */
#define FILTER_NODE (1u << 31)
#define FILTER_TRIE_STEPS 6	/* at most: behind a root of 8 bits, 4 a step; 8 or 10 a step where memory allows */
struct filter_class {
	__u32 nodes;
	__u32 root;		/* entry where the root begins: its index is value >> shift */
	__u8 shift;
	__u8 bits;
	__u16 pad;
	__u32 rows;		/* row of class c: rows + c * stride */
	__u32 absent;		/* the row of a packet without the field */
	__u32 pad2;
};

/* Fields of more than 32 bits, and those few chains look at. Bounds are one word each, two for wide fields, high word first, sorted, the
 * first is 0; words[rows + i] is the row of the ith. */
struct filter_interval {
	__u32 bounds, count, rows, absent;
};

/* A row: a summary, bit i of which stands for word i, then the words. One word needs no summary. */
struct filter_chain {
	__u64 fields;		/* bitmap of those that rules look at */
	__u32 words;		/* of a row, without summary */
	__u32 summary;		/* words of it */
	__u32 stride;		/* both */
	__u32 entries;		/* of the units: position of the first rule << 32 | FILTER_* or RULE_* bits and id */
	__u32 leaps;		/* of the units: where to go on behind one that decides nothing, a position, 0: at the next; << 32: place of its statements (compile.c) */
	__u32 lookups;		/* FILTER_LOOKUPS of struct set_lookup (set.h), for each field of FIELDS_SET */
	__u32 starts;		/* ctl/patch.c: which row a rule begins with */
	__u32 scans;		/* FILTER_TREE4, … */
	__u32 groups;		/* struct filter_group */
	__u32 policy;		/* as an entry: id and verdict */
	__u32 units, rules;
	__u64 bytes;		/* in use */
	__u64 tree4, tree6;	/* FILTER_TREE4, FILTER_TREE6: the root, as an edge */
	__u32 records4;		/* struct filter_scan4, that numbers stand for, */
	__u32 records6;		/* and filter_scan6 */
	__u32 asks;		/* struct filter_ask */
	__u32 changes4;		/* FILTER_CHANGED: as many struct filter_scan4 */
	__u32 changes6;
	__u16 n_changes4, n_changes6;
	__u64 keys;		/* bitmap of the fields that keys of sets are made of */
	struct filter_raw raw[FILTER_RAWS];
	struct filter_class core[CORE_COUNT];
	struct filter_interval interval[FIELD_COUNT];
};

#define RULE_ID_MASK 0x3ffffu	/* bits 0-17: stable id */
#define RULE_REJECT_SHIFT 18	/* bits 18-22: enum reject, of an entry that drops */
#define RULE_REJECT_MOST 31u
#define RULE_DROP_BIT (1u << 24)
#define RULE_CONTINUE_BIT (1u << 25)	/* counts, others decide */
#define RULE_VARIANT_BIT (1u << 26)	/* looks at what may differ between packets of a flow */
#define FILTER_GROUP_BIT (1u << 31)	/* the unit is a group, its number in bits 0-17 */
#define RULE_LIMIT_BIT (1u << 28)	/* matches only what its limit lets through */
#define RULE_MARK_BIT (1u << 23)	/* sets the packet's mark */
#define RULE_SET_BIT (1u << 29)	/* puts an element into a set, or elements of sets count it: struct set_lookup, behind limit and mark */
#define FILTER_LIMIT_WORDS 4
#define FILTER_TOUCH 8			/* words from the place of the limit to the set statement */
#define RULE_LOG_BIT (1u << 30)		/* a record of each packet goes to who follows */
#define RULE_AUDIT_BIT (1u << 27)	/* would be dropped, if the chain did not only audit */

/* A hash table of rules that name addresses at least as long as its prefixes, and ports and protocol where it has a mask for them. */
struct filter_group {
	__u64 smask[2], dmask[2];	/* IPv4: in [0] */
	__u32 ports;			/* mask: source << 16 | destination */
	__u16 proto;			/* mask: 0 or 0xff */
	__u16 family;			/* 4 or 6 */
	__u32 buckets;			/* begin here */
	__u32 mask;			/* number of buckets - 1 */
	__u64 pad[2];
};

/* A rule in a group. Those of a bucket are next to each other;
 * the first one's `next` is the word where the bucket goes on, 0: nowhere. */
struct filter_rule {
	__u16 sport[2], dport[2];	/* from, to */
	__u32 entry;			/* RULE_* bits and id; 0: no record */
	__u32 position;
	__u32 next;
	__u8 proto, proto_mask;
	__u8 sshift, dshift;		/* IPv4: how many bits of the address the rule leaves open, 0 to 32 */
};
#define FILTER_NEEDS_PORTS (1u << 31)	/* in position: a packet without ports does not match */

struct filter_record4 {
	struct filter_rule rule;
	__u32 saddr, daddr;
};

struct filter_record6 {			/* addresses as two words, high one first */
	struct filter_rule rule;
	__u64 saddr[2], daddr[2];
	__u8 sshift[2], dshift[2];	/* bits left open of each word, 0 to 64 */
	__u32 pad;
};

/* A rule that looks only at addresses, ports and protocol, and decides, is plain. It is as many records as it has combinations of prefixes and ranges. Ports and protocol
 * are three numbers side by side in a word: one subtraction tells of all of them whether they are large enough, another whether they are small enough. */
enum {
	FILTER_TREE4 = 1,
	FILTER_TREE6 = 2,
	FILTER_ASKS = 4,
	FILTER_NOT_SMALL = 8,	/* groups, or leaves of numbers */
	FILTER_PLAIN4 = 16,	/* a tree for IPv4 none of whose records asks */
	FILTER_PLAIN6 = 32,
	FILTER_FULL = 64,	/* for programs with FEATURE_FULL alone */
	FILTER_CHANGED = 128,	/* the trees do not know of some rules: packets that match one of `changes` are for the tables */
};
#define FILTER_CHANGES 32	/* of a family at most */
enum { SCAN_SPORT = 0, SCAN_DPORT = 20, SCAN_PROTO = 40 };	/* bits where they begin */
#define SCAN_ANY 0x1ffffull		/* most of a port; of the ports of a packet that has none */
#define SCAN_GUARDS (0x20000ull << SCAN_SPORT | 0x20000ull << SCAN_DPORT | 0x100ull << SCAN_PROTO)
enum { SCAN_ENTRY = 50, SCAN_ENTRY_BITS = 14 };	/* RULE_* bits and id of a plain rule, low half in `from`, high half in `to`; no guard is above them */

struct filter_scan {
	__u64 from;			/* the three numbers */
	__u64 to;			/* the same, and twice SCAN_GUARDS */
};

struct filter_scan4 {
	struct filter_scan rule;
	__u64 mask, value;		/* source << 32 | destination */
};

struct filter_scan6 {
	struct filter_scan rule;
	struct { __u64 mask, value; } address[4];	/* source, destination, as on the wire; of the last the second cache line */
	__u64 pad[6];
};

/* A decision tree (HiCuts, Gupta and McKeown 1999) for each family leads to them. Its edges are words: of a node, where its edges are
 * (bits 0-31), which bits of the packet choose one of them (32-37: how far they are shifted; 38-40: of which word, enum tree_word; 48-62: mask); of
 * a leaf, where it is. In FILTER_SMALL it is the records themselves, in the order of the rules, behind them one that holds always, with the policy. Else it is numbers of records, up to the end of
 * a cache line, behind them the number of the policy's; they have 16 bits, in FILTER_LARGE 32. The tree of a few rules is one leaf. */
#define FILTER_TREE_LEAF (1ull << 63)
#define FILTER_TREE_SHIFT 32
#define FILTER_TREE_WORD 38
#define FILTER_TREE_MASK 48
#define FILTER_TREE_DEPTH 16
#define FILTER_TREE_LINE 8		/* words of a cache line */
#define FILTER_TREE_MOST 128		/* numbers in a leaf, the policy's included, */
#define FILTER_LEAF_MOST 64		/* records */
enum tree_word { TREE_ADDRESSES4, TREE_NUMBERS4 };	/* of IPv6: its words, source first, then the numbers */
#define TREE_NUMBERS6 4

/* With other rules among them (FILTER_ASKS), trees know of these what is plain: a record whose entry is RULE_CONTINUE_BIT and the number of an ask, which says what else must hold
 * and what follows then. An entry of 0: the rule does more than decide, or asks for what is not known here, so the tables must be asked; number 0 is such a one without terms. */
#define FILTER_TERMS 2
enum filter_term_kind {
	TERM_STATE, TERM_TCP_FLAGS, TERM_ICMP_TYPE, TERM_ICMP_CODE, TERM_VLAN_ID, TERM_IFNAME,
	TERM_LIST_SADDR4, TERM_LIST_DADDR4,	/* of SET_ADDRESS4 */
	TERM_SET_SADDR4, TERM_SET_DADDR4, TERM_SET_SADDR6, TERM_SET_DADDR6,
};

struct filter_term {
	__u8 kind;
	__u8 varies;			/* between packets of a flow */
	__u8 field;
	__u8 pad;
	__u32 slot;			/* of a set */
	__u64 v[4];			/* of the first four kinds: a bit for each value that holds; VLAN: from, to; interface: its name; set: 1 or 0, is it in there */
};

/* A rule's limit (limit.h). */
struct filter_limit {
	__u64 cost;			/* of a packet or byte: time << LIMIT_SHIFT */
	__u64 depth;			/* of the bucket: cost * burst */
	__u32 flags;			/* LIMIT_*, enum limit_key */
	__u32 id;			/* the rule's */
	__u8 slength, dlength;		/* of the prefixes */
	__u16 pad;
	__u32 tick;			/* of jiffies, as a time << LIMIT_SHIFT, where they are the clock; 0: that of ktime */
};

struct filter_ask {
	__u32 entry;
	__u16 n;
	__u16 limited;
	struct filter_term term[FILTER_TERMS];	/* those that do not vary first */
	struct filter_limit limit;		/* asked when they hold */
	__u64 pad;
};

_Static_assert(sizeof(struct filter_limit) == 32 && sizeof(struct filter_scan6) == 128 && sizeof(struct filter_ask) == 128, "four words, sixteen");
#define FILTER_RECORDS 2		/* a bucket: one cache line, or two */
struct filter_bucket4 { struct filter_record4 record[FILTER_RECORDS]; };
struct filter_bucket6 { struct filter_record6 record[FILTER_RECORDS]; };

_Static_assert(sizeof(struct filter_group) == 64 && sizeof(struct filter_bucket4) == 64 && sizeof(struct filter_bucket6) == 128, "cache lines");
_Static_assert(sizeof(struct filter_chain) % 8 == 0, "places are words");

/* Where in its group a rule or a packet belongs: its words under the group's masks. */
static inline __attribute__((always_inline)) __u32 filter_hash(const struct filter_group *g, const __u64 *saddr, const __u64 *daddr, __u32 ports,
								__u32 proto)
{
	__u64 h = (saddr[0] & g->smask[0]) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 29;
	h = (h + (daddr[0] & g->dmask[0])) * 0xbf58476d1ce4e5b9ull;
	h ^= h >> 32;
	if (g->family == 6) {
		h = (h + (saddr[1] & g->smask[1])) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
		h = (h + (daddr[1] & g->dmask[1])) * 0xbf58476d1ce4e5b9ull;
		h ^= h >> 32;
	}
	h = (h + ((__u64)(ports & g->ports) << 8 | (proto & g->proto))) * 0x94d049bb133111ebull;
	return h >> 32 & g->mask;
}

#define FILTER_MAX_UNITS 65536	/* a summary of sixteen words */
#define FILTER_CHAIN_BUCKETS 8	/* one behind the other, at most */

/* Inner maps have one element of one of three sizes, in bytes: what is reached by offset must be of a size the verifier knows. */
enum { FILTER_SMALL = 1 << 18, FILTER_MEDIUM = 1 << 23, FILTER_LARGE = 1 << 28 };

#define MAX_RULES 262144	/* room for two generations; ids: 0 nobody, 1 and 2 the policies of ingress and egress, rules from RULE_FIRST */
enum { RULE_POLICY_INGRESS = 1, RULE_POLICY_EGRESS = 2, RULE_FIRST = 3 };
#define FILTER_MAX_RULES (MAX_RULES / 2 - RULE_FIRST)	/* of both chains */

_Static_assert(FIELD_COUNT < 63, "FIELDS_MARKED is no field");
_Static_assert(MAX_RULES == RULE_ID_MASK + 1 && FILTER_MAX_UNITS <= RULE_ID_MASK, "ids and groups fit");

struct rule_count {
	__u64 packets, bytes;	/* wire packets, IP bytes (frame bytes of what is not IP) */
};

#ifdef __bpf__
/* Index: slot << 1 | chain. One of the three holds the chain's memory, a struct filter_chain in front. */
#define FILTER_OUTER(name, bytes) \
	struct name##_inner { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1); \
		__uint(key_size, sizeof(__u32)); \
		__uint(value_size, bytes); \
	}; \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, 4); \
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
