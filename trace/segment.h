/* SPDX-License-Identifier: GPL-2.0 */
/* segment: what happens to single segments of sessions: sent again, dropped by this kernel. Loaded only when asked for. */
#pragma once
#include "listing.h"

enum { SKB_DROP_REASON_NOT_SPECIFIED = 2 };	/* include/net/dropreason-core.h */

struct headers {
	__u8 network[40];
	__u8 tcp[16];
};

static __always_inline void state_of(struct session_state *s, struct sock *sk)
{
	struct place p = place_find(sk);

	s->spilled = 0;
	if (p.state)
		*s = *p.state;
	else
		state_new(s, sk, 0);
}

SEC("tp_btf/tcp_retransmit_skb")
int segment_again(__u64 *ctx)	/* const struct sock *, const struct sk_buff * */
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	struct session_record *r = reserve();
	int state = sk->__sk_common.skc_state;
	struct session_state s;

	if (!r) {
		lost(SESSION_EVENT_RETRANSMIT);
		return 0;
	}
	state_of(&s, sk);
	r->session.event = SESSION_EVENT_RETRANSMIT;
	fill(&r->session, sk, &s, (struct change){ state, state }, bpf_ktime_get_ns());
	if (r->session.state.owner == SESSION_OWNER_NONE)
		owner_by_listener(&r->session.state, sk, r->session.lport);
	r->session.detail[0] = *(__u32 *)&skb->cb[0];
	r->session.detail[1] = *(__u32 *)&skb->cb[4] - *(__u32 *)&skb->cb[0];
	finish(r, SESSION_EVENT_RETRANSMIT);
	return 0;
}

/* The SYN-ACK of a connection that is no socket yet. */
SEC("tp_btf/tcp_retransmit_synack")
int segment_synack(__u64 *ctx)	/* const struct sock *, const struct request_sock * */
{
	struct sock *listener = (struct sock *)ctx[0];
	struct request_sock *req = (struct request_sock *)ctx[1];
	struct session_record *r = reserve();
	struct session_state s;
	__u64 *zero;

	if (!r) {
		lost(SESSION_EVENT_RETRANSMIT);
		return 0;
	}
	s.spilled = 0;
	state_new(&s, listener, SESSION_PASSIVE);
	r->session.event = SESSION_EVENT_RETRANSMIT;
	fill(&r->session, listener, &s, (struct change){ TCP_SYN_RECV, TCP_SYN_RECV }, bpf_ktime_get_ns());
	owner_by_listener(&r->session.state, listener, bpf_htons(listener->__sk_common.skc_num));
	r->session.rport = req->__req_common.skc_dport;
	r->session.retransmits = req->num_retrans + 1;
	zero = (__u64 *)r->session.laddr;
	zero[0] = zero[1] = zero[2] = zero[3] = 0;
	r->session.family = req->__req_common.skc_family;
	if (r->session.family == AF_INET6) {
		struct in6_addr l = req->__req_common.skc_v6_rcv_saddr, a = req->__req_common.skc_v6_daddr;

		__builtin_memcpy(r->session.laddr, &l, sizeof(l));
		__builtin_memcpy(r->session.raddr, &a, sizeof(a));
	} else {
		*(__be32 *)r->session.laddr = req->__req_common.skc_rcv_saddr;
		*(__be32 *)r->session.raddr = req->__req_common.skc_daddr;
	}
	finish(r, SESSION_EVENT_RETRANSMIT);
	return 0;
}

