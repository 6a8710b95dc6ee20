/* SPDX-License-Identifier: GPL-2.0 */
/* flow: one entry per bidirectional 5-tuple, interface and VLAN: connection state, cached decision, backend and counters, in
 * buckets of eight that are probed inline. The programs write, ctl reads (mmap). A claimed entry is published by its first key
 * word, which is stored last; counters only ever move by atomic adds and are taken out by atomic exchange, so no packet is lost
 * when a slot changes owner. Full: a flow may take the place of one past its timeout, or under pressure of a half-open one idle
 * for a second, never of an established one; otherwise the packet is booked under PASS_TABLE_FULL. */
#pragma once
#include <linux/types.h>
#include "datapath.h"

#define FLOW_WAYS 8
#define FLOW_BUSY (~0ull)	/* key[0] while an entry is being made */

#define FLOW_PACKETS_MASK ((1ull << 48) - 1)
#define FLOW_TAG_SHIFT 48
#define FLOW_BYTES_MASK ((1ull << 56) - 1)
#define FLOW_FLAGS_SHIFT 56
#define FLOW_RULE_BITS 23
#define FLOW_RULE_MASK ((1u << FLOW_RULE_BITS) - 1)
#define FLOW_OPENER_BIT (1ull << 46)	/* the flow was opened by endpoint 1 */
#define FLOW_GENERATIONS 32767	/* tags come round after so many: ctl clears all of them then */
#define FLOW_BACKEND_DIRECTION_SHIFT 47	/* packets of this direction go to the backend */
#define FLOW_BACKEND_SHIFT 48

/* Seconds without a packet after which an entry may be reused (RFC 5382 and 4787 for the established ones). */
enum { FLOW_TCP_IDLE = 7440, FLOW_TWO_WAY_IDLE = 180, FLOW_HALF_OPEN_IDLE = 30, FLOW_CLOSED_IDLE = 10, FLOW_PRESSURE_IDLE = 1 };

struct flow {
	__u64 packets[2];	/* [direction] low 48 bits: wire packets; high 16: tag of the cached decision, 0 none */
	__u64 bytes[2];		/* [direction] low 56 bits: IP bytes; high 8: TCP flags seen */
	__u64 decision;		/* bits 0-22 and 23-45 rule of each direction, 46 opener, 47 direction that goes to
				 * the backend, 48-63 backend slot, 0 none */
	__u32 first, last;	/* low 32 bits of jiffies */
};

/* Endpoint 0 is the smaller one. key[0]: endpoint 0 (address << 16 | port, wire order) | protocol << 48 | interface slot << 56;
 * key[1]: endpoint 1 | outer VLAN id << 48 | FLOW4_FRAGMENT for fragments without ports. */
#define FLOW4_FRAGMENT (1ull << 63)
struct flow4 {
	__u64 key[2];
	struct flow flow;
};

/* key[0]: protocol | slot << 8 | VLAN id << 16 | FLOW6_FRAGMENT | port 0 << 32 | port 1 << 48; key[1..2] and [3..4]: addresses. */
#define FLOW6_FRAGMENT (1ull << 31)
struct flow6 {
	__u64 key[5];
	__u64 pad[3];
	struct flow flow;
	__u64 pad2[2];
};

struct flow4_bucket { struct flow4 way[FLOW_WAYS]; };
struct flow6_bucket { struct flow6 way[FLOW_WAYS]; };

_Static_assert(sizeof(struct flow4) == 64, "one cache line");
_Static_assert(sizeof(struct flow6) == 128, "two cache lines");

/* What entries held when they were given to another flow. Per CPU, by interface slot; the programs write. */
struct flow_aged {
	__u64 flows, packets, bytes;
};

/* The budget of one CPU for new flows in the current jiffy. */
struct flow_budget {
	__u64 jiffy;
	__u64 left;
};

enum flow_state { FLOW_HALF_OPEN, FLOW_ESTABLISHED, FLOW_CLOSED };

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

/* The state that packets and flags of both directions tell. A balancer with direct return sees one direction only, so three
 * packets of which one acknowledges stand for an answer that went another way. */
static inline __attribute__((always_inline)) enum flow_state flow_state(const struct flow *f, __u8 proto)
{
	__u64 p0 = f->packets[0] & FLOW_PACKETS_MASK, p1 = f->packets[1] & FLOW_PACKETS_MASK;
	__u32 f0 = f->bytes[0] >> FLOW_FLAGS_SHIFT, f1 = f->bytes[1] >> FLOW_FLAGS_SHIFT;

	if (proto == 6) {
		if ((f0 | f1) & TCP_RST)
			return FLOW_CLOSED;
		if ((f0 & TCP_FIN || !p0) && (f1 & TCP_FIN || !p1))
			return FLOW_CLOSED;
		if (!((f0 | f1) & TCP_ACK))
			return FLOW_HALF_OPEN;
	}
	return (p0 && p1) || p0 + p1 >= 3 ? FLOW_ESTABLISHED : FLOW_HALF_OPEN;
}

static inline __attribute__((always_inline)) __u32 flow_idle_limit(enum flow_state s, __u8 proto)
{
	if (s == FLOW_CLOSED)
		return FLOW_CLOSED_IDLE;
	if (s == FLOW_HALF_OPEN)
		return FLOW_HALF_OPEN_IDLE;
	return proto == 6 ? FLOW_TCP_IDLE : FLOW_TWO_WAY_IDLE;
}

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* 1 << datapath.flow4_bits */
	__type(key, __u32);
	__type(value, struct flow4_bucket);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flow4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* 1 << datapath.flow6_bits */
	__type(key, __u32);
	__type(value, struct flow6_bucket);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flow6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct flow_aged);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flow_aged SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_budget);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flow_budget SEC(".maps");
#endif
