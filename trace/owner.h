/* SPDX-License-Identifier: GPL-2.0 */
/* owner: the process that a session belongs to. */
#pragma once
#include "table.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

extern void *bpf_rdonly_cast(void *obj, __u32 btf_id) __ksym __weak;

/* A call that costs nothing since Linux 6.2; before, a helper. */
static __always_inline struct tcp_sock *tcp_of(struct sock *sk)
{
	if (filter.casts)
		return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
	return bpf_skc_to_tcp_sock(sk);
}

/* `current` has to do with the socket only while it holds its lock; else a softirq runs on top of somebody. */
static __always_inline bool locked_by_process(struct sock *sk)
{
	return sk->sk_lock.owned;
}

/* Walks file tables as we do; a file that its process gives up meanwhile is closed by the walk. */
static __always_inline bool is_weirctl(struct task_struct *task)
{
	static const union {
		char text[8];
		__u64 word;
	} name = { "weirctl" };

	return *(__u64 *)&task->comm[0] == name.word;
}

/* The process that runs, NULL if it says nothing about the socket: kernel threads close files on behalf of others. */
static __always_inline struct task_struct *process_now(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->flags & PF_KTHREAD || task->tgid == filter.self || is_weirctl(task) ? NULL : task;
}

static __always_inline void set_process(struct session_process *p, struct task_struct *task)
{
	__u32 *to = (__u32 *)p->comm;
	__u64 low = *(__u64 *)&task->comm[0], high = *(__u64 *)&task->comm[8];

	p->pid = task->tgid;
	to[0] = low;
	to[1] = low >> 32;
	to[2] = high;
	to[3] = high >> 32;
}

static __always_inline bool owner_settled(const struct session_state *s)
{
	return s->owner >= SESSION_OWNER_FILES;
}

/* Who has the socket, or had it, as the walk through the file tables sees it. */
static __always_inline void owner_by_files(struct session_state *s, struct sock *sk)
{
	__u64 name = name_of(sk);
	struct session_holder *h = bpf_map_lookup_elem(&session_holders, &name);

	if (!h || owner_settled(s) || (h->established_ns && h->established_ns != s->established_ns))
		return;
	s->process = h->process;
	s->owner = h->shared ? SESSION_OWNER_SHARED : SESSION_OWNER_FILES;
}

/* The process that runs acts on the socket, or one does on behalf of a process that gave it up. */
static __always_inline void acted(struct session_state *s, struct sock *sk)
{
	struct task_struct *task = process_now();

	if (!task) {
		owner_by_files(s, sk);
		return;
	}
	if (s->owner == SESSION_OWNER_PROCESS && s->process.pid == task->tgid)
		return;
	set_process(&s->process, task);
	s->owner = SESSION_OWNER_PROCESS;
}

static __always_inline bool is_mapped(const struct in6_addr *a)
{
	return !a->s6_addr32[0] && !a->s6_addr32[1] && a->s6_addr32[2] == bpf_htonl(0xffff);
}

static __always_inline void listener_key(struct session_listener *key, struct sock *sk, __be16 port, bool any)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->netns = sk->__sk_common.skc_net.net->ns.inum;
	key->port = port;
	key->family = sk->__sk_common.skc_family;
	if (any)
		return;
	if (key->family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_rcv_saddr)) {
		struct in6_addr a = sk->__sk_common.skc_v6_rcv_saddr;

		__builtin_memcpy(key->addr, &a, sizeof(a));
	} else {
		*(__be32 *)key->addr = sk->__sk_common.skc_rcv_saddr;
	}
}

/* The socket is a listener of this process. */
static __always_inline void listener_add(struct sock *sk, const struct session_process *p)
{
	struct session_listener key;

	/* listen() without bind() has no port yet */
	if (BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_reuseport) || !sk->__sk_common.skc_num) {
		struct session_process *heir = bpf_sk_storage_get(&session_heirs, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

		if (heir)
			*heir = *p;
		else
			count(no_memory);
		return;
	}
	listener_key(&key, sk, bpf_htons(sk->__sk_common.skc_num), false);
	if (bpf_map_update_elem(&session_listen, &key, p, BPF_ANY))
		count(no_memory);
}

static __always_inline void listener_remove(struct sock *sk, __be16 port)
{
	struct session_listener key;

	if (BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_reuseport))
		return;
	listener_key(&key, sk, port, false);
	bpf_map_delete_elem(&session_listen, &key);
}

/* Who listened for the connection: asked only when no process has acted on it. */
static __always_inline void owner_by_listener(struct session_state *s, struct sock *sk, __be16 port)
{
	struct session_process *p = bpf_sk_storage_get(&session_heirs, sk, 0, 0);
	struct session_listener key;

	if (!p) {
		listener_key(&key, sk, port, false);
		p = bpf_map_lookup_elem(&session_listen, &key);
	}
	if (!p) {
		listener_key(&key, sk, port, true);
		p = bpf_map_lookup_elem(&session_listen, &key);
	}
	if (!p)
		return;
	s->process = *p;
	s->owner = SESSION_OWNER_LISTENER;
}
