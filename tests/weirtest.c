// SPDX-License-Identifier: GPL-2.0-only
/* weirtest: what Python tests call in-process through ctypes (tests/weirtest.py). The parser of the datapath, natively compiled, behind a
 * flat ABI in host byte order; and test runs of programs that the loader has put into the kernel. Functions return 0 or more, or -errno. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/bpf.h>
#pragma GCC diagnostic ignored "-Wunknown-pragmas"	/* clang's unroll */
#include "../xdp/parse.h"

/* struct pkt and struct quote, as ctypes reads them. Ports, ids and types in host order, addresses as on the wire. */
struct weir_parsed {
	__u32 verdict;		/* enum reason, 0: well formed */
	__u32 len, ip_bytes, packets, frame_len, total, frag_id;
	__u16 l3, l4, payload, ether_type, l3_type, vlan_id, sport, dport, quote_sport, quote_dport;
	__u8 vlans, family, proto, tos, flags, tcp_flags, icmp_type, icmp_code, quote_family, quote_proto;
	__u8 pad[2];
	__u8 saddr[16], daddr[16], quote_saddr[16], quote_daddr[16];
};

#define NAME(sym, name, text) name,
static const char *const names[] = { "ok", PARSE_REASONS(NAME) };
#undef NAME

const char *weir_verdict_name(__u32 verdict)
{
	return verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : NULL;
}

#define ROOM (1u << 18)

/* A copy of n bytes behind which nothing can be read: ASan's redzone, or a page without access. ASan's copy has the alignment that network
 * cards give (NET_IP_ALIGN), so that UBSan judges the accesses as they are in the kernel. */
static void *fenced(const void *buf, __u32 n)
{
#ifdef __SANITIZE_ADDRESS__
	static char *last;

	free(last);
	last = malloc(n + 2);
	return last ? memcpy(last + 2, buf, n) : NULL;
#else
	static char *room;
	size_t page = sysconf(_SC_PAGESIZE);

	if (!room) {
		room = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (room == MAP_FAILED || mprotect(room + ROOM, page, PROT_NONE))
			abort();
	}
	return memcpy(room + ROOM - n, buf, n);
#endif
}

static void fill(struct weir_parsed *out, const struct pkt *p, const struct quote *q)
{
	*out = (struct weir_parsed){
		.len = p->len, .ip_bytes = p->ip_bytes, .packets = p->packets, .frame_len = p->frame_len, .total = p->total,
		.frag_id = p->family == 4 ? ntohs(p->frag_id) : ntohl(p->frag_id), .l3 = p->l3, .l4 = p->l4, .payload = p->payload,
		.ether_type = ntohs(p->ether_type), .l3_type = ntohs(p->l3_type), .vlan_id = p->vlan_id, .sport = ntohs(p->sport),
		.dport = ntohs(p->dport), .vlans = p->vlans, .family = p->family, .proto = p->proto, .tos = p->tos, .flags = p->flags,
		.tcp_flags = p->tcp_flags, .icmp_type = p->icmp_type, .icmp_code = p->icmp_code,
	};
	memcpy(out->saddr, &p->saddr, 16);
	memcpy(out->daddr, &p->daddr, 16);
	if (!(p->flags & PKT_QUOTE))
		return;
	out->quote_sport = ntohs(q->sport);
	out->quote_dport = ntohs(q->dport);
	out->quote_family = q->family;
	out->quote_proto = q->proto;
	memcpy(out->quote_saddr, &q->saddr, 16);
	memcpy(out->quote_daddr, &q->daddr, 16);
}

/* Parse a frame of len bytes, of which the first linear ones can be read. Returns the verdict. */
int weir_parse(const void *buf, __u32 len, __u32 linear, __u32 packets, struct weir_parsed *out)
{
	struct pkt p;
	struct quote q = {};
	struct parse_context c;
	int why;
	char *data;

	if (linear > len || linear > ROOM)
		return -EINVAL;
	data = fenced(buf, linear);
	if (!data)
		return -ENOMEM;
	c = (struct parse_context){ (unsigned long)data, (unsigned long)data + linear };
	why = parse_frame(&c, &p, &q, len, packets);
	fill(out, &p, &q);
	out->verdict = why;
	return why;
}

/* ---- programs in the kernel */

int weir_prog_by_id(__u32 id)
{
	return bpf_prog_get_fd_by_id(id);
}

/* Instructions that the verifier went through when it loaded the program. */
long weir_prog_verified(__u32 id)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id), err;

	if (fd < 0)
		return fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &size);
	close(fd);
	return err ? err : (long)info.verified_insns;
}

static int test_runs(int fd, const void *data, __u32 len, void *ctx, __u32 ctx_size, void *out, __u32 *out_len, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = data, .data_size_in = len, .data_out = out, .data_size_out = *out_len, .ctx_in = ctx,
		    .ctx_size_in = ctx_size, .repeat = repeat);

	if (bpf_prog_test_run_opts(fd, &o))
		return -errno;
	*out_len = o.data_size_out;
	return o.retval;
}

static int test_run(int fd, const void *data, __u32 len, void *ctx, __u32 ctx_size, void *out, __u32 *out_len)
{
	return test_runs(fd, data, len, ctx, ctx_size, out, out_len, 1);
}

/* The same frame many times, one behind the other. */
int weir_flood_xdp(int fd, const void *data, __u32 len, __u32 ifindex, int times)
{
	struct xdp_md ctx = { .data_end = len, .ingress_ifindex = ifindex };
	char out[2048];
	__u32 out_len = sizeof(out);

	return test_runs(fd, data, len, &ctx, sizeof(ctx), out, &out_len, times);
}

/* Run an XDP program on a frame that came in by ifindex of the caller's namespace. Returns the XDP_ action; out has the frame it left. */
int weir_run_xdp(int fd, const void *data, __u32 len, __u32 ifindex, void *out, __u32 *out_len)
{
	struct xdp_md ctx = { .data_end = len, .ingress_ifindex = ifindex };

	return test_run(fd, data, len, &ctx, sizeof(ctx), out, out_len);
}

/* The same n times on one frame, which the program leaves as it is. 0 or -errno. */
int weir_repeat_xdp(int fd, const void *data, __u32 len, __u32 ifindex, __u32 n)
{
	struct xdp_md ctx = { .data_end = len, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = data, .data_size_in = len, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = n);

	return bpf_prog_test_run_opts(fd, &o) ? -errno : 0;
}

/* Run a tc program on an skb. gso_segs 0: an ordinary one. Returns the TC_ACT_ action; *mark: before and afterwards. */
int weir_run_skb(int fd, const void *data, __u32 len, __u32 ifindex, __u32 gso_segs, __u32 gso_size, __u32 *mark, void *out,
		 __u32 *out_len)
{
	struct __sk_buff ctx = { .ifindex = ifindex, .gso_segs = gso_segs, .gso_size = gso_size, .mark = *mark };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = data, .data_size_in = len, .data_out = out, .data_size_out = *out_len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .ctx_out = &ctx, .ctx_size_out = sizeof(ctx), .repeat = 1);

	if (bpf_prog_test_run_opts(fd, &o))
		return -errno;
	*out_len = o.data_size_out;
	*mark = ctx.mark;
	return o.retval;
}

/* Move the calling thread into a network namespace. */
int weir_enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = setns(fd, CLONE_NEWNET) ? -errno : 0;
	close(fd);
	return err;
}
