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

/* Fill `ip` for a packet of `inner` bytes. Source and destination are in network order. */
static __always_inline void outer_ipv4(struct ipv4_wire *ip, __be32 src, __be32 dst, __u32 inner, __u8 tos, __u8 proto)
{
	__u32 sum;

	ip->version_ihl = 0x45;
	ip->tos = tos;
	ip->tot_len = bpf_htons(inner + sizeof(*ip));
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = OUTER_TTL;
	ip->proto = proto;
	ip->saddr = src;
	ip->daddr = dst;
	sum = bpf_htons(0x4500 | tos) + ip->tot_len + bpf_htons(0x4000) + bpf_htons(OUTER_TTL << 8 | proto) + (src & 0xffff) +
	      (src >> 16) + (dst & 0xffff) + (dst >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
}

static __always_inline void outer_ipv6(struct ipv6_wire *ip, const __u8 *src, const __u8 *dst, __u32 inner, __u8 tos, __u8 proto)
{
	ip->version_class_flow = bpf_htonl(6u << 28 | (__u32)tos << 20);
	ip->payload_len = bpf_htons(inner);
	ip->nexthdr = proto;
	ip->hop_limit = OUTER_TTL;
	COPY_WORDS(ip->saddr, src, 4);
	COPY_WORDS(ip->daddr, dst, 4);
}
