/* SPDX-License-Identifier: GPL-2.0-only */
/* flow: entries of the flow table as reports want them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "../maps/flow.h"

struct flow_view {
	int family;			/* 4 or 6 */
	uint8_t proto;
	uint8_t src[16], dst[16];	/* network order; src opened the flow */
	uint16_t sport, dport;		/* host order; ICMP echo: the identifier; 0 where there are none */
	uint16_t vlan;
	bool fragments;			/* fragments without ports */
	uint32_t interface;		/* slot */
	uint64_t packets, bytes, reverse_packets, reverse_bytes;	/* of the wire, IP bytes */
	uint8_t flags, reverse_flags;	/* TCP flags seen */
	uint32_t first, last;		/* jiffies, low 32 bits */
	uint32_t rule, reverse_rule;	/* ids, 0: none */
	uint32_t backend;		/* slot, 0: none */
	enum flow_state state;
	uint64_t key[5];
};

/* All entries in use, in no order; entries of one flow that two CPUs opened at once are added up. *v is malloc()ed. Exit code. */
int flows_read(struct flow_view **v, size_t *n);
