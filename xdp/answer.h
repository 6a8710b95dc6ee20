/* SPDX-License-Identifier: GPL-2.0 */
/* answer: what the sender of a rejected packet is told, put together in per-CPU memory and written over the packet by what the
 * hook has for that (xdp/reject.h, tc/reject.h). It runs when all else is done with the packet, called by the program itself: the calls that
 * decide leave no stack. Sources: RFC 9293 3.10.7, RFC 1122 3.2.2, RFC 1812 4.3.2, RFC 4443 2.4; net/ipv4/netfilter/nf_reject_ipv4.c of Linux. */
#pragma once
#include "../maps/reject.h"
#include "limit.h"
#include "packet.h"
#include "parse.h"
#include "program.h"

#define REJECT_TTL 64
#define REJECT_LINK 24		/* the link header ends here, so that what is behind stands on words */
#define REJECT_MOST4 576	/* bytes of an answer (RFC 1812 4.3.2.3, RFC 4443 2.4c) */
#define REJECT_MOST6 1280
#define REJECT_FRAME 60		/* what was a whole Ethernet frame is not made shorter than one */
#define REJECT_BYTES 2048	/* a power of two: lengths are masked for the verifier */

struct icmp_error_wire { __u8 type, code; __be16 check; __be32 unused; };

struct answer {
	__u8 link[REJECT_LINK];
	__u8 ip[REJECT_BYTES + 64];
	struct tcp_wire tcp;	/* of the packet */
	struct { __be16 type, tci; } outer;	/* tag that tc puts on again; type 0: none */
	__u32 bytes;		/* of the answer, from its IP header on */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answer);
} answer_scratch SEC(".maps");

/* The hook's own. Get ready to replace the packet; replace it by `size` bytes; 0 or an error. */
static __always_inline long frame_read(PARSE_CONTEXT *ctx, __u32 from, void *to, __u32 n);
static __always_inline int frame_begin(PARSE_CONTEXT *ctx, struct pkt *p, struct answer *a);
static __always_inline int frame_replace(PARSE_CONTEXT *ctx, const struct answer *a, const void *bytes, __u32 size);

#define CODES(sym, protocol, name, code4, code6) [sym] = { code4, code6 },
static const __u8 reject_code[32][2] = { [REJECT_NONE] = { REJECT_CODE_NONE, REJECT_CODE_NONE }, REJECTS(CODES) };
#undef CODES

/* ---- may it be answered */

