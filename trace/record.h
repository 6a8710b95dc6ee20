/* SPDX-License-Identifier: GPL-2.0 */
/* record: what a socket says about its session, put together on the stack, filtered, counted and sent. */
#pragma once
#include <linux/errno.h>
#include "hist.h"

/* How it ended, and who ended it if nobody sent a FIN before. sk_err is set before the state changes. A soft error from earlier
 * (ICMP) stays behind when FINs were exchanged all the same. */
static __always_inline void classify_end(struct session *r, int last, int error)
{
	bool fins = last == TCP_FIN_WAIT2 || last == TCP_CLOSING || last == TCP_LAST_ACK;
	__u8 closer = SESSION_CLOSER_NONE;

	switch (error) {
	case 0:			/* close with unread data or without linger, disconnect, a listener closed over it */
		r->end = fins ? SESSION_END_FIN : SESSION_END_RESET;
		closer = SESSION_CLOSER_LOCAL;
		break;
	case ECONNABORTED:	/* ss --kill */
		r->end = SESSION_END_RESET;
		closer = SESSION_CLOSER_LOCAL;
		break;
	case ECONNREFUSED:	/* of a connect */
	case ECONNRESET:
	case EPIPE:		/* a RST behind the FIN */
		r->end = SESSION_END_RESET;
		closer = SESSION_CLOSER_REMOTE;
		break;
	case ETIMEDOUT:
		r->end = SESSION_END_TIMEOUT;
		break;
	default:
		r->end = fins ? SESSION_END_FIN : SESSION_END_ERROR;
	}
	if (r->state.closer == SESSION_CLOSER_NONE)
		r->state.closer = closer;
}

static __always_inline void fill_addresses(struct session *r, struct sock *sk, struct tcp_sock *tp)
{
	__u64 *zero = (__u64 *)r->laddr;

	r->lport = tp->inet_conn.icsk_inet.inet_sport;	/* skc_num is 0 at the end */
	r->rport = sk->__sk_common.skc_dport;
	r->family = sk->__sk_common.skc_family;
	if (r->family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		struct in6_addr l = sk->__sk_common.skc_v6_rcv_saddr, a = sk->__sk_common.skc_v6_daddr;

		if (!is_mapped(&a) && !is_mapped(&l)) {
			__builtin_memcpy(r->laddr, &l, sizeof(l));
			__builtin_memcpy(r->raddr, &a, sizeof(a));
			return;
		}
		r->family = AF_INET;
		r->state.flags |= SESSION_MAPPED;
	}
	zero[0] = zero[1] = zero[2] = zero[3] = 0;
	*(__be32 *)r->laddr = sk->__sk_common.skc_rcv_saddr;
	*(__be32 *)r->raddr = sk->__sk_common.skc_daddr;
}

/* bytes_sent also counts what the host itself refused to send (a full queue, a filter) and sends again as new. The sequence numbers
 * bound it: a SYN counts in bytes_acked where this end connected, a FIN where it is known to be sent. */
static __always_inline __u64 sent(const struct tcp_sock *tp, int last, int error, __u8 flags)
{
	__u64 bytes = tp->bytes_sent - tp->bytes_retrans, most = tp->bytes_acked + (__u32)(tp->snd_nxt - tp->snd_una);

	if (flags & SESSION_ACTIVE)
		most--;
	if (last == TCP_FIN_WAIT2 || (!error && (last == TCP_CLOSING || last == TCP_LAST_ACK)))
		most--;
	return bytes < most ? bytes : most;
}

static __always_inline void fill_names(struct session *r, struct sock *sk, struct tcp_sock *tp)
{
	const struct tcp_congestion_ops *ca = tp->inet_conn.icsk_ca_ops;
	__u64 *name = (__u64 *)r->congestion;

	if (!filter.names)
		return;
	r->cgroup = bpf_core_field_exists(sk->sk_cgrp_data) ? sk->sk_cgrp_data.cgroup->kn->id : 0;
	name[0] = *(__u64 *)&ca->name[0];
	name[1] = *(__u64 *)&ca->name[8];
}

