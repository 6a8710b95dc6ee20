/* SPDX-License-Identifier: GPL-2.0 */
/* parse: bytes → struct pkt. The same text runs in XDP, in tc and natively in tests: it takes the readable bytes of a frame and calls
 * no helper. Every header is checked against both the readable end and the length that the IP header claims, so padding is never taken
 * for a header; what is cut short is a verdict of its own. Sources: IEEE 802.1Q, RFC 791, 8200, 9293, 768, 9260, 792, 4443, 4302. */
#pragma once
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include "packet.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

#ifndef PARSE_CONTEXT		/* where data and data_end are: the hook's own context, or in tests */
#define PARSE_CONTEXT struct parse_context
struct parse_context { unsigned long data, data_end; };
#endif

#define MAX_VLANS 2
#define MAX_EXTHDRS 8

enum {
	IP_TCP = 6, IP_UDP = 17, IP_SCTP = 132, IP_ICMP = 1, IP_ICMPV6 = 58, IP_IPIP = 4, IP_IPV6 = 41,
	IP6_HOPOPTS = 0, IP6_ROUTING = 43, IP6_FRAGMENT = 44, IP6_AH = 51, IP6_DSTOPTS = 60, IP6_MOBILITY = 135, IP6_HIP = 139,
	IP6_SHIM6 = 140,
};

/* Layouts as they stand on the wire; read in place, so every member is as small as its alignment. */
struct ether_wire { __u8 daddr[6], saddr[6]; __be16 type; };
struct vlan_wire { __be16 tci, type; };
struct arp_wire { __be16 hrd, pro; __u8 hln, pln; __be16 op; };
struct ipv4_wire { __u8 version_ihl, tos; __be16 tot_len, id, frag_off; __u8 ttl, proto; __be16 check; __be32 saddr, daddr; };
struct ipv6_wire { __be32 version_class_flow; __be16 payload_len; __u8 nexthdr, hop_limit; __be32 saddr[4], daddr[4]; };
struct exthdr_wire { __u8 nexthdr, len; __be16 frag_off; __be32 frag_id; };
struct tcp_wire { __be16 sport, dport; __be32 seq, ack; __u8 doff, flags; __be16 window, check, urg; };
struct udp_wire { __be16 sport, dport, len, check; };
struct sctp_wire { __be16 sport, dport; __be32 vtag, check; };
struct icmp_wire { __u8 type, code; __be16 check, id, seq; };

/* Readable bytes of the frame, and where the IP packet ends in it by its own account (offset from data). */
struct cursor {
	void *data, *end;
	__u32 limit;
};

/* Where a header may begin at most: the verifier wants a bound, and two chains of eight extension headers of 2 KiB fit. */
#define MAX_HEADER_OFFSET 0x8fff

/* A pointer to `size` bytes at `off`, or NULL when they are not all readable and inside the packet. */
static __always_inline void *at(const struct cursor *c, __u64 off, __u32 size)
{
	void *p;

	asm volatile("" : "+r"(off));	/* what is checked is what is used: clang would compute it twice */
	if (off > MAX_HEADER_OFFSET || off + size > c->limit)
		return 0;
	p = c->data + off;
	asm volatile("" : "+r"(p));
	if (p + size > c->end)
		return 0;
	return p;
}

/* Why at() failed: the frame ends there, or XDP cannot read that far. */
static __always_inline enum reason cut(const struct cursor *c, __u32 off, __u32 size, enum reason shorter)
{
	return off + size > c->limit ? shorter : PARSE_NONLINEAR;
}

/* Written by 64 bits, as it is read: a wide load of what two narrow stores wrote waits for both to reach the cache. Little-endian. */
static __always_inline void addr6(union ip_addr *to, const __be32 *from)
{
	to->w[0] = from[0] | (__u64)from[1] << 32;
	to->w[1] = from[2] | (__u64)from[3] << 32;
}

static __always_inline int is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

static __always_inline int icmp_quotes(__u8 family, __u8 type)
{
	if (family == 4)	/* unreachable, source quench, redirect, time exceeded, parameter problem */
		return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
	return type >= 1 && type <= 4;
}