static __always_inline int loopback4(__be32 a)
{
	return (a & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline int loopback6(const union ip_addr *a)
{
	return !a->w[0] && a->w[1] == bpf_cpu_to_be64(1);
}

/* Both ends are one host each. A loopback address is so on that interface only. */
static __always_inline int between_hosts(const struct pkt *p)
{
	__u32 src = bpf_ntohl(p->saddr.v4), dst = bpf_ntohl(p->daddr.v4);

	if (p->family == 4)
		return src >> 24 && src >> 28 < 14 && dst >> 28 < 14 && (!loopback4(p->saddr.v4) || loopback4(p->daddr.v4));
	return (p->saddr.w[0] | p->saddr.w[1]) && (p->saddr.w[0] & 0xff) != 0xff && (p->daddr.w[0] & 0xff) != 0xff &&
	       (!loopback6(&p->saddr) || loopback6(&p->daddr));
}

/* An ICMP error, or what an error must not be about either (RFC 4443 2.4e: a redirect). */
static __always_inline int is_icmp_error(const struct pkt *p)
{
	if (!(p->flags & PKT_ICMP))
		return 0;
	return p->family == 4 ? icmp_quotes(4, p->icmp_type) : p->icmp_type < 128 || p->icmp_type == 137;
}

static __always_inline int may_answer(const struct pkt *p)
{
	if (!p->family || p->flags & PKT_LATER_FRAGMENT || !between_hosts(p))
		return 0;
	if (p->reject == REJECT_TCP_RESET)
		return p->proto == IP_TCP && p->flags & PKT_PORTS && !(p->tcp_flags & TCP_RST);
	return !is_icmp_error(p);
}

/* ICMP errors have one bucket, as the kernel's do. */
static __always_inline int reject_budget_take(void)
{
	const __u64 cost = (1000000000ull << LIMIT_SHIFT) / REJECT_RATE;
	__u64 *full_at = bpf_map_lookup_elem(&reject_bucket, &first_element);

	return full_at && bucket_take(full_at, bpf_ktime_get_ns() << LIMIT_SHIFT, cost, cost * REJECT_BURST);
}

/* ---- headers */

static __always_inline __u64 sum_words(const void *from, __u32 n)
{
	const __u32 *w = from;
	__u64 sum = 0;

	for (__u32 i = 0; i < n; i++)
		sum += w[i];
	return sum;
}

static __always_inline __be16 sum_fold(__u64 sum)
{
	sum = (sum >> 32) + (__u32)sum;
	sum = (sum >> 32) + (__u32)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return ~sum;
}

/* Of the header in front of TCP and ICMPv6. */
static __always_inline __u64 sum_pseudo(const struct pkt *p, __u8 proto, __u32 bytes)
{
	__u64 sum = bpf_htonl(proto) + (__u64)bpf_htonl(bytes);

	if (p->family == 4)
		return sum + p->saddr.v4 + p->daddr.v4;
	return sum + sum_words(&p->saddr, 4) + sum_words(&p->daddr, 4);
}

static __always_inline void answer_ipv4(struct answer *a, const struct pkt *p, __u8 proto, __u8 tos)
{
	struct ipv4_wire *ip = (void *)a->ip;

	ip->version_ihl = 0x45;
	ip->tos = tos;
	ip->tot_len = bpf_htons(a->bytes);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);	/* do not fragment; so it needs no id (RFC 6864) */
	ip->ttl = REJECT_TTL;
	ip->proto = proto;
	ip->check = 0;
	ip->saddr = p->daddr.v4;
	ip->daddr = p->saddr.v4;
	ip->check = sum_fold(sum_words(ip, 5));
}

static __always_inline void answer_ipv6(struct answer *a, const struct pkt *p, __u8 proto)
{
	struct ipv6_wire *ip = (void *)a->ip;

	ip->version_class_flow = bpf_htonl(0x60000000);
	ip->payload_len = bpf_htons(a->bytes - sizeof(*ip));
	ip->nexthdr = proto;
	ip->hop_limit = REJECT_TTL;
	COPY_WORDS(ip->saddr, &p->daddr, 4);
	COPY_WORDS(ip->daddr, &p->saddr, 4);
}

/* An acknowledgement tells which number its sender expects; to anything else it is told what was received. */
static __always_inline void answer_reset(struct answer *a, const struct pkt *p)
{
	__u32 at = p->family == 4 ? sizeof(struct ipv4_wire) : sizeof(struct ipv6_wire);
	__u32 payload = p->l3 + p->total - p->payload;
	struct tcp_wire *t = (void *)(a->ip + at);

	a->bytes = at + sizeof(*t);
	t->sport = p->dport;
	t->dport = p->sport;
	t->seq = p->tcp_flags & TCP_ACK ? a->tcp.ack : 0;
	t->ack = p->tcp_flags & TCP_ACK ? 0 : bpf_htonl(bpf_ntohl(a->tcp.seq) + payload + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN));
	t->doff = sizeof(*t) / 4 << 4;
	t->flags = p->tcp_flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK;
	t->window = 0;
	t->check = 0;
	t->urg = 0;
	__builtin_memset(t + 1, 0, REJECT_FRAME);
	t->check = sum_fold(sum_pseudo(p, IP_TCP, sizeof(*t)) + sum_words(t, sizeof(*t) / 4));
	if (p->family == 4)
		answer_ipv4(a, p, IP_TCP, 0);
	else
		answer_ipv6(a, p, IP_TCP);
}

__noinline int reject_reset(PARSE_CONTEXT *ctx, struct pkt *p)
{
	struct answer *a = bpf_map_lookup_elem(&answer_scratch, &first_element);

	if (!p || !a || frame_read(ctx, p->l4, &a->tcp, sizeof(a->tcp)))
		return -1;
	answer_reset(a, p);
	return 0;
}

/* Precedence of the answer to a packet: internetwork control (RFC 1812 4.3.2.5). */
static __always_inline __u8 error_tos(__u8 tos)
{
	return (tos & 0x1e) | 0xc0;
}

