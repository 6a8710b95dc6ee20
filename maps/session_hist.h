/* SPDX-License-Identifier: GPL-2.0 */
/* session_hist: histograms of sessions, put together where they end or are sampled. The programs add atomically, the loader
 * reads at the end or between samples. Full: a session of a further key counts in session_counts.hist_full. */
#pragma once
#include <linux/types.h>

#define HIST_VALUES(X) \
	X(NONE, "") X(DURATION, "duration") X(BYTES, "bytes") X(TX, "tx") X(RX, "rx") X(RTT, "rtt")

#define HIST_KEYS(X) \
	X(ALL, "all") X(COMM, "comm") X(PID, "pid") X(UID, "uid") X(NETNS, "netns") X(CGROUP, "cgroup") \
	X(PORT, "port")			/* the server's */ \
	X(LPORT, "lport") X(RPORT, "rport") X(LADDR, "laddr") X(RADDR, "raddr") \
	X(SERVICE, "service")		/* the server's address and port */

#define X_VALUE(name, text) HIST_##name,
#define X_KEY(name, text) HIST_BY_##name,
enum hist_value { HIST_VALUES(X_VALUE) HIST_VALUE_COUNT };
enum hist_key { HIST_KEYS(X_KEY) HIST_KEY_COUNT };
#undef X_VALUE
#undef X_KEY

struct session_hist_key {
	__u8 bytes[16];		/* of an address, masked; a comm */
	__u64 number;		/* of all others; with an address its port, host order */
	__u32 family;
	__u32 pad;
};

struct session_hist {
	__u64 count, sum;
	__u64 slots[64];	/* [n]: 2^n <= value < 2^(n+1), 0 in the first; ns, bytes, us */
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct session_hist_key);
	__type(value, struct session_hist);
} session_hists SEC(".maps");

/* What a new key starts from. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct session_hist);
} session_hist_zero SEC(".maps");
#endif