/* Walk IPv6 extension headers from *off; *next is the first header's number. Ends at the layer 4 protocol or at a later fragment. */
static __always_inline int parse_exthdrs(struct pkt *p, const struct cursor *c, __u32 *off, __u8 *next)
{
	for (int i = 0; i <= MAX_EXTHDRS; i++) {
		struct exthdr_wire *h;
		__u8 this = *next;

		switch (this) {
		case IP6_HOPOPTS: case IP6_ROUTING: case IP6_FRAGMENT: case IP6_AH: case IP6_DSTOPTS:
		case IP6_MOBILITY: case IP6_HIP: case IP6_SHIM6:
			break;
		default:
			return 0;
		}
		if (i == MAX_EXTHDRS)
			return PARSE_MANY_EXTHDRS;
		h = at(c, *off, sizeof(*h));
		if (!h)
			return cut(c, *off, sizeof(*h), PARSE_SHORT_EXTHDR);
		*next = h->nexthdr;
		p->flags |= PKT_OPTIONS;
		if (this == IP6_FRAGMENT) {
			*off += sizeof(*h);
			/* an "atomic" fragment is a whole packet (RFC 6946) */
			if (h->frag_off & bpf_htons(0xfff9)) {
				p->flags |= PKT_FRAGMENT;
				p->frag_id = h->frag_id;
			}
			if (h->frag_off & bpf_htons(0xfff8)) {
				p->flags |= PKT_LATER_FRAGMENT;
				return 0;
			}
		} else if (this == IP6_AH) {
			*off += (h->len + 2) * 4;
		} else {
			*off += (h->len + 1) * 8;
		}
		if (*off > c->limit)
			return PARSE_SHORT_EXTHDR;
	}
	return 0;
}

/* The packet quoted by an ICMP error at `off`: addresses, protocol and, where it was no later fragment, ports (RFC 792 promises eight
 * bytes behind its IP header). */
