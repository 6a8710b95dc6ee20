// SPDX-License-Identifier: GPL-2.0
/* Sessions: follows every TCP socket from connect or accept to CLOSE and sends one record when it ends. The state of a session
 * lives in its socket. Open sockets are taken in at the start by the iterators at the end of this file; a socket they missed is
 * taken in by its first event. Tracepoints and iterators only, so that it runs where kprobes and fentry are refused. */
#include "core.h"
#include <linux/errno.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "../maps/session.h"

#define AF_INET 2
#define AF_INET6 10

char LICENSE[] SEC("license") = "GPL";

const volatile struct session_filter filter = {};
struct session_counts counts = {};

#define count(field) ((void)__sync_fetch_and_add(&counts.field, 1))
#define uncount(field) ((void)__sync_fetch_and_add(&counts.field, -1))

/* The process that runs, NULL if it says nothing about the socket: kernel threads close files on behalf of others. */
static __always_inline struct task_struct *process_now(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->flags & PF_KTHREAD || task->tgid == filter.self ? NULL : task;
}

static __always_inline void set_process(struct session_process *p, struct task_struct *task)
{
	p->pid = task->tgid;
	bpf_get_current_comm(p->comm, sizeof(p->comm));
}

/* `current` has to do with the socket only while it holds its lock; else a softirq runs on top of somebody. */
static __always_inline bool locked_by_process(struct sock *sk)
{
	return sk->sk_lock.owned;
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_TCP && sk->sk_type == SOCK_STREAM;
}

static __always_inline bool owner_settled(const struct session_state *s)
{
	return s->owner >= SESSION_OWNER_FILES;
}

/* The process that runs acts on the socket. */
static __always_inline void acted(struct session_state *s)
{
	struct task_struct *task = process_now();

	if (!task || (s->owner == SESSION_OWNER_PROCESS && s->process.pid == task->tgid))
		return;
	set_process(&s->process, task);
	s->owner = SESSION_OWNER_PROCESS;
}

static __always_inline bool wanted_process(__u32 pid)
{
	return !filter.pid || filter.pid == pid;
}

/* How it ended, and who ended it if nobody sent a FIN before. sk_err is set before the state changes. A soft error from earlier
 * (ICMP) stays behind when FINs were exchanged all the same. */
