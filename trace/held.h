/* SPDX-License-Identifier: GPL-2.0 */
/* held: sessions that ended under a process which has not acted on them yet. Their records wait in their sockets for it. */
#pragma once
#include "record.h"

/* An ACCEPT event waits for the process; now it is known, or nobody took the connection. */
static __always_inline void accept_settled(struct sock *sk, struct session_state *s, bool taken)
{
	struct change none = { TCP_ESTABLISHED, TCP_ESTABLISHED };

	if (!(s->flags & SESSION_ACCEPTING))
		return;
	s->flags &= ~SESSION_ACCEPTING;
	less(accepting);
	if (taken)
		emit(sk, s, SESSION_EVENT_ACCEPT, none, s->established_ns);
}

static __always_inline bool hold(struct sock *sk, const struct session_state *s, struct change change, __u64 now)
{
	struct session *r = bpf_sk_storage_get(&session_held, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!r) {
		count(no_memory);
		return false;
	}
	r->event = SESSION_EVENT_END;
	fill(r, sk, s, change, now);
	classify_end(r, change.old, sk->sk_err);
	more(held);
	count(held_in);
	return true;
}

/* True for the one caller that takes the record out of the socket. */
static __always_inline bool take_held(struct sock *sk)
{
	if (bpf_sk_storage_delete(&session_held, sk))
		return false;
	less(held);
	count(held_out);
	return true;
}

static __always_inline void copy_record(struct session *to, const struct session *from)
{
#pragma clang loop unroll(full)
	for (unsigned int i = 0; i < sizeof(*to) / 8; i++)
		((volatile __u64 *)to)[i] = ((const __u64 *)from)[i];
}

static __always_inline void send_held(struct sock *sk, struct session *held, const struct session_process *p, __u8 owner)
{
	struct session_record *r;

	held->state.process = *p;
	held->state.owner = owner;
	if (sends(SESSION_EVENT_ACCEPT))
		accept_settled(sk, &held->state, owner >= SESSION_OWNER_SHARED);
	if (!sends(SESSION_EVENT_END)) {
		if (take_held(sk))
			count(filtered);
		return;
	}
	r = reserve();
	if (!r) {
		if (take_held(sk))
			lost(SESSION_EVENT_END);
		return;
	}
	copy_record(&r->session, held);
	if (take_held(sk))
		finish(r, SESSION_EVENT_END);
	else
		discard(r);
}

/* The socket is given up, or used anew, by whoever runs. */
static __always_inline void settle_held(struct sock *sk)
{
	struct session *held;
	struct session_process p = {};
	struct task_struct *task;

	if (!any(held))
		return;
	held = bpf_sk_storage_get(&session_held, sk, 0, 0);
	if (!held)
		return;
	task = locked_by_process(sk) ? process_now() : NULL;
	if (task) {
		set_process(&p, task);
		send_held(sk, held, &p, SESSION_OWNER_PROCESS);
		return;
	}
	owner_by_files(&held->state, sk);
	if (held->state.owner == SESSION_OWNER_NONE)	/* a process closed it before taking it: the listener did */
		owner_by_listener(&held->state, sk, held->lport);
	p = held->state.process;
	send_held(sk, held, &p, held->state.owner);
}
