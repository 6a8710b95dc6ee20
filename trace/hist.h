/* SPDX-License-Identifier: GPL-2.0 */
/* hist: adds a session to the histogram of its key. */
#pragma once
#include "wanted.h"
#include "../maps/session_hist.h"

static __always_inline __u64 hist_value(const struct session *r)
{
	switch (filter.hist) {
	case HIST_DURATION:
		return duration_of(r);
	case HIST_BYTES:
		return r->tx_bytes + r->rx_bytes;
	case HIST_TX:
		return r->tx_bytes;
	case HIST_RX:
		return r->rx_bytes;
	}
	return r->srtt_us;
}

static __always_inline void key_address(struct session_hist_key *key, const struct session *r, const __u8 *address)
{
	__u32 *to = (__u32 *)key->bytes;
	int bits = filter.hist_bits;

	key->family = r->family;
	for (int i = 0; i < 4; i++, bits -= 32)
		to[i] = ((const __u32 *)address)[i] & (bits >= 32 ? ~0u : bits <= 0 ? 0 : bpf_htonl(~0u << (32 - bits)));
}

/* Of two ports of a session from before, the smaller one is taken for the server's. */
static __always_inline bool serves(const struct session *r)
{
	if (r->state.flags & (SESSION_ACTIVE | SESSION_PASSIVE))
		return r->state.flags & SESSION_PASSIVE;
	return bpf_ntohs(r->lport) < bpf_ntohs(r->rport);
}

static __always_inline void hist_key(struct session_hist_key *key, const struct session *r)
{
	switch (filter.hist_by) {
	case HIST_BY_COMM:
		__builtin_memcpy(key->bytes, r->state.process.comm, sizeof(key->bytes));
		break;
	case HIST_BY_PID:
		key->number = r->state.process.pid;
		break;
	case HIST_BY_UID:
		key->number = r->uid;
		break;
	case HIST_BY_NETNS:
		key->number = r->netns;
		break;
	case HIST_BY_CGROUP:
		key->number = r->cgroup;
		break;
	case HIST_BY_PORT:
		key->number = bpf_ntohs(serves(r) ? r->lport : r->rport);
		break;
	case HIST_BY_LPORT:
		key->number = bpf_ntohs(r->lport);
		break;
	case HIST_BY_RPORT:
		key->number = bpf_ntohs(r->rport);
		break;
	case HIST_BY_LADDR:
		key_address(key, r, r->laddr);
		break;
	case HIST_BY_RADDR:
		key_address(key, r, r->raddr);
		break;
	case HIST_BY_SERVICE:
		key_address(key, r, serves(r) ? r->laddr : r->raddr);
		key->number = bpf_ntohs(serves(r) ? r->lport : r->rport);
		break;
	}
}

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 n = 0;

#pragma clang loop unroll(full)
	for (int step = 32; step; step >>= 1)
		if (v >> step) {
			v >>= step;
			n += step;
		}
	return n;
}

static __always_inline struct session_hist *hist_of(const struct session_hist_key *key)
{
	struct session_hist *h = bpf_map_lookup_elem(&session_hists, key);
	__u32 zero = 0;

	if (h)
		return h;
	h = bpf_map_lookup_elem(&session_hist_zero, &zero);
	if (h)
		bpf_map_update_elem(&session_hists, key, h, BPF_NOEXIST);
	return bpf_map_lookup_elem(&session_hists, key);
}

static __always_inline void hist_add(const struct session *r)
{
	struct session_hist_key key = {};
	struct session_hist *h;
	__u64 v = hist_value(r);

	if (filter.hist == HIST_RTT && !v)	/* no sample was taken */
		return;
	hist_key(&key, r);
	h = hist_of(&key);
	if (!h) {
		count(hist_full);
		return;
	}
	__sync_fetch_and_add(&h->count, 1);
	__sync_fetch_and_add(&h->sum, v);
	__sync_fetch_and_add(&h->slots[log2_of(v) & 63], 1);
}
