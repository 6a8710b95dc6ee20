/* SPDX-License-Identifier: GPL-2.0 */
/* state: what rules call `ct state`, from the flow table alone. Established is what has been seen in both directions, a reply to what the host
 * began included; a TCP segment that belongs to nothing known, and does not open anything, is invalid. */
#pragma once
#include "flow.h"
#include "key.h"

static __always_inline int opens(const struct pkt *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static __always_inline enum ct_state state_of_flow(const struct pkt *p, const struct flow *f)
{
	int reply = !(f->decision & FLOW_OPENER_BIT) != !p->direction;
	int both = f->packets[0] & FLOW_PACKETS_MASK && f->packets[1] & FLOW_PACKETS_MASK;

	if (p->proto != IP_TCP)
		return reply || both ? CT_ESTABLISHED : CT_NEW;
	if (opens(p))
		return both && flow_state(f, IP_TCP) != FLOW_CLOSED ? CT_ESTABLISHED : CT_NEW;
	return reply || both ? CT_ESTABLISHED : CT_INVALID;
}

static __always_inline enum ct_state state_find(const struct pkt *p, const struct flow *f)
{
	if (!has(FEATURE_FLOWS) || p->flags & PKT_LATER_FRAGMENT)
		return CT_UNTRACKED;
	if (p->flags & PKT_QUOTE)
		return flow_quoted(p) ? CT_RELATED : CT_INVALID;
	if (f)
		return state_of_flow(p, f);
	return p->proto != IP_TCP || opens(p) ? CT_NEW : CT_INVALID;
}

/* Of a packet that is IP; `f`: its flow, or NULL. To p->state, too. */
__noinline int filter_state(struct pkt *p, struct flow *f)
{
	if (!p)
		return CT_INVALID;
	p->state = state_find(p, f);
	return p->state;
}
