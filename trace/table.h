/* SPDX-License-Identifier: GPL-2.0 */
/* table: the state of a socket, found by the socket's address. A bucket's eight addresses are one cache line, a state another; no
 * helper is called. Events of one socket come one at a time (its lock), so only different sockets race, for free places. */
#pragma once
#include "core.h"
#include <bpf/bpf_helpers.h>
#include "../maps/session.h"

const volatile struct session_filter filter = {};
struct session_shared shared = {};

/* Atomic: a softirq of another of our programs may come in between. */
#define count_more(field, n) \
	((void)__sync_fetch_and_add(&shared.counts[bpf_get_smp_processor_id() & (SESSION_CPUS - 1)].field, n))
#define count(field) count_more(field, 1)
#define any(field) (*(volatile __u64 *)&shared.field)
#define more(field) ((void)__sync_fetch_and_add(&shared.field, 1))
#define less(field) ((void)__sync_fetch_and_add(&shared.field, -1))

struct place {
	struct session_state *state;
	__u64 *sock;		/* NULL: in the socket's own storage */
};

/* A socket's name: its distance from our memory. The verifier lets nobody calculate with addresses, except for differences. */
static __always_inline __u64 name_of(struct sock *sk)
{
	return (__u64)sk - (__u64)&shared;
}

static __always_inline struct session_bucket *bucket_of(__u64 sock)
{
	__u32 at = sock * 0x9e3779b97f4a7c15 >> 32 >> (32 - filter.bucket_bits);

	return bpf_map_lookup_elem(&session_table, &at);
}

static __always_inline struct place table_find(struct session_bucket *b, __u64 sock)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < SESSION_WAYS; i++)
		if (b->sock[i] == sock)
			return (struct place){ &b->state[i], &b->sock[i] };
	return (struct place){};
}

static __always_inline struct place table_claim(struct session_bucket *b, __u64 sock)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < SESSION_WAYS; i++)
		if (!b->sock[i] && !__sync_val_compare_and_swap(&b->sock[i], 0, sock)) {
			b->state[i].spilled = 0;
			return (struct place){ &b->state[i], &b->sock[i] };
		}
	return (struct place){};
}

/* Where the state of a socket is; .state NULL: nowhere. */
static __always_inline struct place place_find(struct sock *sk)
{
	struct session_bucket *b = bucket_of(name_of(sk));
	struct place p = {};

	if (b)
		p = table_find(b, name_of(sk));
	if (!p.state && any(spilled))
		p.state = bpf_sk_storage_get(&session_spill, sk, 0, 0);
	return p;
}

/* A place for a socket that has none. What is in it is left from another socket. */
static __always_inline struct place place_claim(struct sock *sk)
{
	struct session_bucket *b = bucket_of(name_of(sk));
	struct place p = {};

	if (b)
		p = table_claim(b, name_of(sk));
	if (p.state)
		return p;
	p.state = bpf_sk_storage_get(&session_spill, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!p.state) {
		count(no_memory);
		return p;
	}
	p.state->spilled = 1;
	more(spilled);
	return p;
}

static __always_inline void place_free(struct sock *sk, struct place p)
{
	if (p.sock) {
		p.state->flags = 0;	/* what is counted in a place is of the socket that has it */
		*(volatile __u64 *)p.sock = 0;
	} else if (p.state) {
		bool session = p.state->flags & SESSION_COUNTED;

		if (bpf_sk_storage_delete(&session_spill, sk))
			return;
		less(spilled);
		if (session)
			count(spill_out);
	}
}
