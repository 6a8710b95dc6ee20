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

/* Sets FIELD_CT_STATE. `f`: the packet's flow, or NULL. */
__noinline int state_read(struct pkt *p, struct filter_key *k, struct flow *f)
{
	enum ct_state s;

	if (!p || !k || !p->family)
		return 0;
	if (!has(FEATURE_FLOWS) || p->flags & PKT_LATER_FRAGMENT)
		s = CT_UNTRACKED;
	else if (p->flags & PKT_QUOTE)
		s = flow_quoted(p) ? CT_RELATED : CT_INVALID;
	else if (f)
		s = state_of_flow(p, f);
	else
		s = p->proto != IP_TCP || opens(p) ? CT_NEW : CT_INVALID;
	filter_set(k, FIELD_CT_STATE, 0, s);
	if (s != CT_ESTABLISHED)
		k->cacheable = 0;
	return 0;
}
