/* SPDX-License-Identifier: GPL-2.0 */
/* session: a TCP socket's life as the host shows it. The state of a socket lives in a table probed inline by the socket's address;
 * a socket whose bucket is full keeps it in itself (sk_storage). trace/ writes everything here, the loader reads the ring on a
 * timer, the table and the counts through mmap. Full: a ring without room loses that record and counts it in lost_full; a socket
 * that finds no memory either way is reported all the same, as one whose beginning was not seen, and counted in no_memory. */
#pragma once
#include <linux/types.h>

/* How the owner of a session is known, weakest first. From SESSION_OWNER_FILES on it is the process itself. */
#define SESSION_OWNERS(X) \
	X(NONE, "none")		/* nobody known */ \
	X(LISTENER, "listener")	/* of the listening socket; no process has taken the connection */ \
	X(SHARED, "shared")	/* several processes hold the socket, none acted yet: the first of them */ \
	X(FILES, "files")	/* the one process that had it in its file table */ \
	X(PROCESS, "process")	/* it acted on the socket: connect, shutdown, close */

#define SESSION_CLOSERS(X) \
	X(NONE, "none") X(LOCAL, "local") X(REMOTE, "remote") X(BOTH, "both")

#define SESSION_ENDS(X) \
	X(FIN, "fin") X(RESET, "reset") X(TIMEOUT, "timeout") X(ERROR, "error")

/* What a record tells. */
#define SESSION_EVENTS(X) \
	X(END, "end")			/* a session ended */ \
	X(FAILED, "failed")		/* a connect that never was established */ \
	X(CONNECT, "connect")		/* a connect was established */ \
	X(ACCEPT, "accept")		/* a process has an accepted connection */ \
	X(STATE, "state")		/* any change of state */ \
	X(RETRANSMIT, "retransmit")	/* a segment was sent again */ \
	X(DROP, "drop")			/* the kernel dropped a segment */ \
	X(OPEN, "open")			/* listing: a session in progress */ \
	X(LISTEN, "listen")		/* listing: a listening socket */

#define X_OWNER(name, text) SESSION_OWNER_##name,
#define X_CLOSER(name, text) SESSION_CLOSER_##name,
#define X_END(name, text) SESSION_END_##name,
#define X_EVENT(name, text) SESSION_EVENT_##name,
enum session_owner { SESSION_OWNERS(X_OWNER) SESSION_OWNER_COUNT };
enum session_closer { SESSION_CLOSERS(X_CLOSER) SESSION_CLOSER_COUNT };
enum session_end { SESSION_ENDS(X_END) SESSION_END_COUNT };
enum session_event { SESSION_EVENTS(X_EVENT) SESSION_EVENT_COUNT };
#undef X_OWNER
#undef X_CLOSER
#undef X_END
#undef X_EVENT

enum session_flag {
	SESSION_SEEDED = 1 << 0,	/* open before the trace started: its beginning was not seen, birth_ns is 0 */
	SESSION_ACTIVE = 1 << 1,	/* this end connected */
	SESSION_PASSIVE = 1 << 2,	/* this end accepted */
	SESSION_MAPPED = 1 << 3,	/* an IPv6 socket speaking IPv4; the record says AF_INET */
	SESSION_COUNTED = 1 << 4,	/* in opened or seeded */
	SESSION_ACCEPTING = 1 << 5,	/* its ACCEPT event waits for the process that has it */
};

struct session_process {
	__u32 pid;		/* tgid in the first PID namespace; 0: unknown */
	char comm[16];		/* of the thread */
};

/* Of each TCP socket from connect or accept on: one cache line. Times are CLOCK_MONOTONIC, 0: not reached, or before the trace. */
struct session_state {
	__u64 sock;		/* the socket's address: names the session; not for output */
	__u64 birth_ns;		/* SYN sent, or received by the listener */
	__u64 established_ns;
	__u64 fin_ns;		/* the first FIN, of either end; with session_filter.fins */
	__u64 change_ns;	/* the last change of state, where those are asked for */
	struct session_process process;
	__u8 owner;		/* enum session_owner: how process is known */
	__u8 closer;		/* enum session_closer: who sent the first FIN, or the RST */
	__u8 flags;		/* enum session_flag */
	__u8 spilled;		/* it is in session_spill */
};

