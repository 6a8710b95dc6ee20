// SPDX-License-Identifier: GPL-2.0
/* Sessions: follows every TCP socket from connect or accept to CLOSE and sends one record when it ends. Most changes of state tell
 * nothing or little: what is not needed is not asked. Tracepoints and iterators only, so that it runs where kprobes and fentry are
 * refused. */
#include "core.h"
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "gone.h"
#include "listing.h"
#include "segment.h"

char LICENSE[] SEC("license") = "GPL";

/* connect(). Its time is wanted exactly if it fails; otherwise the first sample of the round trip tells it later. */
static __always_inline void on_syn_sent(struct sock *sk)
{
	struct place p = place_find(sk);

	settle_held(sk);
	if (p.state)
		check_left(p.state);
	else
		p = place_claim(sk);
	if (!p.state)
		return;
	state_new(p.state, sk, SESSION_ACTIVE);
	p.state->birth_ns = sends(SESSION_EVENT_FAILED) ? bpf_ktime_get_ns() : bpf_jiffies64();
	acted(p.state, sk);
}

/* When the SYN was sent, or received. A round trip sampled from a SYN that was sent again says nothing: then the exact time of connect()
 * or, to a tick, the jiffies of it. */
static __always_inline __u64 birth_of(const struct session_state *s, const struct tcp_sock *tp, __u64 now)
{
	if (tp->srtt_us && !tp->total_retrans)
		return now - (tp->srtt_us >> 3) * 1000ull;
	if (!(s->flags & SESSION_ACTIVE) || !s->birth_ns)
		return now;
	return sends(SESSION_EVENT_FAILED) ? s->birth_ns : now - (bpf_jiffies64() - s->birth_ns) * filter.tick_ns;
}

static __always_inline void on_established(struct sock *sk, struct change change)
{
	struct tcp_sock *tp = tcp_of(sk);
	struct place p = place_find(sk);
	struct session_state *s = p.state;

	if (!tp)
		return;
	if (s && (s->flags & SESSION_COUNTED || (change.old == TCP_SYN_RECV && !(s->flags & SESSION_ACTIVE)))) {
		check_left(s);
		state_new(s, sk, change.old == TCP_SYN_RECV ? SESSION_PASSIVE : SESSION_ACTIVE);
	}
	if (!s) {
		p = place_claim(sk);
		s = p.state;
		if (!s)
			return;
		state_new(s, sk, change.old == TCP_SYN_RECV ? SESSION_PASSIVE : SESSION_ACTIVE);
	}
	s->established_ns = tp->tcp_clock_cache;	/* a packet brought this */
	s->birth_ns = birth_of(s, tp, s->established_ns);
	opened(s);
	if (sends(SESSION_EVENT_CONNECT) && s->flags & SESSION_ACTIVE)
		emit(sk, s, SESSION_EVENT_CONNECT, change, s->established_ns);
	if (sends(SESSION_EVENT_ACCEPT) && s->flags & SESSION_PASSIVE) {
		s->flags |= SESSION_ACCEPTING;
		more(accepting);
	}
}

/* Of a socket with a session that has no place: it was open before us, or without memory, or (fast open) accepted by its SYN. */
static __always_inline struct session_state *take_in(struct sock *sk, int old)
{
	struct place p = place_claim(sk);

	if (!p.state)
		return NULL;
	if (old == TCP_SYN_RECV) {
		state_new(p.state, sk, SESSION_PASSIVE);
		opened(p.state);
	} else {
		unseen(p.state, sk);
	}
	return p.state;
}

static __always_inline void on_fin(struct sock *sk, struct change change)
{
	struct place p = place_find(sk);
	struct session_state *s = p.state ? p.state : take_in(sk, change.old);
	struct tcp_sock *tp;

	if (!s)
		return;
	opened(s);
	switch (change.new) {
	case TCP_CLOSE_WAIT:
		tp = tcp_of(sk);
		if (s->closer == SESSION_CLOSER_NONE && tp) {
			s->closer = SESSION_CLOSER_REMOTE;
			s->fin_ns = tp->tcp_clock_cache;
		}
		return;
	case TCP_CLOSING:		/* the FINs crossed */
		s->closer = SESSION_CLOSER_BOTH;
		return;
	case TCP_FIN_WAIT1:
		if (s->closer != SESSION_CLOSER_NONE)
			break;
		s->closer = SESSION_CLOSER_LOCAL;
		if (filter.fins)
			s->fin_ns = bpf_ktime_get_ns();
	}
	if (!locked_by_process(sk))
		return;
	acted(s, sk);
	if (sends(SESSION_EVENT_ACCEPT))
		accept_settled(sk, s, owner_settled(s));
}

/* A packet or a timer that ends a session has just set the socket's clock; a process does not. */
static __always_inline __u64 end_time(struct sock *sk, int old)
{
	struct tcp_sock *tp = tcp_of(sk);
	bool by_packet = sk->sk_err ? sk->sk_err != ECONNABORTED : old != TCP_ESTABLISHED && sk->__sk_common.skc_flags >> SOCK_DONE & 1;

	return by_packet && tp ? tp->tcp_clock_cache : bpf_ktime_get_ns();
}

