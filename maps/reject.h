/* SPDX-License-Identifier: GPL-2.0 */
/* reject: what the sender of a rejected packet is told. `reject_bucket`: the ICMP errors that may still be sent, one bucket for all CPUs and interfaces, as
 * the time at which it would be full again (as in limit.h); the programs change it by compare-and-swap. `reject_counts`: per CPU, the programs write. */
#pragma once
#include <linux/types.h>

#define REJECT_CODE_NONE 255

/* X(symbol, protocol, name, ICMP code, ICMPv6 code): nft's words. Their numbers stand in entries (RULE_REJECT_SHIFT): append only, 31 at most. */
#define REJECTS(X) \
	X(REJECT_TCP_RESET, "tcp", "reset", REJECT_CODE_NONE, REJECT_CODE_NONE) \
	X(REJECT_ICMP_NET, "icmp", "net-unreachable", 0, REJECT_CODE_NONE) \
	X(REJECT_ICMP_HOST, "icmp", "host-unreachable", 1, REJECT_CODE_NONE) \
	X(REJECT_ICMP_PROT, "icmp", "prot-unreachable", 2, REJECT_CODE_NONE) \
	X(REJECT_ICMP_PORT, "icmp", "port-unreachable", 3, REJECT_CODE_NONE) \
	X(REJECT_ICMP_NET_PROHIBITED, "icmp", "net-prohibited", 9, REJECT_CODE_NONE) \
	X(REJECT_ICMP_HOST_PROHIBITED, "icmp", "host-prohibited", 10, REJECT_CODE_NONE) \
	X(REJECT_ICMP_ADMIN, "icmp", "admin-prohibited", 13, REJECT_CODE_NONE) \
	X(REJECT_ICMPV6_NO_ROUTE, "icmpv6", "no-route", REJECT_CODE_NONE, 0) \
	X(REJECT_ICMPV6_ADMIN, "icmpv6", "admin-prohibited", REJECT_CODE_NONE, 1) \
	X(REJECT_ICMPV6_ADDR, "icmpv6", "addr-unreachable", REJECT_CODE_NONE, 3) \
	X(REJECT_ICMPV6_PORT, "icmpv6", "port-unreachable", REJECT_CODE_NONE, 4) \
	X(REJECT_ICMPV6_POLICY, "icmpv6", "policy-fail", REJECT_CODE_NONE, 5) \
	X(REJECT_ICMPV6_ROUTE, "icmpv6", "reject-route", REJECT_CODE_NONE, 6) \
	X(REJECT_ICMPX_NO_ROUTE, "icmpx", "no-route", 0, 0) \
	X(REJECT_ICMPX_PORT, "icmpx", "port-unreachable", 3, 4) \
	X(REJECT_ICMPX_HOST, "icmpx", "host-unreachable", 1, 3) \
	X(REJECT_ICMPX_ADMIN, "icmpx", "admin-prohibited", 13, 1)

#define REJECT_ENUM(sym, protocol, name, code4, code6) sym,
enum reject { REJECT_NONE, REJECTS(REJECT_ENUM) REJECT_COUNT };
#undef REJECT_ENUM
_Static_assert(REJECT_COUNT <= 32, "five bits of an entry");

/* ICMP errors a second, and at once: what the kernel's own icmp_msgs_per_sec and icmp_msgs_burst are. */
#define REJECT_RATE 1000
#define REJECT_BURST 50

struct reject_counts {
	__u64 resets, errors;	/* sent */
	__u64 suppressed;	/* beyond the rate */
	__u64 unanswered;	/* may not be answered: ICMP errors, RST, fragments, multicast and the like; or could not be made */
};

#ifdef __bpf__
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} reject_bucket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reject_counts);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} reject_counts SEC(".maps");
#endif
