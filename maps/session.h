/* SPDX-License-Identifier: GPL-2.0 */
/* session: a TCP socket's life as the host shows it. The state of a socket lives in the socket (sk_storage): no size limit, freed
 * with it, and cloned from a listener into the sockets it accepts. trace/session.bpf.c writes everything here, the loader reads
 * the ring and the counts on a timer. Full: a ring without room loses that record and counts it in lost_full; a socket whose
 * storage cannot be allocated is reported all the same, as one whose beginning was not seen, and counted in no_memory. */
#pragma once
#include <linux/types.h>

/* How the owner of a session is known, weakest first. From SESSION_OWNER_FILES on it is the process itself. */
#define SESSION_OWNERS(X) \
	X(NONE, "none")		/* nobody known */ \
	X(LISTENER, "listener")	/* inherited from the listening socket; no process has taken the connection */ \
	X(SHARED, "shared")	/* several processes hold the socket, none acted yet: the first of them */ \
	X(FILES, "files")	/* the one process that had it in its file table */ \
	X(PROCESS, "process")	/* it acted on the socket: connect, shutdown, close */

#define SESSION_CLOSERS(X) \
	X(NONE, "none") X(LOCAL, "local") X(REMOTE, "remote") X(BOTH, "both")

#define SESSION_ENDS(X) \
	X(FIN, "fin") X(RESET, "reset") X(TIMEOUT, "timeout") X(ERROR, "error")

#define X_OWNER(name, text) SESSION_OWNER_##name,
#define X_CLOSER(name, text) SESSION_CLOSER_##name,
#define X_END(name, text) SESSION_END_##name,
enum session_owner { SESSION_OWNERS(X_OWNER) SESSION_OWNER_COUNT };
enum session_closer { SESSION_CLOSERS(X_CLOSER) SESSION_CLOSER_COUNT };
enum session_end { SESSION_ENDS(X_END) SESSION_END_COUNT };
#undef X_OWNER
#undef X_CLOSER
#undef X_END

enum session_flag {
	SESSION_SEEDED = 1 << 0,	/* open before the trace started: its beginning was not seen, birth_ns is 0 */
	SESSION_ACTIVE = 1 << 1,	/* this end connected */
	SESSION_PASSIVE = 1 << 2,	/* this end accepted */
	SESSION_MAPPED = 1 << 3,	/* an IPv6 socket speaking IPv4; the record says AF_INET */
};

struct session_process {
	__u32 pid;		/* tgid in the first PID namespace; 0: unknown */
	char comm[16];		/* of the thread */
};

/* In each TCP socket, listeners included. Times are CLOCK_MONOTONIC, 0: not reached, or before the trace. */
struct session_state {
	__u64 birth_ns;		/* SYN sent, or the socket made for an accepted connection */
	__u64 established_ns;
	__u64 fin_ns;		/* the first FIN, of either end */
	struct session_process process;
	__u8 owner;		/* enum session_owner: how process is known */
	__u8 closer;		/* enum session_closer: who sent the first FIN, or the RST */
	__u8 flags;		/* enum session_flag */
	__u8 pad;
};

/* One ended session. bytes are payload: each byte once, whatever was retransmitted, without SYN and FIN. */
struct session {
	struct session_state state;
	__u64 end_ns;
	__u64 tx_bytes, rx_bytes, retransmitted_bytes;
	__u32 retransmits, segs_out, segs_in;	/* segments */
	__u32 srtt_us, min_rtt_us;		/* min_rtt_us ~0: no sample */
	__u32 cwnd;				/* segments */
	__u32 netns;				/* inode number */
	__u32 uid;				/* of the socket, in the first user namespace */
	__u8 laddr[16], raddr[16];		/* network order; IPv4: the first four bytes */
	__be16 lport, rport;
	__u16 family;				/* AF_INET or AF_INET6 */
	__u16 error;				/* the socket's errno at the end, 0: none */
	__u8 end;				/* enum session_end */
	__u8 last_state;			/* TCP state before CLOSE */
	__u8 pad[6];
	char congestion[16];
};

_Static_assert(sizeof(struct session_state) == 48, "charged to every socket's option memory");
_Static_assert(sizeof(struct session) == 176, "whole words, no hidden padding");

/* Which sessions to report; set before load, dead branches go. 0: any. */
struct session_filter {
	__u32 pid;
	__u32 self;		/* our own process: reading a socket by iterator takes its lock, but does not make us its owner */
	__u16 port;		/* host order, of either end */
	__u16 pad;
};

/* Added to by the programs on every CPU (atomic), never reset. Sessions in progress = opened + seeded - ended - filtered - held. */
struct session_counts {
	__u64 opened;		/* reached ESTABLISHED while we watched */
	__u64 seeded;		/* were open before */
	__u64 ended;		/* submitted to the ring or lost_full */
	__u64 filtered;		/* ended, but not asked for */
	__u64 failed;		/* never established: refused, timed out, given up */
	__u64 lost_full;	/* no room in the ring */
	__u64 no_memory;	/* a socket's storage could not be allocated */
	__u64 held;		/* ended, but waiting in session_held for its owner to show: goes up and down */
};

#define SESSION_RING_BYTES (16 << 20)	/* 91,000 records */

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct session_state);
} session_states SEC(".maps");

/* Records of accepted connections that ended before any process acted on them (a RST, a timeout). Whoever closes the socket, or
 * is found to hold it, is the owner; the record is sent then. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct session);
} session_held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SESSION_RING_BYTES);
} session_ring SEC(".maps");
#endif
