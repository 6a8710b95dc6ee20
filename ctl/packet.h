/* SPDX-License-Identifier: GPL-2.0-only */
/* packet: a packet in one line, "tcp 192.0.2.1:1234 > 203.0.113.10:443 flags syn", and the frame that it says: headers, lengths and checksums as a
 * sender would write them. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "config.h"

enum fragment { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

struct packet_words {
	uint8_t proto;
	struct address src, dst;	/* of one family */
	bool has_ports;			/* TCP, UDP, SCTP */
	uint16_t sport, dport;
	uint8_t icmp_type, icmp_code;
	uint8_t tcp_flags;
	int vlan;			/* id, -1: no tag */
	uint16_t length;		/* of the IP packet; 0: headers alone */
	uint8_t ttl;
	enum fragment fragment;
};

enum { FRAME_MOST = 65535 + 18 };

struct frame {
	size_t n;
	uint16_t pad;			/* puts what stands behind Ethernet on words of 32 bits, as network cards do */
	uint8_t v[FRAME_MOST];
};

/* PROTOCOL SRC[:PORT] > DST[:PORT] …; EXIT_USAGE after fail(). */
int packet_parse(struct packet_words *out, const char *text);

/* EXIT_USAGE when the length asked for holds less than its headers. */
int packet_frame(struct frame *out, const struct packet_words *p);

/* Hexadecimal digits, blanks and colons between bytes. */
int frame_parse_hex(struct frame *out, const char *text);