static __always_inline void on_session_end(struct sock *sk, struct session_state *s, struct change change)
{
	__u64 now = end_time(sk, change.old);

	opened(s);
	/* ss --kill takes the lock without being the owner, and says so by the error. */
	if (locked_by_process(sk) && !sk->sk_err)
		acted(s, sk);
	if (!owner_settled(s)) {
		/* A process has the socket, but has done nothing to it yet that shows. */
		if (sk->sk_socket && hold(sk, s, change, now))
			return;
		if (s->owner == SESSION_OWNER_NONE) {
			struct tcp_sock *tp = tcp_of(sk);

			owner_by_listener(s, sk, tp ? tp->inet_conn.icsk_inet.inet_sport : 0);
		}
	}
	if (sends(SESSION_EVENT_ACCEPT))
		accept_settled(sk, s, owner_settled(s));
	if (sends(SESSION_EVENT_END))
		emit(sk, s, SESSION_EVENT_END, change, now);
	else
		count(filtered);
}

static __always_inline void on_close(struct sock *sk, struct change change)
{
	struct session_state none;
	struct place p;

	if (change.old == TCP_LISTEN) {
		struct tcp_sock *tp = tcp_of(sk);

		if (tp)
			listener_remove(sk, tp->inet_conn.icsk_inet.inet_sport);
		return;
	}
	p = place_find(sk);
	if (was_established(change.old)) {
		if (!p.state) {
			none.spilled = 0;
			p.state = &none;
			unseen(&none, sk);
		}
		on_session_end(sk, p.state, change);
		if (p.state != &none)
			place_free(sk, p);
		return;
	}
	if (!p.state || change.old == TCP_CLOSE)
		return;
	if (p.state->flags & SESSION_ACTIVE) {
		count(failed);
		if (sends(SESSION_EVENT_FAILED))
			emit(sk, p.state, SESSION_EVENT_FAILED, change, bpf_ktime_get_ns());
	}
	place_free(sk, p);
}

static __always_inline void on_listen(struct sock *sk)
{
	struct task_struct *task = process_now();
	struct session_process p;

	settle_held(sk);
	if (!task || !locked_by_process(sk))
		return;
	set_process(&p, task);
	listener_add(sk, &p);
}

static __always_inline void follow(struct sock *sk, struct change change)
{
	switch (change.new) {
	case TCP_FIN_WAIT2: case TCP_SYN_RECV:		/* tell nothing */
		return;
	case TCP_SYN_SENT:
		on_syn_sent(sk);
		return;
	case TCP_ESTABLISHED:
		on_established(sk, change);
		return;
	case TCP_CLOSE:
		on_close(sk, change);
		return;
	case TCP_LISTEN:
		on_listen(sk);
		return;
	}
	on_fin(sk, change);
}

/* A record of the change itself, where those are asked for; before CLOSE takes the state away. */
static __always_inline void tell(struct sock *sk, struct change change)
{
	struct place p = place_find(sk);
	struct session_state none, *s = p.state ? p.state : &none;
	__u64 now = bpf_ktime_get_ns();

	none.spilled = 0;
	if (!p.state)
		state_new(s, sk, 0);
	if (change.new != TCP_SYN_RECV && locked_by_process(sk) && !sk->sk_err)
		acted(s, sk);
	if (!s->process.pid && change.old != TCP_CLOSE)
		owner_by_listener(s, sk, bpf_htons(sk->__sk_common.skc_num));
	emit(sk, s, SESSION_EVENT_STATE, change, now);
	if (s->owner == SESSION_OWNER_LISTENER)
		s->owner = SESSION_OWNER_NONE;
	s->change_ns = now;
}

SEC("tp_btf/inet_sock_set_state")
int session_change(__u64 *ctx)	/* struct sock *, old state, new state */
{
	struct sock *sk = (struct sock *)ctx[0];
	struct change change = { ctx[1], ctx[2] };

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (!sends(SESSION_EVENT_STATE)) {
		follow(sk, change);
		return 0;
	}
	if (change.new != TCP_CLOSE)
		follow(sk, change);
	tell(sk, change);
	if (change.new == TCP_CLOSE)
		follow(sk, change);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int session_destroy(__u64 *ctx)	/* struct sock * */
{
	struct sock *sk = (struct sock *)ctx[0];
	struct place p = place_find(sk);

	settle_held(sk);
	if (!p.state)
		return 0;
	if (!sk->__sk_common.skc_dport) {	/* it never connected: of another socket at this address */
		check_left(p.state);
		place_free(sk, p);
		return 0;
	}
	/* The kernel left the program out: the end went by unseen. */
	if (p.state->flags & SESSION_COUNTED) {
		struct change change = { p.state->closer ? TCP_LAST_ACK : TCP_ESTABLISHED, TCP_CLOSE };

		count(late);
		if (p.state->owner == SESSION_OWNER_NONE && !locked_by_process(sk)) {
			struct tcp_sock *tp = tcp_of(sk);

			owner_by_listener(p.state, sk, tp ? tp->inet_conn.icsk_inet.inet_sport : 0);
		}
		if (sends(SESSION_EVENT_END))
			emit(sk, p.state, SESSION_EVENT_END, change, bpf_ktime_get_ns());
		else
			count(filtered);
	}
	if (p.state->flags & SESSION_ACCEPTING)
		less(accepting);
	place_free(sk, p);
	return 0;
}