/* As much of the packet as the answer holds; zeros behind it, so that the sum is over as many words for all. */
static __always_inline int quote_packet(PARSE_CONTEXT *ctx, struct answer *a, const struct pkt *p, __u64 at)
{
	__u64 most = (p->family == 4 ? REJECT_MOST4 : REJECT_MOST6) - at, n = p->total < most ? p->total : most;

	for (__u32 i = 0; i < REJECT_MOST6 / 8; i++)
		((volatile __u64 *)a->ip)[i] = 0;
	a->bytes = at + n;
	n--;
	asm volatile("" : "+r"(n));
	n = (n & (REJECT_BYTES - 1)) + 1;	/* no comparison: the verifier of 6.1 would forget that it is not 0 */
	return frame_read(ctx, p->l3, a->ip + at, n);
}

static __always_inline int answer_error(PARSE_CONTEXT *ctx, struct answer *a, const struct pkt *p)
{
	__u64 at = p->family == 4 ? sizeof(struct ipv4_wire) : sizeof(struct ipv6_wire);
	struct icmp_error_wire *e = (void *)(a->ip + at);
	__u64 sum;

	if (quote_packet(ctx, a, p, at + sizeof(*e)))
		return -1;
	e->type = p->family == 4 ? 3 : 1;	/* destination unreachable */
	e->code = reject_code[p->reject & 31][p->family == 6];
	sum = p->family == 6 ? sum_pseudo(p, IP_ICMPV6, a->bytes - at) : 0;
	e->check = sum_fold(sum + sum_words(e, (REJECT_MOST6 - sizeof(struct ipv6_wire)) / 4));
	if (p->family == 4)
		answer_ipv4(a, p, IP_ICMP, error_tos(p->tos));
	else
		answer_ipv6(a, p, IP_ICMPV6);
	return e->code == REJECT_CODE_NONE;
}

__noinline int reject_error(PARSE_CONTEXT *ctx, const struct pkt *p)
{
	struct answer *a = bpf_map_lookup_elem(&answer_scratch, &first_element);

	return !p || !a || answer_error(ctx, a, p);
}

/* ---- the whole */

/* Where the link header begins: it ends at REJECT_LINK. */
static __always_inline __u8 *answer_start(struct answer *a, const struct pkt *p)
{
	__u64 from = (REJECT_LINK - p->l3) & 15;

	asm volatile("" : "+r"(from));
	return a->link + from;
}

/* The link header with its ends swapped; tags stay. -1 where it was for more than one. */
static __always_inline int answer_link(PARSE_CONTEXT *ctx, struct answer *a, const struct pkt *p)
{
	__u8 *start = answer_start(a, p);
	__u64 n = p->l3 - 1;
	__u16 *mac = (void *)start;

	if (p->l3 < sizeof(struct ether_wire) || p->l3 > sizeof(struct ether_wire) + MAX_VLANS * sizeof(struct vlan_wire))
		return -1;
	asm volatile("" : "+r"(n));
	n = (n & 31) + 1;
	if (frame_read(ctx, 0, start, n) || start[0] & 1)	/* to a group */
		return -1;
#pragma unroll
	for (int i = 0; i < 3; i++) {
		__u16 to = mac[i];

		mac[i] = mac[i + 3];
		mac[i + 3] = to;
	}
	return 0;
}

/* Put the answer together. 0, or what to count it under. */
static __always_inline __u64 *answer_make(PARSE_CONTEXT *ctx, struct pkt *p, struct answer *a, struct reject_counts *c)
{
	if (answer_link(ctx, a, p) || !may_answer(p))
		return &c->unanswered;
	if (p->reject == REJECT_TCP_RESET)
		return reject_reset(ctx, p) ? &c->unanswered : 0;
	if (!reject_budget_take())
		return &c->suppressed;
	return reject_error(ctx, p) ? &c->unanswered : 0;
}

/* The answer in place of the packet, ready to be sent; -1: there is none, the packet is dropped. Nobody may read the packet afterwards. */
__noinline int reject(PARSE_CONTEXT *ctx, struct pkt *p)
{
	struct answer *a = bpf_map_lookup_elem(&answer_scratch, &first_element);
	struct reject_counts *c = bpf_map_lookup_elem(&reject_counts, &first_element);
	__u64 *why;

	if (!p || !a || !c || frame_begin(ctx, p, a))
		return -1;
	why = answer_make(ctx, p, a, c);
	if (!why && frame_replace(ctx, a, answer_start(a, p), p->l3 + a->bytes))
		why = &c->unanswered;
	if (!why)
		why = p->reject == REJECT_TCP_RESET ? &c->resets : &c->errors;
	++*why;
	return why == &c->resets || why == &c->errors ? 0 : -1;
}
