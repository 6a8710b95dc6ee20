/* SPDX-License-Identifier: GPL-2.0 */
/* log: packets that `log` statements and drops show to whoever follows. `log_follow`: ctl writes how long it will still read; the programs read it, and
 * zero a time that has passed (a reader that was killed). `log_ring`: the programs write, one reader at a time takes; nobody is woken, it looks on a timer.
 * `log_counts`: per CPU, the programs write. Full ring: the record is lost and counted. */
#pragma once
#include <linux/types.h>

#define LOG_BYTES 128		/* of the frame */
#define LOG_RING_BYTES (1 << 20)	/* some 5,000 records */
#define LOG_WINDOWS 8		/* a second */
#define LOG_BUDGET 1000		/* records a window and CPU, so that no flood is made worse by telling of it */

enum log_kind { LOG_STATEMENT, LOG_DROPPED };
/* What the rule said; of LOG_DROPPED always DROP. NEXT: it goes on to the rules behind. */
enum log_verdict { LOG_NEXT, LOG_ACCEPT, LOG_DROP, LOG_AUDIT, LOG_REJECT };

struct log_record {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u32 rule;		/* stable id; 0: none decided */
	__u32 frame_len;	/* bytes of the frame or skb, without a tag that stands beside them */
	__u32 packets;		/* of the wire; an skb may be many */
	__u16 slot;		/* of the interface */
	__u16 captured;		/* bytes, of what is in `bytes` */
	__u16 tci;		/* of a tag beside the bytes */
	__be16 tag_proto;
	__u8 tagged;
	__u8 kind;		/* enum log_kind */
	__u8 verdict;		/* enum log_verdict */
	__u8 reason;		/* enum reason, of LOG_DROPPED */
	__u8 hook;		/* enum hook */
	__u8 pad[7];
	__u8 bytes[LOG_BYTES];
};

_Static_assert(sizeof(struct log_record) == 40 + LOG_BYTES, "no holes");

struct log_follow {		/* CLOCK_MONOTONIC, ns; 0: nobody */
	__u64 statements_until;
	__u64 drops_until;
};

struct log_counts {
	__u64 window;		/* jiffies / (hz / LOG_WINDOWS) */
	__u64 left;		/* of its budget */
	__u64 sent;
	__u64 suppressed;	/* beyond the budget */
	__u64 lost;		/* the ring was full */
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct log_follow);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} log_follow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, LOG_RING_BYTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} log_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct log_counts);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} log_counts SEC(".maps");
#endif