static __always_inline void classify_end(struct session *r)
{
	bool fins = r->last_state == TCP_FIN_WAIT2 || r->last_state == TCP_CLOSING || r->last_state == TCP_LAST_ACK;
	__u8 closer = SESSION_CLOSER_NONE;

	switch (r->error) {
	case 0:			/* close with unread data or without linger, disconnect, a listener closed over it */
		r->end = fins ? SESSION_END_FIN : SESSION_END_RESET;
		closer = SESSION_CLOSER_LOCAL;
		break;
	case ECONNABORTED:	/* ss --kill */
		r->end = SESSION_END_RESET;
		closer = SESSION_CLOSER_LOCAL;
		break;
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
	__builtin_memset(r->laddr, 0, sizeof(r->laddr) + sizeof(r->raddr));
	r->lport = tp->inet_conn.icsk_inet.inet_sport;	/* skc_num is 0 by now */
	r->rport = sk->__sk_common.skc_dport;
	r->family = sk->__sk_common.skc_family;
	if (r->family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		struct in6_addr l = sk->__sk_common.skc_v6_rcv_saddr, a = sk->__sk_common.skc_v6_daddr;

		if (a.s6_addr32[0] || a.s6_addr32[1] || a.s6_addr32[2] != bpf_htonl(0xffff)) {
			__builtin_memcpy(r->laddr, &l, sizeof(l));
			__builtin_memcpy(r->raddr, &a, sizeof(a));
			return;
		}
		r->family = AF_INET;
		r->state.flags |= SESSION_MAPPED;
	}
	*(__be32 *)r->laddr = sk->__sk_common.skc_rcv_saddr;
	*(__be32 *)r->raddr = sk->__sk_common.skc_daddr;
}

/* Totals are read here, at the change to CLOSE: a disconnect() sets them to 0 right after. */
static __always_inline void fill(struct session *r, struct sock *sk, struct tcp_sock *tp, const struct session_state *s, int last)
{
	const struct tcp_congestion_ops *ca = tp->inet_conn.icsk_ca_ops;

	r->state = *s;
	r->end_ns = bpf_ktime_get_ns();
	r->retransmitted_bytes = tp->bytes_retrans;
	r->tx_bytes = tp->bytes_sent - tp->bytes_retrans;
	r->rx_bytes = tp->bytes_received - (sk->__sk_common.skc_flags >> SOCK_DONE & 1);	/* the peer's FIN counts as one */
	r->retransmits = tp->total_retrans;
	r->segs_out = tp->segs_out;
	r->segs_in = tp->segs_in;
	r->srtt_us = tp->srtt_us >> 3;
	r->min_rtt_us = tp->rtt_min.s[0].v;
	r->cwnd = tp->snd_cwnd;
	r->netns = sk->__sk_common.skc_net.net->ns.inum;
	r->uid = sk->sk_uid.val;
	fill_addresses(r, sk, tp);
	r->error = sk->sk_err;
	r->last_state = last;
	__builtin_memset(r->pad, 0, sizeof(r->pad));
	bpf_probe_read_kernel(r->congestion, sizeof(r->congestion), ca->name);
	classify_end(r);
}

/* Keep the record in the socket until its owner shows. */
static __always_inline bool hold(struct sock *sk, struct tcp_sock *tp, const struct session_state *s, int last)
{
	struct session *r = bpf_sk_storage_get(&session_held, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!r) {
		count(no_memory);
		return false;
	}
	fill(r, sk, tp, s, last);
	count(held);
	return true;
}

/* True for the one caller that takes the record out of the socket. */
static __always_inline bool take_held(struct sock *sk)
{
	if (bpf_sk_storage_delete(&session_held, sk))
		return false;
	uncount(held);
	return true;
}

/* Each way out stands apart: the verifier of 6.1 forgets that a tested ring record is not NULL. */
static __always_inline void send_held(struct sock *sk, const struct session *held, const struct session_process *p, __u8 owner)
{
	struct session *r;

	if (!wanted_process(p->pid)) {
		if (take_held(sk))
			count(filtered);
		return;
	}
	r = bpf_ringbuf_reserve(&session_ring, sizeof(*r), 0);
	if (!r) {
		if (take_held(sk)) {
			count(ended);
			count(lost_full);
		}
		return;
	}
	*r = *held;
	r->state.process = *p;
	r->state.owner = owner;
	if (!take_held(sk)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return;
	}
	count(ended);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

/* The socket is given up, or used anew, by whoever runs. */
static __always_inline void settle_held(struct sock *sk)
{
	struct session *held;
	struct session_process p = {};
	struct task_struct *task;
	__u8 owner;

	if (!*(volatile __u64 *)&counts.held)
		return;
	held = bpf_sk_storage_get(&session_held, sk, 0, 0);
	if (!held)
		return;
	task = locked_by_process(sk) ? process_now() : NULL;
	if (task) {
		set_process(&p, task);
		owner = SESSION_OWNER_PROCESS;
	} else {
		p = held->state.process;
		owner = held->state.owner;
	}
	send_held(sk, held, &p, owner);
}

static __always_inline void session_end(struct sock *sk, const struct session_state *s, int last)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct session *r;

	if (!tp)
		return;
	if (!s->established_ns && !(s->flags & SESSION_SEEDED))
		count(opened);	/* fast open: closed before the handshake was */
	if (filter.port && tp->inet_conn.icsk_inet.inet_sport != bpf_htons(filter.port) &&
	    sk->__sk_common.skc_dport != bpf_htons(filter.port)) {
		count(filtered);
		return;
	}
	/* A process holds the socket, but has done nothing to it yet that shows. */
	if (!owner_settled(s) && sk->sk_socket && hold(sk, tp, s, last))
		return;
	if (!wanted_process(s->process.pid)) {
		count(filtered);
		return;
	}
	count(ended);
	r = bpf_ringbuf_reserve(&session_ring, sizeof(*r), 0);
	if (!r) {
		count(lost_full);
		return;
	}
	fill(r, sk, tp, s, last);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);	/* waking the reader would cost ten times the rest */
}

static __always_inline void begin(struct session_state *s, enum session_flag flag)
{
	s->birth_ns = bpf_ktime_get_ns();
	s->established_ns = s->fin_ns = 0;
	s->closer = SESSION_CLOSER_NONE;
	s->flags = flag;
	s->owner = s->process.pid ? SESSION_OWNER_LISTENER : SESSION_OWNER_NONE;
}

static __always_inline void first_fin(struct session_state *s, enum session_closer closer)
{
	if (s->closer != SESSION_CLOSER_NONE)
		return;
	s->closer = closer;
	s->fin_ns = bpf_ktime_get_ns();
}

