/* SPDX-License-Identifier: GPL-2.0 */
/* service: virtual address, protocol and port → ring of backends → backend. ctl writes the half of `service_keys` whose slot is not in
 * force, ring chunks that no service in force uses, and backend entries before a ring names them; the programs read. Each of these is one value of a map,
 * so that places in it are numbers in registers: a key of a map is written to memory and read again. `next_hops` is each CPU's cache of the kernel's route and neighbour, `fragments` remembers which backend the first fragment
 * of a datagram went to; both are the programs' own. */
#pragma once
#include <linux/types.h>

#define SERVICE_BUCKETS 4096	/* a slot */
#define SERVICE_WAYS 4
#define MAX_SERVICES 1024
#define MAX_BACKENDS 16384	/* slots from 1; 0: no backend */
#define RING_CHUNK 4096		/* slots of one chunk */
#define RING_CHUNKS 4096
#define RING_MAX 65536		/* slots of one service */
#define FRAGMENT_SLOTS 8192
#define FRAGMENT_SECONDS 30
#define NEXT_HOP_SECONDS 1

/* port 0 and proto 0: the address as such, for ICMP and for telling that it is a service's */
struct service_key {
	__u64 addr[2];		/* IPv4 as ::ffff:a.b.c.d, wire order */
	__u32 port_proto;	/* port (wire order) << 16 | protocol << 8 | 1; 0: empty */
	__u32 mask;		/* ring slots - 1 */
	__u32 ring;		/* first slot in `rings`, a chunk's; a ring's chunks are contiguous */
	__u32 pad;
};

struct service_bucket {
	struct service_key way[SERVICE_WAYS];
};
_Static_assert(sizeof(struct service_bucket) == 128, "two cache lines");

struct service_table {
	struct service_bucket bucket[2 * SERVICE_BUCKETS];	/* a half for each slot */
};

struct ring_table {
	__u16 slot[RING_CHUNKS * RING_CHUNK];	/* backend slots; 0: no backend takes new flows */
};

enum backend_state { BACKEND_NONE, BACKEND_ACTIVE, BACKEND_DRAINING };
enum backend_forward { BACKEND_L2, BACKEND_IPIP };

struct backend_entry {
	__u8 state;		/* NONE: flows that name it choose anew */
	__u8 forward;
	__u8 family;		/* of addr: 4 or 6 */
	__u8 pad;
	__u32 epoch;		/* differs between users of one slot */
	__u8 addr[16];		/* wire order, IPv4 in the first four */
	__u64 pad2;
};

struct backend_table {
	struct backend_entry entry[MAX_BACKENDS];
};

struct backend_count {		/* per CPU; the programs write, ctl sums and zeroes before reuse of a slot */
	__u64 packets, bytes, flows;
};

/* Per CPU. */
struct next_hop {
	__u32 jiffies;		/* when it was looked up, low 32 bits */
	__u32 epoch;		/* of the backend */
	__u32 ifindex;
	__u16 mtu;		/* of the route */
	__u8 status;		/* enum next_hop_status */
	__u8 pad;
	__u8 mac[12];		/* destination, source; copied as words */
	__u8 source[16];	/* the host's address on that route, for the outer header; copied as words */
	__u8 pad2[20];
};
enum next_hop_status { NEXT_HOP_NONE, NEXT_HOP_OK, NEXT_HOP_LOCAL, NEXT_HOP_ASK, NEXT_HOP_FAILED };
_Static_assert(sizeof(struct next_hop) == 64, "one cache line");

struct fragment {
	__u64 key_backend;	/* 48 bits of a keyed hash of addresses, id and protocol, then the backend: one store */
	__u32 jiffies;
	__u32 pad;
};

/* The hash of a flow onto a ring is the same on all nodes and at all times: multipliers are constants, sources of both families
 * go through the same words. Returns 32 bits; the ring slot is hash & mask. */
static inline __attribute__((always_inline)) __u32 ring_hash(__u64 s0, __u64 s1, __u64 d0, __u64 d1, __u32 ports, __u32 proto)
{
	__u64 h = s0 * 0x9e3779b97f4a7c15ull ^ s1 * 0xc2b2ae3d27d4eb4full ^ d0 * 0x165667b19e3779f9ull ^ d1 * 0x27d4eb2f165667c5ull;

	/* 64-bit finalizer of MurmurHash3 (Appleby), twice as wide as what is used */
	h ^= h >> 32 ^ ((__u64)proto << 32 | ports);
	h *= 0xff51afd7ed558ccdull;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ull;
	return h >> 32;
}

static inline __attribute__((always_inline)) __u32 service_hash(__u64 a0, __u64 a1, __u32 port_proto)
{
	__u64 h = a0 * 0x9e3779b97f4a7c15ull ^ a1 * 0xc2b2ae3d27d4eb4full ^ port_proto * 0x165667b19e3779f9ull;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h >> 40;
}

#ifdef __bpf__
#define SERVICE_MAP(map, map_type, map_flag, entries, value_type) \
	struct { \
		__uint(type, map_type); \
		__uint(map_flags, map_flag); \
		__uint(max_entries, entries); \
		__type(key, __u32); \
		__type(value, value_type); \
		__uint(pinning, LIBBPF_PIN_BY_NAME); \
	} map SEC(".maps")

SERVICE_MAP(service_keys, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, 1, struct service_table);
SERVICE_MAP(rings, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, 1, struct ring_table);
SERVICE_MAP(backends, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, 1, struct backend_table);
SERVICE_MAP(backend_counts, BPF_MAP_TYPE_PERCPU_ARRAY, 0, MAX_BACKENDS, struct backend_count);
SERVICE_MAP(next_hops, BPF_MAP_TYPE_PERCPU_ARRAY, 0, MAX_BACKENDS, struct next_hop);
SERVICE_MAP(fragments, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, FRAGMENT_SLOTS, struct fragment);
#endif
