/* SPDX-License-Identifier: GPL-2.0 */
/* core: the few kernel types the tracing programs look into, fields they use only. The loader relocates each access to the
 * running kernel's layout (CO-RE), so order, offsets and enclosing unions do not matter here; names and types do. */
#pragma once
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/in6.h>
#include <stdbool.h>

#define AF_INET 2
#define AF_INET6 10
#define PF_KTHREAD 0x00200000	/* include/linux/sched.h */

enum sock_type { SOCK_STREAM = 1 };	/* include/linux/net.h */

enum tcp_state {		/* include/net/tcp_states.h */
	TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE, TCP_CLOSE_WAIT,
	TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING, TCP_NEW_SYN_RECV,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

enum sock_flags { SOCK_DONE = 1 };

struct ns_common { unsigned int inum; };
struct net { struct ns_common ns; };
typedef struct { struct net *net; } possible_net_t;
typedef struct { unsigned int val; } kuid_t;
typedef struct { int owned; } socket_lock_t;

typedef struct { int counter; } atomic_t;
typedef struct refcount_struct { atomic_t refs; } refcount_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuseport:1;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
	refcount_t skc_refcnt;
};

struct socket;
struct kernfs_node { __u64 id; };
struct cgroup { struct kernfs_node *kn; };
struct sock_cgroup_data { struct cgroup *cgroup; };

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	int sk_err;
	struct socket *sk_socket;
	kuid_t sk_uid;
	struct sock_cgroup_data sk_cgrp_data;
	__u32 sk_ack_backlog, sk_max_ack_backlog;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct socket { struct sock *sk; };

struct request_sock {
	struct sock_common __req_common;
	__u8 num_retrans;
};

struct tcp_congestion_ops { char name[16]; };

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const struct tcp_congestion_ops *icsk_ca_ops;
};

struct minmax_sample { __u32 t, v; };
struct minmax { struct minmax_sample s[3]; };

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_sent, bytes_retrans, bytes_received, bytes_acked;
	__u32 snd_una, snd_nxt;
	__u32 total_retrans;
	__u32 segs_in, segs_out;
	__u32 srtt_us;		/* eighths of a microsecond */
	__u32 snd_cwnd;
	__u32 snd_wnd, rcv_wnd, mss_cache;
	__u32 chrono_stat[3];	/* jiffies: busy, limited by the peer's window, limited by the send buffer */
	__u64 tcp_clock_cache;	/* CLOCK_MONOTONIC in ns, of the last packet or timer */
	struct minmax rtt_min;
};

struct net_device { possible_net_t nd_net; };

struct sk_buff {
	struct sock *sk;
	struct net_device *dev;
	char cb[48];
	__be16 protocol;
	__u16 network_header;
	unsigned char *head;
};

struct file;

struct task_struct {
	unsigned int flags;
	__u32 tgid;
	char comm[16];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *key, *value;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct sock *sk;
	void *value;
};

#pragma clang attribute pop
