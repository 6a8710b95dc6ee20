/* SPDX-License-Identifier: GPL-2.0 */
/* gone: sessions whose end went by unseen, since the kernel left our program out. A socket tells of its end before it is in CLOSE, and
 * telling frees its place; so what has a place in the table while its socket is in CLOSE, or no socket any more, has ended unseen. It
 * takes no walk through namespaces, some of which nobody can enter. The loader asks, by reading the iterators. */
#pragma once
#include "listing.h"

/* The memory where the socket of this name is, or was: it may be another's by now, or nobody's, which reads as 0. */
static __always_inline struct sock *socket_of(__u64 name)
{
	*(volatile __u64 *)&shared.here = (__u64)&shared;	/* an address, as a number when it is read again */
	return bpf_rdonly_cast((void *)(name + any(here)), bpf_core_type_id_kernel(struct sock));
}

/* A socket in CLOSE that a process still has tells of its late end when it is destroyed; at the stop nobody would hear. */
static __always_inline bool is_gone(struct sock *sk)
{
	return !sk->__sk_common.skc_refcnt.refs.counter || !is_tcp(sk) || (any(stopping) && sk->__sk_common.skc_state == TCP_CLOSE);
}

/* The same session as before. CLOSE is stored behind the freeing of the place, the exchange orders us likewise: what is still there after
 * CLOSE was seen stays there. */
static __always_inline bool still(struct session_bucket *b, int i, const struct session_state *was)
{
	const volatile struct session_state *s = &b->state[i];

	return __sync_val_compare_and_swap(&b->sock[i], was->sock, was->sock) == was->sock && s->flags == was->flags &&
	       s->established_ns == was->established_ns && s->fin_ns == was->fin_ns;
}

static __always_inline void check_place(struct session_bucket *b, int i)
{
	__u64 sock = *(volatile __u64 *)&b->sock[i];
	struct session_state was;

	if (!sock)
		return;
	was = b->state[i];
	was.sock = sock;
	if (!is_gone(socket_of(sock)) || !still(b, i, &was))
		return;
	b->state[i].flags = 0;
	if (__sync_val_compare_and_swap(&b->sock[i], sock, 0) == sock)
		check_left(&was);
}

/* Those of session_spill went with their sockets; the loader has found how many. */
static __always_inline void forget_spilled(void)
{
	__u64 n = __sync_lock_test_and_set(&shared.spill_gone, 0);

	if (!n)
		return;
	__sync_fetch_and_add(&shared.spilled, -n);
	count_more(spill_out, n);
	count_more(lost_missed, n);
}

SEC("iter/bpf_map_elem")
int session_gone(struct bpf_iter__bpf_map_elem *ctx)
{
	struct session_bucket *b;
	__u32 *key = ctx->key, at;

	if (!key)
		return 0;
	at = *key;
	if (!at)
		forget_spilled();
	b = bpf_map_lookup_elem(&session_table, &at);
	if (!b)
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < SESSION_WAYS; i++)
		check_place(b, i);
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int session_stays(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	const struct session_state *s = ctx->value;
	struct sock *sk = ctx->sk;

	if (sk && s && s->flags & SESSION_COUNTED && !(any(stopping) && sk->__sk_common.skc_state == TCP_CLOSE))
		shared.spill_stays++;
	return 0;
}
