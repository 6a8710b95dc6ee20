// SPDX-License-Identifier: GPL-2.0
/* empty: programs that return at once, on the tracepoints of trace/session.bpf.c and under its names: what entering them costs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/inet_sock_set_state")
int session_change(__u64 *ctx)
{
	(void)ctx;
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int session_destroy(__u64 *ctx)
{
	(void)ctx;
	return 0;
}
