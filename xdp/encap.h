/* SPDX-License-Identifier: GPL-2.0 */
/* encap: the outer IP header of a packet to a backend (RFC 2003, 2473). Checksums by arithmetic. Used by XDP and tc. */
#pragma once
#include "parse.h"

#define OUTER_TTL 64

static __always_inline __u8 outer_proto(__u8 inner_family)
{
	return inner_family == 4 ? IP_IPIP : IP_IPV6;
}

static __always_inline __u32 outer_size(__u8 family)
{
	return family == 4 ? sizeof(struct ipv4_wire) : sizeof(struct ipv6_wire);
}

/* What is beside one another is written at once: a store costs more than putting the word together. */
typedef __u64 __attribute__((may_alias)) word_of_header;

/* Fill `ip` for a packet of `inner` bytes. Source and destination are in network order. */
static __always_inline void outer_ipv4(struct ipv4_wire *ip, __be32 src, __be32 dst, __u32 inner, __u8 tos, __u8 proto)
{
	/* version, length of the header, TOS, length; identification, "do not fragment" */
	__u64 first = 0x45 | (__u32)tos << 8 | (__u64)bpf_htons(inner + sizeof(*ip)) << 16 | (__u64)bpf_htons(0x4000) << 48;
	__u64 second = OUTER_TTL | (__u32)proto << 8;		/* and the checksum, the source */
	__u64 sum = (first & 0xffff) + (first >> 16 & 0xffff) + (first >> 48) + second + (src & 0xffff) + (src >> 16) + (dst & 0xffff) + (dst >> 16);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	((word_of_header *)ip)[0] = first;
	((word_of_header *)ip)[1] = second | (__u64)(__u16)~sum << 16 | (__u64)src << 32;
	ip->daddr = dst;
}

static __always_inline void outer_ipv6(struct ipv6_wire *ip, const __u8 *src, const __u8 *dst, __u32 inner, __u8 tos, __u8 proto)
{
	((word_of_header *)ip)[0] = bpf_htonl(6u << 28 | (__u32)tos << 20) | (__u64)bpf_htons(inner) << 32 | (__u64)proto << 48 | (__u64)OUTER_TTL << 56;
	COPY_WORDS(ip->saddr, src, 4);
	COPY_WORDS(ip->daddr, dst, 4);
}
