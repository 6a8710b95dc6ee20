/* SPDX-License-Identifier: GPL-2.0 */
/* reason: why a packet was dropped, and how a packet that was not is accounted. One X-list each feeds the kernel's counters and
 * the words of ctl. X(symbol, name, explanation). Append only: the numbers are indices of a pinned map. */
#pragma once

/* Malformed packets are dropped: the host's own stack would drop them, and a filter must not be asked to guess. */
#define PARSE_REASONS(X) \
	X(PARSE_SHORT_ETHERNET, "short-ethernet", "frame ends inside the Ethernet header") \
	X(PARSE_SHORT_VLAN, "short-vlan", "frame ends inside a VLAN tag") \
	X(PARSE_SHORT_ARP, "short-arp", "frame ends inside an ARP packet") \
	X(PARSE_SHORT_IPV4, "short-ipv4", "frame ends inside the IPv4 header or before its total length") \
	X(PARSE_BAD_IPV4, "bad-ipv4", "IPv4 version, header length or total length is impossible") \
	X(PARSE_SHORT_IPV6, "short-ipv6", "frame ends inside the IPv6 header or before its payload length") \
	X(PARSE_BAD_IPV6, "bad-ipv6", "IPv6 version is not 6") \
	X(PARSE_SHORT_EXTHDR, "short-exthdr", "packet ends inside an IPv6 extension header") \
	X(PARSE_MANY_EXTHDRS, "many-exthdrs", "more than eight IPv6 extension headers") \
	X(PARSE_SHORT_TCP, "short-tcp", "packet ends inside the TCP header") \
	X(PARSE_BAD_TCP, "bad-tcp", "TCP data offset is below five") \
	X(PARSE_SHORT_UDP, "short-udp", "packet ends inside the UDP header") \
	X(PARSE_SHORT_SCTP, "short-sctp", "packet ends inside the SCTP header") \
	X(PARSE_SHORT_ICMP, "short-icmp", "packet ends inside the ICMP or ICMPv6 header") \
	X(PARSE_SHORT_QUOTE, "short-quote", "ICMP error ends inside the packet it quotes") \
	X(PARSE_NONLINEAR, "nonlinear", "headers lie outside the part of the frame that XDP can read")

#define DROP_REASONS(X) \
	X(DROP_RULE, "rule", "a rule said drop") \
	X(DROP_POLICY, "policy", "no rule decided and the chain's policy is drop") \
	X(DROP_NO_BACKEND, "no-backend", "the service has no backend that takes new flows") \
	X(DROP_ORPHAN_FRAGMENT, "orphan-fragment", "fragment of a service's datagram whose first fragment was not seen") \
	X(DROP_NO_ROUTE, "no-route", "no route to the backend") \
	X(DROP_FORWARDING_OFF, "forwarding-off", "ip forwarding is off on the ingress interface, so the kernel gives no route") \
	X(DROP_NOT_ON_LINK, "not-on-link", "forward l2 needs a backend on a directly attached network; its route goes by a gateway") \
	X(DROP_NO_NEIGHBOUR, "no-neighbour", "the next hop's MAC is unknown and the frame cannot be handed to tc to ask for it") \
	X(DROP_TOO_BIG, "too-big", "the encapsulated packet exceeds the MTU of the route") \
	X(DROP_ENCAP, "encap", "no room for the outer header") \
	X(DROP_DECAP, "decap", "an outer header could not be removed") \
	X(DROP_INTERNAL, "internal", "a table of the datapath is missing: a defect") \
	X(DROP_REJECT, "reject", "a rule said reject, which tells the sender where it may be told")

/* What a packet that goes on is booked under. Exactly one of these or of the drop reasons is counted per packet. */
#define PASS_REASONS(X) \
	X(PASS_FLOW, "flow", "counted in a flow") \
	X(PASS_NOT_IP, "not-ip", "no IP packet: ARP and other protocols have no flow") \
	X(PASS_TABLE_FULL, "table-full", "its place in the flow table holds younger or established flows only") \
	X(PASS_INSERT_LIMIT, "insert-limit", "this CPU's budget for new flows was spent") \
	X(PASS_NO_FLOWS, "no-flows", "the interface was attached with --no-flows")

#define REASON_ENUM(sym, name, text) sym,
enum reason { REASON_NONE, PARSE_REASONS(REASON_ENUM) DROP_REASONS(REASON_ENUM) REASON_DROP_END };
enum pass_reason { PASS_REASONS(REASON_ENUM) PASS_COUNT };
#undef REASON_ENUM

/* What happens to the packet. NEXT only between stages: the next stage decides. */
enum verdict { NEXT, PASS, TX, REDIRECT, DROP };