/* What a socket counts beside bytes. */
static __always_inline void fill_counts(struct session *r, struct tcp_sock *tp)
{
	r->mss = tp->mss_cache;
	r->retransmitted_bytes = tp->bytes_retrans;
	r->retransmits = tp->total_retrans;
	r->segs_out = tp->segs_out;
	r->segs_in = tp->segs_in;
	r->srtt_us = tp->srtt_us >> 3;
	r->min_rtt_us = tp->rtt_min.s[0].v;
	r->cwnd = tp->snd_cwnd;
	r->busy = tp->chrono_stat[0];
	r->rwnd_limited = tp->chrono_stat[1];
	r->sndbuf_limited = tp->chrono_stat[2];
	r->snd_wnd = tp->snd_wnd;
	r->rcv_wnd = tp->rcv_wnd;
	r->detail[0] = r->detail[1] = r->detail[2] = 0;
	r->place = 0;
}

struct change {
	int old, new;
};

/* Totals are read at the change to CLOSE: a disconnect() sets them to 0 right after. */
static __always_inline void fill(struct session *r, struct sock *sk, const struct session_state *s, struct change change, __u64 now)
{
	struct tcp_sock *tp = tcp_of(sk);
	int error = sk->sk_err;

	r->last_state = change.old;
	r->new_state = change.new;
	r->end = 0;
	if (!tp)
		return;
	r->state = *s;
	r->time_ns = now;
	r->error = error;
	r->tx_bytes = sent(tp, change.old, error, s->flags);
	r->rx_bytes = tp->bytes_received - (sk->__sk_common.skc_flags >> SOCK_DONE & 1);	/* the peer's FIN counts as one */
	r->netns = sk->__sk_common.skc_net.net->ns.inum;
	r->uid = sk->sk_uid.val;
	fill_addresses(r, sk, tp);
	fill_names(r, sk, tp);
	if (!filter.brief)
		fill_counts(r, tp);
}

/* A softirq may come in between and take the next, hence the slack. */
static __always_inline bool has_room(struct session_ring *ring, __u32 records)
{
	return *(volatile __u64 *)&ring->head + 8 - *(volatile __u64 *)&ring->tail <= records;
}

/* Room for a record in one of this CPU's rings, NULL: none. */
static __always_inline struct session_record *reserve(void)
{
	__u32 cpu = bpf_get_smp_processor_id() & (SESSION_CPUS - 1), at = cpu * (SESSION_NEAR + filter.ring), records = SESSION_NEAR;
	struct session_ring *ring = &shared.near[cpu];
	struct session_record *r;
	__u64 head;

	if (!has_room(ring, records)) {
		ring = &shared.far[cpu];
		records = filter.ring;
		at += SESSION_NEAR;
		if (!has_room(ring, records))
			return NULL;
	}
	head = __sync_fetch_and_add(&ring->head, 1);
	at += head & (records - 1);
	r = bpf_map_lookup_elem(&session_ring, &at);
	if (r)
		r->pad = head + 1;
	return r;
}

static __always_inline void count_event(enum session_event event)
{
	if (event == SESSION_EVENT_END)
		count(ended);
	else
		count(events);
}

/* Behind the record: by itself where stores stay in order; elsewhere an exchange sees to it, and waits for the record's lines. */
static __always_inline void publish(struct session_record *r)
{
	if (filter.ordered) {
		asm volatile("" ::: "memory");
		*(volatile __u64 *)&r->sequence = r->pad;
	} else {
		__sync_lock_test_and_set(&r->sequence, r->pad);
	}
}

static __always_inline void discard(struct session_record *r)
{
	r->session.event = SESSION_EVENT_COUNT;
	publish(r);
}

/* A complete record: to the reader, into a histogram, or nowhere. */
static __always_inline void finish(struct session_record *r, enum session_event event)
{
	if (!wanted(&r->session)) {
		if (event == SESSION_EVENT_END)
			count(filtered);
		discard(r);
		return;
	}
	count_event(event);
	if (filter.hist && event == SESSION_EVENT_END) {
		hist_add(&r->session);
		discard(r);
		return;
	}
	publish(r);
}

static __always_inline void lost(enum session_event event)
{
	count_event(event);
	count(lost_full);
}

static __always_inline bool sends(enum session_event event)
{
	return filter.events & 1 << event;
}

/* One record of the socket as it is. */
static __always_inline void emit(struct sock *sk, const struct session_state *s, enum session_event event, struct change change,
				 __u64 now)
{
	struct session_record *r = reserve();

	if (!r) {
		lost(event);
		return;
	}
	r->session.event = event;
	fill(&r->session, sk, s, change, now);
	if (event == SESSION_EVENT_END || event == SESSION_EVENT_FAILED)
		classify_end(&r->session, change.old, sk->sk_err);
	finish(r, event);
}
