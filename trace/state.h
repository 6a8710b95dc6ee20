/* SPDX-License-Identifier: GPL-2.0 */
/* state: a session's state from its beginning, seen or not. */
#pragma once
#include "held.h"

static __always_inline bool was_established(int state)
{
	switch (state) {
	case TCP_ESTABLISHED: case TCP_FIN_WAIT1: case TCP_FIN_WAIT2: case TCP_CLOSE_WAIT: case TCP_LAST_ACK: case TCP_CLOSING:
		return true;
	}
	return false;
}

static __always_inline void state_new(struct session_state *s, struct sock *sk, __u8 flags)
{
	s->sock = name_of(sk);
	s->birth_ns = s->established_ns = s->fin_ns = s->change_ns = 0;
	s->process.pid = 0;
	s->process.comm[0] = 0;
	s->owner = SESSION_OWNER_NONE;
	s->closer = SESSION_CLOSER_NONE;
	s->flags = flags;
}

/* What was in a place when its socket begins anew: the end was missed. */
static __always_inline void check_left(const struct session_state *s)
{
	if (s->flags & SESSION_COUNTED) {
		count(lost_missed);
		if (s->spilled)
			count(spill_out);
	}
	if (s->flags & SESSION_ACCEPTING)
		less(accepting);
}

static __always_inline void opened(struct session_state *s)
{
	if (s->flags & SESSION_COUNTED)
		return;
	s->flags |= SESSION_COUNTED;
	count(opened);
	if (s->spilled)
		count(spill_in);
}

/* A socket whose beginning was not seen. */
static __always_inline void unseen(struct session_state *s, struct sock *sk)
{
	state_new(s, sk, SESSION_SEEDED | SESSION_COUNTED);
	count(seeded);
	if (s->spilled)
		count(spill_in);
	owner_by_files(s, sk);
}
