/* SPDX-License-Identifier: GPL-2.0 */
/* field: what rules may ask of a packet beyond what the parser keeps: rest of the IP header, options, extension headers, bits by their place,
 * what the hook knows beside the bytes. Read only where a rule of the chain in force asks (FIELDS_READ), so it costs nobody else. What lies
 * beyond the packet is absent, and matches nothing. Functions of their own to the verifier; packet pointers do not go along. */
#pragma once
#include "../maps/rule.h"
#include "key.h"
#include "parse.h"

#define FIELD_OPTION_BYTES 40	/* of IPv4 and of TCP at most */

/* Of a GSO skb: bytes up to the end of its first segment, as the wire will carry it, from `from` on. */
static __always_inline __u32 first_segment(const struct pkt *p, const struct beside *b, __u32 from, __u32 whole)
{
	__u32 end = p->payload + b->gso_size;

	return p->packets > 1 && b->gso_size && p->payload > from && end - from < whole ? end - from : whole;
}

/* Behind the Ethernet header and the outermost tag, as nft counts. */
static __always_inline __u32 field_length(const struct pkt *p, const struct beside *b)
{
	__u32 from = sizeof(struct ether_wire) + (p->vlans && !b->tagged ? sizeof(struct vlan_wire) : 0);

	return first_segment(p, b, from, p->frame_len - from);
}

static __always_inline void field_ip(struct filter_key *k, const struct pkt *p, const struct cursor *c, const struct beside *b)
{
	if (p->family == 4) {
		struct ipv4_wire *ip = at(c, p->l3, sizeof(*ip));

		if (!ip)
			return;
		filter_set(k, FIELD_TTL, 0, ip->ttl);
		filter_set(k, FIELD_FRAG_OFF, 0, bpf_ntohs(ip->frag_off));
		filter_set(k, FIELD_IP_LENGTH, 0, first_segment(p, b, p->l3, bpf_ntohs(ip->tot_len)));
	} else {
		struct ipv6_wire *ip = at(c, p->l3, sizeof(*ip));

		if (!ip)
			return;
		filter_set(k, FIELD_TTL, 0, ip->hop_limit);
		filter_set(k, FIELD_NEXTHDR, 0, ip->nexthdr);
		filter_set(k, FIELD_IP_LENGTH, 0, first_segment(p, b, p->l3 + sizeof(*ip), bpf_ntohs(ip->payload_len)));
	}
	filter_set(k, FIELD_TOS, 0, p->tos);
}

/* Bits by number: looked up in memory, since a switch would be a path each to the verifier. */
static const __u8 exthdr_bit[256] = {
	[IP6_HOPOPTS] = EXTHDR_HBH, [IP6_ROUTING] = EXTHDR_RT, [IP6_FRAGMENT] = EXTHDR_FRAG, [IP6_DSTOPTS] = EXTHDR_DST,
	[IP6_MOBILITY] = EXTHDR_MH,
};

static const __u8 option_bit[2][256] = {
	{ [131] = IP_OPTION_LSRR, [7] = IP_OPTION_RR, [137] = IP_OPTION_SSRR, [148] = IP_OPTION_RA },
	{ [2] = TCP_OPTION_MAXSEG, [3] = TCP_OPTION_WINDOW, [4] = TCP_OPTION_SACK_PERM, [5] = TCP_OPTION_SACK, [8] = TCP_OPTION_TIMESTAMP,
	  [19] = TCP_OPTION_MD5SIG, [30] = TCP_OPTION_MPTCP, [34] = TCP_OPTION_FASTOPEN },
};

static __always_inline __u32 field_off(struct filter_key *k)
{
	return *(volatile __u32 *)&k->off;
}

/* The chain that the parser has walked already, so it is known to end. */
static __always_inline void field_exthdrs(struct filter_key *k, const struct pkt *p, const struct cursor *c)
{
	struct ipv6_wire *ip = at(c, p->l3, sizeof(*ip));

	if (!ip)
		return;
	k->off = p->l3 + sizeof(struct ipv6_wire);
	k->byte[0] = ip->nexthdr;
	k->lo[FIELD_OPTIONS] = 0;
	for (int i = 0; i < MAX_EXTHDRS && p->flags & PKT_OPTIONS && field_off(k) < p->l4; i++) {
		struct exthdr_wire *h = at(c, field_off(k), sizeof(*h));
		__u8 this = *(volatile __u8 *)k->byte;

		if (!h)
			return;
		k->lo[FIELD_OPTIONS] |= exthdr_bit[this];
		k->off += this == IP6_FRAGMENT ? sizeof(*h) : this == IP6_AH ? (h->len + 2) * 4 : (h->len + 1) * 8;
		k->byte[0] = h->nexthdr;
	}
	k->present |= 1ull << FIELD_OPTIONS;
}

/* One option at k->off: 0 to go on, 1 when the list ends, -1 when it cannot be read. IPv4's and TCP's have one form: 0 ends, 1 is one byte, all
 * others have their length (RFC 791, 9293). One that does not fit ends the list, as it does for the host's stack. */
static __always_inline int field_option(struct filter_key *k, const struct cursor *c, __u32 end, int tcp)
{
	__u32 off = field_off(k), field = tcp ? FIELD_TCP_OPTIONS : FIELD_OPTIONS;
	__u8 *o;

	if (off >= end)
		return 1;
	o = at(c, off, 1);
	if (!o)
		return -1;
	if (*o == 1) {
		k->off = off + 1;
		return 0;
	}
	if (*o == 0 || off + 2 > end)
		return 1;
	o = at(c, off, 2);
	if (!o)
		return -1;
	if (o[1] < 2 || off + o[1] > end)
		return 1;
	k->lo[field] |= option_bit[tcp][o[0]];
	k->off = off + o[1];
	if (!tcp || o[0] != 2 || o[1] < 4 || k->present >> FIELD_TCP_MSS & 1)
		return 0;
	o = at(c, off, 4);
	if (o)
		filter_set(k, FIELD_TCP_MSS, 0, o[2] << 8 | o[3]);
	return 0;
}

