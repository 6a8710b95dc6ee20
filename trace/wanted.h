/* SPDX-License-Identifier: GPL-2.0 */
/* wanted: whether a record is one of those asked for. What was not asked for costs nothing: the filter is constant. */
#pragma once
#include "owner.h"

static __always_inline bool wanted_process(const struct session_process *p)
{
	if (filter.pid && filter.pid != p->pid)
		return false;
	for (int i = 0; filter.by_comm && i < (int)sizeof(p->comm); i++) {
		if (p->comm[i] != filter.comm[i])
			return false;
		if (!p->comm[i])
			break;
	}
	return true;
}

static __always_inline bool port_within(const volatile struct session_port_range *range, __u16 port)
{
	return range->first <= port && port <= range->last;
}

static __always_inline bool wanted_ports(const struct session *r)
{
	__u16 l = bpf_ntohs(r->lport), p = bpf_ntohs(r->rport);
	__u32 hit = 0;

	for (__u32 i = 0; i < SESSION_RANGES && i < filter.n_ports; i++) {
		const volatile struct session_port_range *range = &filter.ports[i];

		if ((range->side != SESSION_REMOTE && port_within(range, l)) || (range->side != SESSION_LOCAL && port_within(range, p)))
			hit |= 1 << range->side;
	}
	return hit == filter.need_ports;
}

static __always_inline bool address_within(const volatile struct session_prefix *p, const __u8 *address)
{
	const __u32 *a = (const __u32 *)address;

	return !(((a[0] ^ p->addr[0]) & p->mask[0]) | ((a[1] ^ p->addr[1]) & p->mask[1]) | ((a[2] ^ p->addr[2]) & p->mask[2]) |
		 ((a[3] ^ p->addr[3]) & p->mask[3]));
}

static __always_inline bool wanted_addresses(const struct session *r)
{
	__u32 hit = 0;

	for (__u32 i = 0; i < SESSION_RANGES && i < filter.n_prefixes; i++) {
		const volatile struct session_prefix *p = &filter.prefixes[i];

		if (p->family != r->family)
			continue;
		if ((p->side != SESSION_REMOTE && address_within(p, r->laddr)) || (p->side != SESSION_LOCAL && address_within(p, r->raddr)))
			hit |= 1 << p->side;
	}
	return hit == filter.need_prefixes;
}

static __always_inline __u64 duration_of(const struct session *r)
{
	return r->time_ns - (r->state.birth_ns ? r->state.birth_ns : filter.start_ns);
}

static __always_inline bool wanted(const struct session *r)
{
	if (!wanted_process(&r->state.process))
		return false;
	if ((filter.by_uid && r->uid != filter.uid) || (filter.netns && r->netns != filter.netns) ||
	    (filter.cgroup && r->cgroup != filter.cgroup))
		return false;
	if (filter.n_ports && !wanted_ports(r))
		return false;
	if (filter.n_prefixes && !wanted_addresses(r))
		return false;
	return (!filter.min_bytes || r->tx_bytes + r->rx_bytes >= filter.min_bytes) &&
	       (!filter.min_ns || duration_of(r) >= filter.min_ns);
}