static __always_inline void follow(struct session_state *s, int old, int new)
{
	switch (new) {
	case TCP_SYN_SENT:
		begin(s, SESSION_ACTIVE);
		break;
	case TCP_SYN_RECV:
		if (old == TCP_LISTEN)	/* a copy of the listener; SYN_SENT here is a simultaneous open */
			begin(s, SESSION_PASSIVE);
		break;
	case TCP_ESTABLISHED:
		s->established_ns = bpf_ktime_get_ns();
		count(opened);
		break;
	case TCP_FIN_WAIT1:
		first_fin(s, SESSION_CLOSER_LOCAL);
		break;
	case TCP_CLOSE_WAIT:
		first_fin(s, SESSION_CLOSER_REMOTE);
		break;
	case TCP_CLOSING:		/* the FINs crossed */
		s->closer = SESSION_CLOSER_BOTH;
		break;
	}
}

static __always_inline bool was_established(int state)
{
	switch (state) {
	case TCP_ESTABLISHED: case TCP_FIN_WAIT1: case TCP_FIN_WAIT2: case TCP_CLOSE_WAIT: case TCP_LAST_ACK: case TCP_CLOSING:
		return true;
	}
	return false;
}

/* Of a socket not seen before: it was there before us, or its listener had no memory for the copy. */
static __always_inline struct session_state *take_in(struct sock *sk, int state)
{
	struct session_state *s = bpf_sk_storage_get(&session_states, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!s) {
		count(no_memory);
		return NULL;
	}
	if (was_established(state) || state == TCP_SYN_SENT) {
		s->flags = SESSION_SEEDED;
		if (was_established(state))
			count(seeded);
	}
	return s;
}

SEC("tp_btf/inet_sock_set_state")
int session_change(__u64 *ctx)	/* struct sock *, old state, new state */
{
	struct session_state *s, unseen = { .flags = SESSION_SEEDED };
	struct sock *sk = (struct sock *)ctx[0];
	int old = ctx[1], new = ctx[2];

	if (sk->sk_protocol != IPPROTO_TCP || new == TCP_FIN_WAIT2)	/* which tells nothing new */
		return 0;
	s = bpf_sk_storage_get(&session_states, sk, 0, 0);
	if (new == TCP_CLOSE) {
		if (!s) {
			s = &unseen;
			if (was_established(old))
				count(seeded);
		}
		if (old == TCP_LISTEN)
			return 0;
		/* ss --kill takes the lock without being the owner, and says so by the error. */
		if (locked_by_process(sk) && !sk->sk_err)
			acted(s);
		if (was_established(old))
			session_end(sk, s, old);
		else
			count(failed);
		return 0;
	}
	if (!s)
		s = take_in(sk, old);
	if (!s)
		return 0;
	if (old == TCP_CLOSE)
		settle_held(sk);
	follow(s, old, new);
	if (new != TCP_SYN_RECV && locked_by_process(sk))
		acted(s);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int session_destroy(__u64 *ctx)	/* struct sock * */
{
	settle_held((struct sock *)ctx[0]);
	return 0;
}

/* At the start: every socket in a file table and its owner. Later: the owners of sessions that are held. */
SEC("iter/task_file")
int session_files(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	struct session_process p = {};
	struct session_state *s;
	struct session *held;
	struct socket *socket;
	struct sock *sk;

	if (!file || !task)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !is_tcp(sk))
		return 0;
	p.pid = task->tgid;
	bpf_probe_read_kernel_str(p.comm, sizeof(p.comm), task->comm);
	held = *(volatile __u64 *)&counts.held ? bpf_sk_storage_get(&session_held, sk, 0, 0) : NULL;
	if (held)
		send_held(sk, held, &p, SESSION_OWNER_FILES);
	if (sk->__sk_common.skc_state == TCP_CLOSE)
		return 0;
	s = bpf_sk_storage_get(&session_states, sk, 0, 0);
	if (!s)
		s = take_in(sk, sk->__sk_common.skc_state);
	if (!s || s->owner == SESSION_OWNER_PROCESS || s->owner == SESSION_OWNER_SHARED)
		return 0;
	if (s->owner == SESSION_OWNER_FILES && s->process.pid != p.pid) {
		s->owner = SESSION_OWNER_SHARED;
		return 0;
	}
	s->process = p;
	s->owner = SESSION_OWNER_FILES;
	return 0;
}

/* At the start, in each network namespace: sockets without a file, not yet accepted or already closed by their process. */
SEC("iter/tcp")
int session_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	if (!bpf_sk_storage_get(&session_states, tp, 0, 0))
		take_in((struct sock *)tp, skc->skc_state);
	return 0;
}
