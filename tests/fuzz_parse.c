// SPDX-License-Identifier: GPL-2.0-only
/* fuzz_parse: any bytes, of which any number can be read, through xdp/parse.h, for clang -fsanitize=fuzzer. What the parser finds must lie
 * inside the packet, its flags must agree with each other, and reading more of a frame may only turn "nonlinear" into something else. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "../xdp/parse.h"

#define REQUIRE(x) do { if (!(x)) __builtin_trap(); } while (0)

struct result {
	struct pkt p;
	struct quote q;
	int verdict;
};

/* The readable bytes in memory of their own, so that ASan sees one byte too many; aligned as network cards do (NET_IP_ALIGN). */
static struct result run(const uint8_t *data, uint32_t len, uint32_t linear, uint32_t packets)
{
	struct result r, slow = { .p = { .len = len, .frame_len = len, .packets = packets } };
	uint8_t *copy = malloc(linear + 2);
	struct parse_context c = { (unsigned long)copy + 2, (unsigned long)copy + 2 + linear };

	memcpy(copy + 2, data, linear);
	memset(&r, 0xa5, sizeof(r));
	r.verdict = parse_frame(&c, &r.p, &r.q, len, packets);
	slow.verdict = parse(&c, &slow.p, &slow.q);
	REQUIRE(r.verdict == slow.verdict && !memcmp(&r.p, &slow.p, sizeof(r.p)));	/* however it came to it */
	free(copy);
	return r;
}

static void check_link(const struct pkt *p)
{
	REQUIRE(p->vlans <= MAX_VLANS && p->l3 == sizeof(struct ethhdr) + p->vlans * sizeof(struct vlan_wire));
	REQUIRE(p->vlan_id < 4096 && (p->vlans || (!p->vlan_id && p->ether_type == p->l3_type)));
	REQUIRE(p->l3 <= p->frame_len);
}

static void check_ip(const struct pkt *p)
{
	uint32_t end = p->l3 + p->total;
	int icmp = p->proto == (p->family == 4 ? IP_ICMP : IP_ICMPV6), ports = p->proto == IP_TCP || p->proto == IP_UDP || p->proto == IP_SCTP;

	REQUIRE(p->family == 4 || p->family == 6);
	REQUIRE(p->ip_bytes == p->total && end <= p->frame_len);
	REQUIRE(p->l4 >= p->l3 + (p->family == 4 ? 20 : 40) && p->l4 <= end);
	REQUIRE(!(p->flags & PKT_OPTIONS) == (p->l4 == p->l3 + (p->family == 4 ? 20 : 40)));
	REQUIRE(!(p->flags & PKT_LATER_FRAGMENT) || p->flags & PKT_FRAGMENT);
	REQUIRE(p->flags & PKT_FRAGMENT || !p->frag_id);
	if (p->flags & PKT_LATER_FRAGMENT) {
		REQUIRE(!(p->flags & (PKT_PORTS | PKT_ICMP | PKT_QUOTE)) && !p->payload && !p->sport && !p->dport);
		return;
	}
	REQUIRE(!(p->flags & PKT_PORTS) == !ports && !(p->flags & PKT_ICMP) == !icmp);
	REQUIRE(!(p->flags & PKT_QUOTE) || icmp);
	REQUIRE(p->flags & PKT_PORTS || !p->tcp_flags);
	if (ports || icmp)
		REQUIRE(p->payload >= p->l4 + 8 && p->payload <= end);
	else
		REQUIRE(!p->payload && !p->sport && !p->dport);
}

static void check(const struct result *r)
{
	REQUIRE(r->verdict >= 0 && r->verdict <= PARSE_NONLINEAR);
	if (r->verdict)
		return;
	check_link(&r->p);
	if (r->p.l3_type == bpf_htons(ETH_P_IP) || r->p.l3_type == bpf_htons(ETH_P_IPV6)) {
		check_ip(&r->p);
		REQUIRE(!(r->p.flags & PKT_QUOTE) || r->q.family == r->p.family);
	} else {
		REQUIRE(!r->p.family && !r->p.ip_bytes && !r->p.flags && !r->p.l4);
	}
}

/* The first three bytes say how much of the rest can be read and how many packets it stands for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result part, whole;
	uint32_t linear, packets;

	if (size < 3 || size - 3 > MAX_HEADER_OFFSET)
		return 0;
	linear = data[0] | data[1] << 8;
	packets = data[2] ? data[2] : 1;
	data += 3;
	size -= 3;
	linear = linear < size ? linear : size;
	part = run(data, size, linear, packets);
	whole = run(data, size, size, packets);
	check(&part);
	check(&whole);
	REQUIRE(whole.verdict != PARSE_NONLINEAR);
	if (part.verdict == PARSE_NONLINEAR)
		return 0;
	REQUIRE(part.verdict == whole.verdict && !memcmp(&part.p, &whole.p, sizeof(part.p)));
	if (part.p.flags & PKT_QUOTE && !part.verdict)
		REQUIRE(part.q.proto == whole.q.proto && part.q.sport == whole.q.sport && part.q.dport == whole.q.dport);
	return 0;
}