/* What happened to one session. bytes are payload: each byte once, whatever was retransmitted, without SYN and FIN. */
struct session {
	struct session_state state;
	__u64 time_ns;		/* of the event; SESSION_EVENT_END: the end */
	__u64 tx_bytes, rx_bytes;
	__u8 laddr[16], raddr[16];		/* network order; IPv4: the first four bytes */
	__be16 lport, rport;
	__u16 family;				/* AF_INET or AF_INET6 */
	__u16 error;				/* the socket's errno, 0: none */
	__u8 event;				/* enum session_event */
	__u8 end;				/* enum session_end */
	__u8 last_state, new_state;		/* TCP states before and after */
	__u32 netns;				/* inode number */
	__u32 uid;				/* of the socket, in the first user namespace */

	__u32 mss;				/* bytes. From here on not with session_filter.brief */
	__u64 retransmitted_bytes;
	__u64 cgroup;				/* with session_filter.names: v2 id of the cgroup the socket was made in */
	__u32 retransmits, segs_out, segs_in;	/* segments */
	__u32 srtt_us, min_rtt_us;		/* min_rtt_us ~0: no sample */
	__u32 cwnd;				/* segments */
	__u32 busy, rwnd_limited, sndbuf_limited;	/* jiffies, the first without the others */
	__u32 snd_wnd, rcv_wnd;			/* bytes; 0: closed */
	__u32 detail[3];			/* RETRANSMIT: sequence number, bytes, flags; DROP: reason; LISTEN: backlog, its limit */
	char congestion[16];			/* with session_filter.names */
	__u64 place;				/* DROP: address of the code */
};

_Static_assert(sizeof(struct session_state) == 64, "a cache line");
_Static_assert(sizeof(struct session) == 240, "whole words, no hidden padding, and half of a BPF stack");

/* Which sessions to report; set before load, dead branches go. 0: any. */
enum { SESSION_RANGES = 8 };
enum session_side { SESSION_EITHER, SESSION_LOCAL, SESSION_REMOTE, SESSION_SIDES };

struct session_port_range {
	__u16 first, last;	/* host order */
	__u8 side, pad;
};

struct session_prefix {
	__u32 addr[4], mask[4];	/* network order; IPv4: the first word */
	__u16 family;
	__u8 side, pad;
};

struct session_filter {
	__u64 start_ns;		/* CLOCK_MONOTONIC: sessions from before count from here */
	__u32 tick_ns;		/* of a jiffy */
	__u32 events;		/* 1 << enum session_event */
	__u32 self;		/* our own process: reading a socket by iterator takes its lock, but does not make us its owner */
	__u32 ring;		/* records of a CPU's far ring, a power of two */
	__u32 bucket_bits;	/* of session_table */
	__u32 pid, netns;
	__u32 uid;
	__u8 by_uid, by_comm;
	__u8 hist, hist_by;	/* enum hist_value, enum hist_key */
	__u8 hist_bits;		/* of addresses */
	__u8 casts;		/* the kernel has bpf_rdonly_cast() */
	__u8 drop_sk;		/* kfree_skb() tells the receiving socket */
	__u8 drop_all;		/* also drops without a reason */
	__u8 names;		/* congestion and cgroup, which are behind pointers, are wanted */
	__u8 fins;		/* fin_ns, which takes a clock of its own, is wanted */
	__u8 ordered;		/* this machine keeps stores in order */
	__u8 brief;		/* what a socket counts beside bytes is not wanted */
	__u32 drop_purge;	/* the reason of emptying a queue at close: no drop */
	char comm[16];
	__u64 cgroup, min_bytes, min_ns;
	__u32 n_ports, n_prefixes;
	__u32 need_ports, need_prefixes;	/* 1 << enum session_side: one of each side named must match */
	struct session_port_range ports[SESSION_RANGES];
	struct session_prefix prefixes[SESSION_RANGES];
};

/* A line of them per CPU (`cpu & (SESSION_CPUS - 1)`), added to atomically, never reset:
 * opened + seeded = ended + filtered + lost_missed + held + open, where open are those of the table and of `spilled`. */