static __always_inline int parse_quote(struct quote *q, const struct cursor *c, __u32 off, __u8 family)
{
	struct udp_wire *l4;

	q->sport = q->dport = 0;
	q->family = family;
	if (family == 4) {
		struct ipv4_wire *ip = at(c, off, sizeof(*ip));
		__u32 ihl;

		if (!ip)
			return cut(c, off, sizeof(*ip), PARSE_SHORT_QUOTE);
		ihl = (ip->version_ihl & 15) * 4;
		if (ip->version_ihl >> 4 != 4 || ihl < sizeof(*ip))
			return PARSE_BAD_IPV4;
		q->saddr.w[0] = 0;
		q->saddr.w[1] = 0;
		q->daddr.w[0] = 0;
		q->daddr.w[1] = 0;
		q->saddr.v4 = ip->saddr;
		q->daddr.v4 = ip->daddr;
		q->proto = ip->proto;
		if (ip->frag_off & bpf_htons(0x1fff))
			return 0;
		off += ihl;
	} else {
		struct ipv6_wire *ip = at(c, off, sizeof(*ip));
		struct pkt inner = {};
		int err;

		if (!ip)
			return cut(c, off, sizeof(*ip), PARSE_SHORT_QUOTE);
		if ((ip->version_class_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
			return PARSE_BAD_IPV6;
		__builtin_memcpy(&q->saddr, ip->saddr, 16);
		__builtin_memcpy(&q->daddr, ip->daddr, 16);
		q->proto = ip->nexthdr;
		off += sizeof(*ip);
		err = parse_exthdrs(&inner, c, &off, &q->proto);
		if (err)
			return err == PARSE_SHORT_EXTHDR ? PARSE_SHORT_QUOTE : err;
		if (inner.flags & PKT_LATER_FRAGMENT)
			return 0;
	}
	if (q->proto != IP_TCP && q->proto != IP_UDP && q->proto != IP_SCTP)
		return 0;
	l4 = at(c, off, sizeof(*l4));
	if (!l4)
		return cut(c, off, sizeof(*l4), PARSE_SHORT_QUOTE);
	q->sport = l4->sport;
	q->dport = l4->dport;
	return 0;
}

/* Rare and with many paths: functions of their own to the verifier, which goes through them once and not once for each way that leads to them.
 * Below Linux 6.5 it would not come to an end otherwise. Packet pointers do not go along, so they begin at the context. */
static __always_inline struct cursor cursor_again(PARSE_CONTEXT *ctx, const struct pkt *p)
{
	return (struct cursor){ (void *)(long)ctx->data, (void *)(long)ctx->data_end, p->l3 + p->total };
}

__noinline int parse_exthdrs_apart(PARSE_CONTEXT *ctx, struct pkt *p)
{
	struct cursor c;
	__u32 off;
	int err;

	if (!p)
		return PARSE_NONLINEAR;
	c = cursor_again(ctx, p);
	off = p->l3 + sizeof(struct ipv6_wire);
	err = parse_exthdrs(p, &c, &off, &p->proto);
	p->l4 = off;
	return err;
}

__noinline int parse_quote_apart(PARSE_CONTEXT *ctx, const struct pkt *p, struct quote *q)
{
	struct cursor c;

	if (!p || !q)
		return PARSE_NONLINEAR;
	c = cursor_again(ctx, p);
	return parse_quote(q, &c, p->payload, p->family);
}

static __always_inline int parse_icmp(PARSE_CONTEXT *ctx, struct pkt *p, struct quote *q, const struct cursor *c)
{
	struct icmp_wire *h = at(c, p->l4, sizeof(*h));
	__u8 echo = p->family == 4 ? 8 : 128, reply = p->family == 4 ? 0 : 129;

	if (!h)
		return cut(c, p->l4, sizeof(*h), PARSE_SHORT_ICMP);
	p->flags |= PKT_ICMP;
	p->icmp_type = h->type;
	p->icmp_code = h->code;
	p->payload = p->l4 + sizeof(*h);
	if (h->type == echo || h->type == reply)
		p->sport = p->dport = h->id;
	if (!icmp_quotes(p->family, h->type))
		return 0;
	p->flags |= PKT_QUOTE;
	return parse_quote_apart(ctx, p, q);
}

static __always_inline int parse_l4(PARSE_CONTEXT *ctx, struct pkt *p, struct quote *q, const struct cursor *c)
{
	__u32 off = p->l4;

	if (p->proto == IP_TCP) {
		struct tcp_wire *h = at(c, off, sizeof(*h));
		__u32 size;

		if (!h)
			return cut(c, off, sizeof(*h), PARSE_SHORT_TCP);
		size = h->doff >> 4 << 2;
		if (size < sizeof(*h))
			return PARSE_BAD_TCP;
		if (off + size > c->limit)
			return PARSE_SHORT_TCP;
		p->tcp_flags = h->flags;
		p->sport = h->sport;
		p->dport = h->dport;
		p->payload = off + size;
		p->flags |= PKT_PORTS;
	} else if (p->proto == IP_UDP) {
		struct udp_wire *h = at(c, off, sizeof(*h));

		if (!h)
			return cut(c, off, sizeof(*h), PARSE_SHORT_UDP);
		p->sport = h->sport;
		p->dport = h->dport;
		p->payload = off + sizeof(*h);
		p->flags |= PKT_PORTS;
	} else if (p->proto == IP_SCTP) {
		struct sctp_wire *h = at(c, off, sizeof(*h));

		if (!h)
			return cut(c, off, sizeof(*h), PARSE_SHORT_SCTP);
		p->sport = h->sport;
		p->dport = h->dport;
		p->payload = off + sizeof(*h);
		p->flags |= PKT_PORTS;
	} else if (p->proto == (p->family == 4 ? IP_ICMP : IP_ICMPV6)) {
		return parse_icmp(ctx, p, q, c);
	}
	return 0;
}

static __always_inline int parse_ipv4(struct pkt *p, struct cursor *c)
{
	struct ipv4_wire *ip = at(c, p->l3, sizeof(*ip));
	__u32 ihl, total;

	if (!ip)
		return cut(c, p->l3, sizeof(*ip), PARSE_SHORT_IPV4);
	ihl = (ip->version_ihl & 15) * 4;
	total = bpf_ntohs(ip->tot_len);
	if (!total && p->packets > 1)	/* a GSO skb beyond 64 KiB (kernel: net/ipv4/ip_output.c, BIG TCP) */
		total = p->frame_len - p->l3;
	if (ip->version_ihl >> 4 != 4 || ihl < sizeof(*ip) || total < ihl)
		return PARSE_BAD_IPV4;
	if (p->l3 + total > p->frame_len)
		return PARSE_SHORT_IPV4;
	c->limit = p->l3 + total;
	p->family = 4;
	p->ip_bytes = p->total = total;
	p->tos = ip->tos;
	p->proto = ip->proto;
	p->saddr.v4 = ip->saddr;
	p->daddr.v4 = ip->daddr;
	p->l4 = p->l3 + ihl;
	if (ihl > sizeof(*ip))
		p->flags |= PKT_OPTIONS;
	if (ip->frag_off & bpf_htons(0x3fff)) {
		p->flags |= PKT_FRAGMENT;
		p->frag_id = ip->id;
		if (ip->frag_off & bpf_htons(0x1fff))
			p->flags |= PKT_LATER_FRAGMENT;
	}
	return 0;
}

static __always_inline int parse_ipv6(PARSE_CONTEXT *ctx, struct pkt *p, struct cursor *c)
{
	struct ipv6_wire *ip = at(c, p->l3, sizeof(*ip));
	__u32 total;

	if (!ip)
		return cut(c, p->l3, sizeof(*ip), PARSE_SHORT_IPV6);
	if ((ip->version_class_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
		return PARSE_BAD_IPV6;
	total = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (!ip->payload_len && ip->nexthdr == IP6_HOPOPTS)	/* jumbogram (RFC 2675), BIG TCP */
		total = p->frame_len - p->l3;
	if (p->l3 + total > p->frame_len)
		return PARSE_SHORT_IPV6;
	c->limit = p->l3 + total;
	p->family = 6;
	p->ip_bytes = p->total = total;
	p->tos = bpf_ntohl(ip->version_class_flow) >> 20;
	p->proto = ip->nexthdr;
	addr6(&p->saddr, ip->saddr);
	addr6(&p->daddr, ip->daddr);
	p->l4 = p->l3 + sizeof(*ip);
	return p->proto == IP_TCP || p->proto == IP_UDP ? 0 : parse_exthdrs_apart(ctx, p);
}

/* Ethernet and VLAN tags, then whatever stands behind them. p is all zero but frame_len, len and packets; on return 0 or an enum
 * reason. q is written when PKT_QUOTE is set. Headers must be readable between the context's data and data_end; a frame may be longer. */
static __always_inline int parse(PARSE_CONTEXT *ctx, struct pkt *p, struct quote *q)
{
	struct cursor c = { (void *)(long)ctx->data, (void *)(long)ctx->data_end, p->frame_len };
	struct ether_wire *eth = at(&c, 0, sizeof(*eth));
	__be16 type;
	int err;

	if (!eth)
		return cut(&c, 0, sizeof(*eth), PARSE_SHORT_ETHERNET);
	type = p->ether_type = eth->type;
	p->l3 = sizeof(*eth);
#pragma unroll
	for (int i = 0; i < MAX_VLANS; i++) {
		struct vlan_wire *tag;

		if (!is_vlan(type))
			break;
		tag = at(&c, p->l3, sizeof(*tag));
		if (!tag)
			return cut(&c, p->l3, sizeof(*tag), PARSE_SHORT_VLAN);
		if (!i)
			p->vlan_id = bpf_ntohs(tag->tci) & 0xfff;
		p->vlans = i + 1;
		p->l3 += sizeof(*tag);
		type = tag->type;
	}
	p->l3_type = type;
	if (type == bpf_htons(ETH_P_IP)) {
		err = parse_ipv4(p, &c);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		err = parse_ipv6(ctx, p, &c);
	} else if (type == bpf_htons(ETH_P_ARP)) {
		return at(&c, p->l3, sizeof(struct arp_wire)) ? 0 : cut(&c, p->l3, sizeof(struct arp_wire), PARSE_SHORT_ARP);
	} else {
		return 0;
	}
	if (err || p->flags & PKT_LATER_FRAGMENT)
		return err;
	return parse_l4(ctx, p, q, &c);
}

/* What nearly all packets are: no VLAN tag, no option, no fragment, TCP or UDP. p is written a word at a time, each once: what a program stores it waits for at its next locked
 * instruction. Everything parse() would say otherwise about is left to it: then -1, and p is not written. */
struct plain {			/* the part that differs by family */
	__u32 family, l4, total;
	__u64 proto, tos;
};

/* The families share none of this: their offsets are numbers in the code. */
static __always_inline int parse_plain_l4(struct pkt *p, const void *data, __u32 len, __u32 packets, struct plain n)
{
	const struct tcp_wire *tcp = data + n.l4;
	const __u32 l3 = sizeof(struct ether_wire);
	const __u64 type = n.family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u64 flags = PKT_PORTS, size = sizeof(struct udp_wire);

	if (n.proto == IP_TCP) {
		size = (tcp->doff & 0xf0) >> 2;
		if (size < sizeof(*tcp))
			return -1;
		flags |= (__u64)tcp->flags << 8;
	} else if (n.proto != IP_UDP) {
		return -1;
	}
	if (n.l4 - l3 + size > n.total || l3 + n.total > len)
		return -1;
	PKT_WORD(p, len) = len | (__u64)n.total << 32;
	PKT_WORD(p, packets) = packets | (__u64)len << 32;
	PKT_WORD(p, total) = n.total;
	PKT_WORD(p, l3) = (l3 | n.l4 << 16 | (__u64)n.l4 << 32 | type << 48) + (size << 32);
	PKT_WORD(p, l3_type) = type | (__u64)n.family << 40 | n.proto << 48 | n.tos << 56;
	PKT_WORD(p, flags) = flags | (__u64)*(const __u32 *)tcp << 32;
	PKT_WORD(p, rule) = PKT_WORD(p, reason) = 0;
	return 0;
}

static __always_inline int parse_plain(PARSE_CONTEXT *ctx, struct pkt *p, __u32 len, __u32 packets)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ether_wire *eth = data;
	struct ipv4_wire *ip4 = data + sizeof(*eth);
	struct ipv6_wire *ip6 = data + sizeof(*eth);

	if (data + sizeof(*eth) + sizeof(*ip4) + sizeof(struct tcp_wire) > end)
		return -1;
	if (eth->type == bpf_htons(ETH_P_IP)) {
		struct plain n = { 4, sizeof(*eth) + sizeof(*ip4), bpf_ntohs(ip4->tot_len), ip4->proto, ip4->tos };

		if (ip4->version_ihl != 0x45 || ip4->frag_off & bpf_htons(0x3fff) || parse_plain_l4(p, data, len, packets, n))
			return -1;
		p->saddr.w[0] = ip4->saddr;
		p->daddr.w[0] = ip4->daddr;
		p->saddr.w[1] = p->daddr.w[1] = 0;
		return 0;
	}
	if (eth->type == bpf_htons(ETH_P_IPV6) && data + sizeof(*eth) + sizeof(*ip6) + sizeof(struct tcp_wire) <= end) {
		__u32 first = bpf_ntohl(ip6->version_class_flow);
		struct plain n = { 6, sizeof(*eth) + sizeof(*ip6), sizeof(*ip6) + bpf_ntohs(ip6->payload_len), ip6->nexthdr, first >> 20 & 255 };

		if (first >> 28 != 6 || parse_plain_l4(p, data, len, packets, n))
			return -1;
		addr6(&p->saddr, ip6->saddr);
		addr6(&p->daddr, ip6->daddr);
		return 0;
	}
	return -1;
}

/* Any frame of `len` bytes, which stands for `packets` on the wire; p and q need not be anything before. 0 or an enum reason. */
static __always_inline int parse_any(PARSE_CONTEXT *ctx, struct pkt *p, struct quote *q, __u32 len, __u32 packets)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->frame_len = p->len = len;
	p->packets = packets;
	return parse(ctx, p, q);
}

static __always_inline int parse_frame(PARSE_CONTEXT *ctx, struct pkt *p, struct quote *q, __u32 len, __u32 packets)
{
	return parse_plain(ctx, p, len, packets) ? parse_any(ctx, p, q, len, packets) : 0;
}
