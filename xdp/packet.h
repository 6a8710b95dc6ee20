/* SPDX-License-Identifier: GPL-2.0 */
/* packet: what the parser found in a frame and what the stages decided about it. Offsets are from the start of the frame. */
#pragma once
#include <linux/types.h>
#include "../maps/reason.h"

union ip_addr {
	__be32 v4;
	__be32 v6[4];
	__u64 w[2];
};

/* Copies of n words, which clang would make bytes of where it knows less about alignment than we do. */
#define COPY_WORDS(to, from, n) \
	do { \
		_Pragma("unroll") for (int w_ = 0; w_ < (n); w_++) \
			((__u32 *)(to))[w_] = ((const __u32 *)(from))[w_]; \
	} while (0)

enum packet_flag {
	PKT_PORTS = 1,		/* TCP, UDP or SCTP header is there: sport and dport are ports */
	PKT_FRAGMENT = 2,	/* any fragment */
	PKT_LATER_FRAGMENT = 4,	/* not the first one: no layer 4 */
	PKT_QUOTE = 8,		/* ICMP error; quote.* tell of the packet it is about */
	PKT_ICMP = 16,		/* ICMP or ICMPv6 header is there */
	PKT_OPTIONS = 32,	/* IPv4 options or IPv6 extension headers */
};

struct quote {			/* as the packet was sent: saddr is the sender of what caused the error */
	union ip_addr saddr, daddr;
	__be16 sport, dport;	/* 0 where it had none */
	__u8 proto, family;
	__u16 pad;
};

struct beside {			/* what the hook knows beside the bytes: beside() of each hook; at XDP nothing */
	__u32 mark;
	__u32 gso_size;		/* payload bytes of a segment; 0: the skb is one packet */
	__u16 tci;		/* of a tag taken out of the bytes */
	__be16 tag_proto;
	__u8 tagged;
};

/* Words of 64 bits, each of which the parser writes at once where it can. */
struct pkt {
	__u32 len;		/* frame bytes, all segments of a GSO skb with their headers */
	__u32 ip_bytes;		/* IP bytes of the same; 0: not IP */

	__u32 packets;		/* on the wire: segments of a GSO skb, else 1 */
	__u32 frame_len;	/* bytes of this buffer, frags included */

	__u32 total;		/* IP bytes of this buffer; ip_bytes differs for GSO and for what came encapsulated */
	__be32 frag_id;		/* PKT_FRAGMENT */

	__u16 l3, l4, payload;	/* 0: none */
	__be16 ether_type;	/* outermost, as it stands behind the MAC addresses */

	__be16 l3_type;		/* behind the VLAN tags */
	__u16 vlan_id;		/* outermost tag; meaningful if vlans */
	__u8 vlans;		/* tags: 0, 1, 2 */
	__u8 family;		/* 4, 6, 0: not IP */
	__u8 proto;		/* layer 4 protocol, behind extension headers */
	__u8 tos;

	__u8 flags;		/* enum packet_flag */
	__u8 tcp_flags;
	__u8 icmp_type, icmp_code;
	__be16 sport, dport;	/* PKT_PORTS; ICMP echo: the identifier in both */

	union ip_addr saddr, daddr;

	/* the stages' part */
	__u32 rule;		/* stable id, 0: none */
	__u32 backend;		/* slot, 0: none */
	__u8 reason;		/* enum reason of a drop */
	__u8 booked;		/* enum pass_reason */
	__u8 direction;		/* in the flow */
	__u8 cacheable;		/* the rule holds for the whole direction of the flow */
	__u8 marked;		/* rules set the mark: mark.h */
	__u8 reject;		/* enum reject: the answer to a packet that is dropped */
	__u8 state;		/* enum ct_state, of chains that ask for it */
	__u8 pad;
};

#define PKT_WORD(p, member) (((word_of_pkt *)(p))[__builtin_offsetof(struct pkt, member) / 8])
typedef __u64 __attribute__((may_alias)) word_of_pkt;

_Static_assert(sizeof(struct pkt) == 96 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "whole words, the first member in the low bits");
