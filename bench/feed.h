/* SPDX-License-Identifier: GPL-2.0 */
/* feed: what the feeder (feed.bpf.c) is told about the packet it hands out; bench.c fills it in before loading. */
#pragma once
#include <linux/types.h>

#define FEED_BYTES 64		/* restored at the front of the packet: a target writes no further */

struct feed {
	__u64 bytes[FEED_BYTES / 8];
	__u32 length;		/* of the packet */
	__u32 grows;		/* bytes that the target puts in front */
	__u32 verdict;		/* what the floor returns */
	__u32 mask;		/* flows - 1, flows a power of two */
	__u32 address;		/* of flow 0, host order: 32 bits that stand at address_at */
	__u16 address_at, port_at;
	__u32 check_at;		/* IPv4 header checksum, 0: none */
	__u32 check;		/* sum of the header's other 16-bit words */
	__u32 headers;		/* 4, 6: each packet takes the next of the map `headers` instead; IP at 14, no options */
	__u32 sources;		/* each packet's IPv4 source is one of so many, drawn at random; 0: not */
};

/* Network order. Of IPv6 saddr and daddr are bytes 2 to 9 of the source: what is behind 2001 in the prefix, and 16 bits of the interface. */
struct feed_header { __u32 saddr, daddr; __u16 sport, dport; __u8 proto, pad[3]; };
#define FEED_HEADERS 65536

#define COST_LOOKUPS 16		/* in one run of hash_lookups */
#define COST_ENTRIES 1024

struct cost_key { __u32 w[4]; };
