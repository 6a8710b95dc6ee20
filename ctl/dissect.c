/* SPDX-License-Identifier: GPL-2.0-only */
/* dissect: see dissect.h. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>
#include "dissect.h"
#include "judge.h"
#include "value.h"
#include "wire.h"

static void put_address(FILE *f, const struct pkt *p, const union ip_addr *a, __be16 port)
{
	char text[INET6_ADDRSTRLEN];
	bool ports = p->flags & PKT_PORTS, brackets = ports && p->family == 6;

	inet_ntop(p->family == 4 ? AF_INET : AF_INET6, a, text, sizeof(text));
	fprintf(f, "%s%s%s", brackets ? "[" : "", text, brackets ? "]" : "");
	if (ports)
		fprintf(f, ":%u", ntohs(port));
}

static void put_icmp(FILE *f, const struct pkt *p)
{
	fputc(' ', f);
	value_print(f, p->family == 4 ? TYPE_ICMP_TYPE : TYPE_ICMPV6_TYPE, p->icmp_type);
	if (p->icmp_code)
		fprintf(f, "/%u", p->icmp_code);
}

static void put_flags(FILE *f, uint8_t flags)
{
	const char *before = " flags ";

	for (unsigned int bit = 1; bit < 256; bit <<= 1)
		if (flags & bit) {
			fprintf(f, "%s%s", before, value_name(TYPE_TCP_FLAG, bit));
			before = ",";
		}
}

static void put_ip(FILE *f, const struct pkt *p)
{
	const char *name = value_name(TYPE_INET_PROTO, p->proto);

	if (name)
		fputs(p->proto == IP_ICMPV6 ? "icmpv6" : name, f);
	else
		fprintf(f, "%u", p->proto);
	if (p->flags & PKT_ICMP)
		put_icmp(f, p);
	fputc(' ', f);
	put_address(f, p, &p->saddr, p->sport);
	fputs(" > ", f);
	put_address(f, p, &p->daddr, p->dport);
	if (p->flags & PKT_PORTS && p->proto == IP_TCP)
		put_flags(f, p->tcp_flags);
	fprintf(f, " length %u", p->ip_bytes);
	if (p->flags & PKT_FRAGMENT)
		fputs(p->flags & PKT_LATER_FRAGMENT ? " fragment" : " first-fragment", f);
}

static void put_other(FILE *f, const struct pkt *p, unsigned int n)
{
	if (n < sizeof(struct ether_wire))
		fprintf(f, "%u bytes", n);
	else if (p->l3_type == htons(ETH_P_ARP))
		fputs("arp", f);
	else
		fprintf(f, "ether type 0x%04x length %u", ntohs(p->l3_type), n);
}

void dissect(char *to, size_t size, const void *frame, unsigned int captured, unsigned int n)
{
	void *block;
	struct frame_context ctx = wire_frame(&block, frame, captured);
	struct quote quote = {};
	struct pkt p;
	enum reason why = parse_frame(&ctx, &p, &quote, n, 1);
	FILE *f = must(fmemopen(to, size, "w"));

	if (p.family)
		put_ip(f, &p);
	else
		put_other(f, &p, n);
	if (p.vlans)
		fprintf(f, " vlan %u", p.vlan_id);
	if (why && why != PARSE_NONLINEAR)	/* nonlinear: behind what was captured */
		fprintf(f, " (%s)", reason_name[why]);
	fclose(f);
	free(block);
	to[size - 1] = 0;
}