/* Addresses as the segment has them: source as local, destination as remote. False: not TCP. */
static __always_inline bool parse_segment(struct session *r, struct sk_buff *skb)
{
	const unsigned char *at = skb->head + skb->network_header;
	struct headers h;
	__u32 skip;

	if (skb->network_header == (__u16)~0)
		return false;
	if (skb->protocol == bpf_htons(0x0800)) {
		if (bpf_probe_read_kernel(h.network, 20, at) || h.network[9] != IPPROTO_TCP || h.network[0] >> 4 != 4)
			return false;
		r->family = AF_INET;
		__builtin_memcpy(r->laddr, h.network + 12, 4);
		__builtin_memcpy(r->raddr, h.network + 16, 4);
		skip = (h.network[0] & 15) * 4;
	} else if (skb->protocol == bpf_htons(0x86dd)) {
		if (bpf_probe_read_kernel(h.network, 40, at) || h.network[6] != IPPROTO_TCP)
			return false;
		r->family = AF_INET6;
		__builtin_memcpy(r->laddr, h.network + 8, 16);
		__builtin_memcpy(r->raddr, h.network + 24, 16);
		skip = 40;
	} else {
		return false;
	}
	if (bpf_probe_read_kernel(h.tcp, sizeof(h.tcp), at + skip))
		return false;
	r->lport = *(__be16 *)h.tcp;
	r->rport = *(__be16 *)(h.tcp + 2);
	r->detail[1] = bpf_ntohl(*(__be32 *)(h.tcp + 4));
	r->detail[2] = h.tcp[13];
	return true;
}

static __always_inline void swap_ends(struct session *r)
{
	__u64 *l = (__u64 *)r->laddr, *a = (__u64 *)r->raddr, low = l[0], high = l[1];
	__be16 port = r->lport;

	l[0] = a[0];
	l[1] = a[1];
	a[0] = low;
	a[1] = high;
	r->lport = r->rport;
	r->rport = port;
}

/* The socket that a dropped segment was for, or came from; NULL: not told. */
static __always_inline struct sock *dropped_by(__u64 *ctx, struct sk_buff *skb)
{
	struct sock *sk = filter.drop_sk ? (struct sock *)ctx[3] : NULL;

	return sk ? sk : skb->sk;
}

/* Received, unless the socket sends to where it goes. */
static __always_inline void fill_drop(struct session *r, struct sk_buff *skb, struct sock *sk)
{
	struct net_device *dev = skb->dev;

	if (sk && sk->__sk_common.skc_dport == r->rport && sk->__sk_common.skc_num == bpf_ntohs(r->lport)) {
		r->last_state = sk->__sk_common.skc_state;
	} else {
		swap_ends(r);
		if (sk && sk->__sk_common.skc_num == bpf_ntohs(r->lport))
			r->last_state = sk->__sk_common.skc_state;
	}
	r->new_state = r->last_state;
	if (sk)
		r->netns = sk->__sk_common.skc_net.net->ns.inum;
	else if (dev)
		r->netns = dev->nd_net.net->ns.inum;
}

SEC("tp_btf/kfree_skb")
int segment_drop(__u64 *ctx)	/* struct sk_buff *, void *location, reason, since 6.11 the receiving struct sock * */
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	__u32 reason = ctx[2];
	struct session_record *r;
	struct session_state s;
	struct sock *sk;

	if (!filter.drop_all && (reason == SKB_DROP_REASON_NOT_SPECIFIED || reason == filter.drop_purge))
		return 0;
	r = reserve();
	if (!r) {
		lost(SESSION_EVENT_DROP);
		return 0;
	}
	__builtin_memset(&r->session, 0, sizeof(r->session));
	if (!parse_segment(&r->session, skb)) {
		discard(r);
		return 0;
	}
	sk = dropped_by(ctx, skb);
	if (sk && is_tcp(sk) && sk->__sk_common.skc_state != TCP_TIME_WAIT && sk->__sk_common.skc_state != TCP_NEW_SYN_RECV) {
		state_of(&s, sk);
		r->session.state = s;
		r->session.uid = sk->sk_uid.val;
	} else {
		sk = NULL;
	}
	r->session.event = SESSION_EVENT_DROP;
	r->session.time_ns = bpf_ktime_get_ns();
	r->session.detail[0] = reason;
	r->session.place = ctx[1];
	fill_drop(&r->session, skb, sk);
	if (sk && !r->session.state.process.pid)
		owner_by_listener(&r->session.state, sk, r->session.lport);
	finish(r, SESSION_EVENT_DROP);
	return 0;
}