static __always_inline void field_option_list(struct filter_key *k, const struct cursor *c, __u32 off, __u32 end, int tcp)
{
	__u32 field = tcp ? FIELD_TCP_OPTIONS : FIELD_OPTIONS;

	k->off = off;
	k->lo[field] = 0;
	for (int i = 0; i <= FIELD_OPTION_BYTES; i++) {
		int done = field_option(k, c, end, tcp);

		if (done < 0)
			return;
		if (done)
			break;
	}
	k->present |= 1ull << field;
}

__noinline int field_options(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k)
{
	struct cursor c;

	if (!p || !k)
		return 0;
	c = cursor_again(ctx, p);
	if (p->family == 6)
		field_exthdrs(k, p, &c);
	else
		field_option_list(k, &c, p->l3 + sizeof(struct ipv4_wire), p->l4, 0);
	return 0;
}

__noinline int field_tcp_options(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k)
{
	struct cursor c;

	if (!p || !k)
		return 0;
	c = cursor_again(ctx, p);
	field_option_list(k, &c, p->l4 + sizeof(struct tcp_wire), p->payload, 1);
	return 0;
}

/* Where a base begins and the packet ends for it; 0: this packet has no such header. */
static __always_inline __u32 raw_start(const struct pkt *p, struct cursor *c, __u32 base)
{
	if (base == RAW_LINK || !p->family)
		c->limit = p->frame_len;
	if (base == RAW_TRANSPORT)
		return p->family && !(p->flags & PKT_LATER_FRAGMENT) ? p->l4 : 0;
	return p->l3;
}

/* A byte of the frame as it was on the wire, counted from its start; -1: not there. At tc the outermost tag may stand beside the bytes. */
static __always_inline int raw_byte(const struct cursor *c, const struct beside *b, __u64 i, int link)
{
	__u8 *byte;

	if (link && b->tagged && i >= 12) {
		if (i < 16)
			return (__u32)(bpf_ntohs(b->tag_proto) << 16 | b->tci) >> (8 * (15 - i)) & 255;
		i -= 4;
	}
	byte = at(c, i, 1);
	return byte ? *byte : -1;
}

/* The nth place that rules name: its bits as a number, big-endian as on the wire. */
__noinline int field_raw(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, __u64 n)
{
	struct filter_raw *r;
	struct beside b = {};
	struct cursor c;
	__u32 link, shift, start;
	__u64 value = 0;

	if (!p || !k)
		return 0;
	n &= FILTER_RAWS - 1;	/* the verifier of 6.1 forgets what a comparison of 32 bits has shown */
	r = &k->raw[n];
	c = cursor_again(ctx, p);
	beside(ctx, &b);
	link = r->base == RAW_LINK;
	start = raw_start(p, &c, r->base);
	if (!start)
		return 0;
	shift = r->offset & 7;
	k->off = (link ? 0 : start) + (r->offset >> 3);
	__builtin_memset(k->byte, 0, sizeof(k->byte));
	for (__u32 i = 0; i < 9 && i * 8 < shift + r->length; i++) {
		int v = raw_byte(&c, &b, field_off(k), link);

		if (v < 0)
			return 0;
		k->byte[i] = v;
		k->off++;
	}
#pragma unroll
	for (int i = 0; i < 8; i++)
		value = value << 8 | k->byte[i];
	value = value << shift | k->byte[8] >> (8 - shift);
	filter_set(k, FIELD_RAW0 + n, 0, value >> ((64 - r->length) & 63));
	return 0;
}

/* Those of `fields` that rules name by their place. */
__noinline int field_raws(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, __u64 fields)
{
	if (!p || !k)
		return 0;
#pragma unroll
	for (int n = 0; n < FILTER_RAWS; n++)
		if (fields >> (FIELD_RAW0 + n) & 1)
			field_raw(ctx, p, k, n);
	return 0;
}

/* Others of `fields` that need the packet's bytes or its hook. */
__noinline int field_read(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, __u64 fields)
{
	struct beside b = {};
	struct cursor c;

	if (!p || !k)
		return 0;
	c = cursor_again(ctx, p);
	beside(ctx, &b);
	filter_set(k, FIELD_L3_TYPE, 0, bpf_ntohs(p->l3_type));
	filter_set(k, FIELD_LENGTH, 0, field_length(p, &b));
	filter_set(k, FIELD_MARK, 0, b.mark);
	if (fields >> FIELD_RANDOM & 1)
		filter_set(k, FIELD_RANDOM, 0, bpf_get_prandom_u32());
	if (b.tagged) {
		filter_set(k, FIELD_VLAN_PCP, 0, b.tci >> 13);
	} else if (p->vlans) {
		struct vlan_wire *tag;

		c.limit = p->frame_len;
		tag = at(&c, sizeof(struct ether_wire), sizeof(*tag));
		if (tag)
			filter_set(k, FIELD_VLAN_PCP, 0, bpf_ntohs(tag->tci) >> 13);
	}
	if (p->family)
		field_ip(k, p, &c, &b);
	if (p->family && fields >> FIELD_OPTIONS & 1)
		field_options(ctx, p, k);
	if (p->proto == IP_TCP && p->flags & PKT_PORTS && fields >> FIELD_TCP_OPTIONS & 3)
		field_tcp_options(ctx, p, k);
	return 0;
}

_Static_assert(FIELD_TCP_MSS == FIELD_TCP_OPTIONS + 1, "both are read when one is asked for");
