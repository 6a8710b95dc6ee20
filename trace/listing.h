/* SPDX-License-Identifier: GPL-2.0 */
/* listing: iterators. At the start they take in what is open, and find the owners; later they list, sample, and find owners of
 * sockets that no process acts on. */
#pragma once
#include "state.h"

static __always_inline bool is_tcp(struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_TCP && sk->sk_type == SOCK_STREAM;
}

/* If the process gives up the file while the walk looks at it, the walk closes it, and acted() asks who had it. */
static __always_inline void note_holder(struct sock *sk, const struct session_process *p)
{
	struct session_state *s = place_find(sk).state;
	struct session_holder h = { .process = *p }, *have;
	__u64 name = name_of(sk);

	if (!any(seeding) && (!s || owner_settled(s)))
		return;
	if (s)
		h.established_ns = s->established_ns;
	have = bpf_map_lookup_elem(&session_holders, &name);
	if (have && have->established_ns == h.established_ns) {
		if (have->process.pid != p->pid)
			have->shared = 1;
		return;
	}
	if (bpf_map_update_elem(&session_holders, &name, &h, BPF_ANY))
		count(no_memory);
	else
		shared.noted++;
}

/* A connection that was accepted, by whoever has it now. */
static __always_inline void found_accepted(struct sock *sk, const struct session_process *p)
{
	struct place at = place_find(sk);
	struct session_state *s = at.state;

	if (!s || !(s->flags & SESSION_ACCEPTING) || owner_settled(s))
		return;
	s->process = *p;
	s->owner = SESSION_OWNER_FILES;
	accept_settled(sk, s, true);
}

SEC("iter/task_file")
int session_files(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	struct session_process p = {};
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
	set_process(&p, task);
	if (!any(seeding) || sk->__sk_common.skc_state != TCP_CLOSE)
		note_holder(sk, &p);
	if (any(held)) {	/* behind the note: what ends meanwhile is in one of them */
		held = bpf_sk_storage_get(&session_held, sk, 0, 0);
		if (held)
			send_held(sk, held, &p, SESSION_OWNER_FILES);
	}
	if (sends(SESSION_EVENT_ACCEPT) && any(accepting))
		found_accepted(sk, &p);
	if (any(seeding) && sk->__sk_common.skc_state == TCP_LISTEN)
		listener_add(sk, &p);
	return 0;
}

static __always_inline struct sock *listed(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;

	return skc ? (struct sock *)bpf_skc_to_tcp_sock(skc) : NULL;
}

/* The iterator holds the socket's lock: no event of it runs. */
SEC("iter/tcp")
int session_sockets(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = listed(ctx);
	struct place p;
	int state;

	if (!sk)
		return 0;
	state = sk->__sk_common.skc_state;
	if (!was_established(state) && state != TCP_SYN_SENT)
		return 0;
	p = place_find(sk);
	if (p.state) {
		owner_by_files(p.state, sk);
		return 0;
	}
	p = place_claim(sk);
	if (!p.state)
		return 0;
	if (state == TCP_SYN_SENT) {
		state_new(p.state, sk, SESSION_ACTIVE);
		owner_by_files(p.state, sk);
	} else {
		unseen(p.state, sk);
	}
	return 0;
}

/* A listener, or a session in progress, as asked for by shared.listing, put together in r. */
static __always_inline bool describe(struct session *r, struct sock *sk)
{
	int state = sk->__sk_common.skc_state;
	struct place p = {};
	struct session_state none, *s;

	r->event = state == TCP_LISTEN ? SESSION_EVENT_LISTEN : SESSION_EVENT_OPEN;
	if (!(any(listing) & 1 << r->event) || (state != TCP_LISTEN && !was_established(state)))
		return false;
	if (state != TCP_LISTEN)
		p = place_find(sk);
	s = p.state ? p.state : &none;
	none.spilled = 0;
	if (!p.state)
		state_new(s, sk, 0);
	fill(r, sk, s, (struct change){ state, state }, bpf_ktime_get_ns());
	owner_by_files(&r->state, sk);
	if (r->state.owner == SESSION_OWNER_NONE)
		owner_by_listener(&r->state, sk, r->lport);
	if (state == TCP_LISTEN) {
		r->detail[0] = sk->sk_ack_backlog;
		r->detail[1] = sk->sk_max_ack_backlog;
	}
	return wanted(r);
}

SEC("iter/tcp")
int session_list(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = listed(ctx);
	struct session *r;
	__u32 zero = 0;

	r = bpf_map_lookup_elem(&session_scratch, &zero);
	if (sk && r && describe(r, sk))
		bpf_seq_write(ctx->meta->seq, r, sizeof(*r));
	return 0;
}

/* Open sessions into the histograms. */
SEC("iter/tcp")
int session_sample(struct bpf_iter__tcp *ctx)
{
	struct sock *sk = listed(ctx);
	struct session *r;
	__u32 zero = 0;

	r = bpf_map_lookup_elem(&session_scratch, &zero);
	if (sk && r && describe(r, sk))
		hist_add(r);
	return 0;
}