struct session_counts {
	__u64 opened;		/* reached ESTABLISHED while we watched */
	__u64 seeded;		/* were open before */
	__u64 ended;		/* submitted to the ring or lost_full */
	__u64 filtered;		/* ended, but not asked for */
	__u64 failed;		/* connects that never were established */
	__u64 events;		/* records of other kinds submitted or lost_full */
	__u64 lost_full;	/* no room in the ring */
	__u64 lost_missed;	/* the end of a socket went unseen: it is gone, or its address is used anew */
	__u64 late;		/* ended seen when the socket was destroyed: the kernel had left the program out */
	__u64 no_memory;	/* a socket's state could not be kept */
	__u64 spill_in, spill_out;	/* sessions that went to sk_storage, and left it */
	__u64 held_in, held_out;	/* ended, waiting in session_held for their owner to show; gone from there */
	__u64 hist_full;	/* not in a histogram: no room for its key */
	__u64 pad;
};

enum {
	SESSION_CPUS = 256,
	SESSION_WAYS = 8,
	SESSION_BUCKET_BITS = 14,	/* unless told otherwise: 131,072 sockets, 9.4 MB */
	SESSION_LISTENERS = 65536,
	SESSION_NEAR = 1024,		/* records of a near ring, a power of two: 256 KB */
};

struct session_bucket {
	__u64 sock[SESSION_WAYS];	/* whose state[]; 0: free. Claimed by compare-and-swap */
	struct session_state state[SESSION_WAYS];
};

/* Whom a connection belongs to that nobody accepted. */
struct session_listener {
	__u32 netns;
	__be16 port;		/* as the socket has it */
	__u16 family;
	__u8 addr[16];		/* IPv4: the first four bytes; 0: any */
};

/* Records on their way to the reader: two rings for each CPU in session_ring, from `cpu * (SESSION_NEAR + session_filter.ring)` on. The
 * near one stays in the CPU's cache while the reader keeps up; the far one is for when it is full. The programs move head, fill the record
 * and publish it by its sequence, head + 1; the reader moves tail behind it. */
struct session_record {
	__u64 sequence;
	__u64 pad;			/* sequence to be */
	struct session session;		/* event SESSION_EVENT_COUNT: nothing, go on */
};

struct session_ring {
	__u64 head, tail;
	__u64 pad[6];
};

/* Shared memory of the programs and the loader (.bss). */
struct session_shared {
	struct session_counts counts[SESSION_CPUS];
	struct session_ring near[SESSION_CPUS], far[SESSION_CPUS];
	__u64 held, spilled;	/* now: held_in - held_out, sockets in session_spill; read on the way of each event */
	__u64 accepting;	/* sockets with SESSION_ACCEPTING */
	__u64 seeding;		/* the loader's: note owners of all sockets */
	__u64 listing;		/* the loader's: what session_list gives, 1 << enum session_event */
	__u64 stopping;		/* the loader's: what ended unseen will be told by nobody */
	__u64 spill_gone;	/* the loader's, taken by session_gone: sessions of session_spill that ended unseen */
	__u64 spill_stays;	/* session_stays': sessions in session_spill; set to 0 by the loader before */
	__u64 here;		/* session_gone's: its own address */
	__u64 noted;		/* session_files': put into session_holders; set to 0 by the loader */
};

/* During a walk through the file tables: who has a socket there. While seeding all of them, else those in a session without an owner;
 * the loader forgets them after the walk. */
struct session_holder {
	struct session_process process;
	__u32 shared;		/* several processes have it */
	__u64 established_ns;	/* of the session; 0: any, its beginning was not seen */
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* 1 << session_filter.bucket_bits: set before load */
	__type(key, __u32);
	__type(value, struct session_bucket);
} session_table SEC(".maps");

/* State of sockets whose bucket was full. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct session_state);
} session_spill SEC(".maps");

/* Records of accepted connections that ended before any process acted on them (a RST, a timeout). Whoever closes the socket, or
 * is found to hold it, is the owner; the record is sent then. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct session);
} session_held SEC(".maps");

/* Who listens. Listeners that share a port (SO_REUSEPORT) cannot be told apart by it: those have the owner in the socket, and
 * hand it to what they accept. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SESSION_LISTENERS);
	__type(key, struct session_listener);
	__type(value, struct session_process);
} session_listen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct session_process);
} session_heirs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, __u64);
	__type(value, struct session_holder);
} session_holders SEC(".maps");

/* Where iterators put a record together; one reads at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct session);
} session_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* SESSION_NEAR + session_filter.ring for each CPU: set before load */
	__type(key, __u32);
	__type(value, struct session_record);
} session_ring SEC(".maps");
#endif
