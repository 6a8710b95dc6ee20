/* SPDX-License-Identifier: GPL-2.0-only */
/* frame: bytes of a packet: what packet.c read as words, or hexadecimal digits. Checksums: RFC 1071, 8200 8.1, 9260 appendix A. */
#include <arpa/inet.h>
#include <ctype.h>
#include <linux/if_ether.h>
#include <string.h>
#include "wire.h"
#include "packet.h"

enum { FIRST_BYTES = 1480, IP_MF = 0x2000 };	/* offset of a later fragment: behind a first one of the usual size */

static const uint8_t macs[12] = { 0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01 };

static void *room(struct frame *f, size_t n)
{
	void *p = f->v + f->n;

	memset(p, 0, n);
	f->n += n;
	return p;
}

static uint32_t sum_bytes(uint32_t sum, const void *data, size_t n)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? b[i] : b[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static uint32_t crc32c(const uint8_t *b, size_t n)
{
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *b++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static size_t address_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static void put_ipv4(struct frame *f, uint8_t proto, size_t total, uint16_t frag_off, uint8_t ttl, const struct address *src,
		     const struct address *dst)
{
	struct ipv4_wire *ip = room(f, sizeof(*ip));

	ip->version_ihl = 0x45;
	ip->tot_len = htons(total);
	ip->id = htons(frag_off ? 0x7765 : 0);
	ip->frag_off = htons(frag_off);
	ip->ttl = ttl;
	ip->proto = proto;
	memcpy(&ip->saddr, src->bytes, 4);
	memcpy(&ip->daddr, dst->bytes, 4);
	ip->check = fold(sum_bytes(0, ip, sizeof(*ip)));
}

static void put_ipv6(struct frame *f, uint8_t nexthdr, size_t payload, uint8_t hop_limit, const struct address *src, const struct address *dst)
{
	struct ipv6_wire *ip = room(f, sizeof(*ip));

	ip->version_class_flow = htonl(0x60000000);
	ip->payload_len = htons(payload);
	ip->nexthdr = nexthdr;
	ip->hop_limit = hop_limit;
	memcpy(ip->saddr, src->bytes, 16);
	memcpy(ip->daddr, dst->bytes, 16);
}

/* The IP header, and IPv6's fragment header. `total`: of the IP packet. */
static void put_ip(struct frame *f, const struct packet_words *p, size_t total)
{
	uint16_t off = p->fragment == FRAGMENT_FIRST ? IP_MF : p->fragment == FRAGMENT_LATER ? FIRST_BYTES / 8 : 0;
	struct exthdr_wire *h;

	if (p->src.family == 4) {
		put_ipv4(f, p->proto, total, off, p->ttl, &p->src, &p->dst);
		return;
	}
	put_ipv6(f, off ? IP6_FRAGMENT : p->proto, total - sizeof(struct ipv6_wire), p->ttl, &p->src, &p->dst);
	if (!off)
		return;
	h = room(f, sizeof(*h));
	h->nexthdr = p->proto;
	h->frag_off = htons(p->fragment == FRAGMENT_FIRST ? 1 : FIRST_BYTES);	/* units of eight bytes, shifted by the three flag bits */
	h->frag_id = htonl(0x7765);
}

/* What an ICMP error is about: a UDP packet the other way. */
static void put_quote(struct frame *f, const struct packet_words *p)
{
	struct udp_wire *udp;

	if (p->src.family == 4)
		put_ipv4(f, IP_UDP, sizeof(struct ipv4_wire) + sizeof(*udp), 0, 64, &p->dst, &p->src);
	else
		put_ipv6(f, IP_UDP, sizeof(*udp), 64, &p->dst, &p->src);
	udp = room(f, sizeof(*udp));
	udp->sport = htons(40000);
	udp->dport = htons(53);
	udp->len = htons(sizeof(*udp));
}

static bool is_icmp(const struct packet_words *p)
{
	return p->proto == (p->src.family == 4 ? IP_ICMP : IP_ICMPV6);
}

static bool quotes(const struct packet_words *p)
{
	return is_icmp(p) && icmp_quotes(p->src.family, p->icmp_type);
}

static size_t header_bytes(const struct packet_words *p)
{
	size_t quote = quotes(p) ? (p->src.family == 4 ? 20 : 40) + sizeof(struct udp_wire) : 0;

	if (p->fragment == FRAGMENT_LATER)
		return 0;
	switch (p->proto) {
	case IP_TCP: return sizeof(struct tcp_wire);
	case IP_UDP: return sizeof(struct udp_wire);
	case IP_SCTP: return sizeof(struct sctp_wire);
	default: return is_icmp(p) ? sizeof(struct icmp_wire) + quote : 0;
	}
}

static uint16_t transport_check(const struct packet_words *p, const void *data, size_t n)
{
	uint32_t sum = p->proto + (uint32_t)n;

	if (p->proto == IP_ICMP)
		return fold(sum_bytes(0, data, n));
	sum = sum_bytes(sum, p->src.bytes, address_bytes(p->src.family));
	sum = sum_bytes(sum, p->dst.bytes, address_bytes(p->dst.family));
	return fold(sum_bytes(sum, data, n));
}

static void put_ports(struct frame *f, const struct packet_words *p, size_t n)
{
	struct tcp_wire *tcp = (void *)(f->v + f->n);
	struct udp_wire *udp = (void *)tcp;

	room(f, n);
	tcp->sport = htons(p->sport);
	tcp->dport = htons(p->dport);
	if (p->proto == IP_TCP) {
		tcp->doff = sizeof(*tcp) / 4 << 4;
		tcp->flags = p->tcp_flags;
		tcp->window = htons(64240);
		tcp->check = transport_check(p, tcp, n);
	} else if (p->proto == IP_UDP) {
		udp->len = htons(n);
		udp->check = transport_check(p, udp, n);
		if (!udp->check)
			udp->check = 0xffff;	/* 0 says that there is none */
	} else {
		((struct sctp_wire *)tcp)->check = crc32c((void *)tcp, n);	/* little-endian, as the RFC has it */
	}
}

static void put_icmp(struct frame *f, const struct packet_words *p, size_t n)
{
	size_t at = f->n;
	struct icmp_wire *h = room(f, sizeof(*h));

	h->type = p->icmp_type;
	h->code = p->icmp_code;
	if (quotes(p))
		put_quote(f, p);
	room(f, n - (f->n - at));
	h->check = transport_check(p, h, n);
}

static void put_ether(struct frame *f, const struct packet_words *p)
{
	uint16_t type = p->src.family == 4 ? ETH_P_IP : ETH_P_IPV6;
	struct ether_wire *eth = room(f, sizeof(*eth));
	struct vlan_wire *tag;

	memcpy(eth, macs, sizeof(macs));
	eth->type = htons(p->vlan < 0 ? type : ETH_P_8021Q);
	if (p->vlan < 0)
		return;
	tag = room(f, sizeof(*tag));
	tag->tci = htons(p->vlan);
	tag->type = htons(type);
}

int packet_frame(struct frame *out, const struct packet_words *p)
{
	size_t ip = p->src.family == 4 ? sizeof(struct ipv4_wire) : sizeof(struct ipv6_wire), rest = header_bytes(p), n = rest;

	ip += p->src.family == 6 && p->fragment ? sizeof(struct exthdr_wire) : 0;
	if (p->length && p->length < ip + rest)
		return fail(EXIT_USAGE, "packet: length %u is too small: the headers alone take %zu bytes", p->length, ip + rest);
	if (p->length)
		n = p->length - ip;
	else if (p->fragment)
		n = (rest + 7) / 8 * 8 + 8;	/* of a fragment there is always some payload */
	out->n = 0;
	put_ether(out, p);
	put_ip(out, p, ip + n);
	if (!rest)
		room(out, n);
	else if (p->has_ports)
		put_ports(out, p, n);
	else
		put_icmp(out, p, n);
	return 0;
}

int frame_parse_hex(struct frame *out, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	int half = 0;

	out->n = 0;
	for (const char *c = text; *c; c++) {
		const char *digit = strchr(digits, tolower((unsigned char)*c));

		if (strchr(" :\n\t", *c) && !half)
			continue;
		if (!digit)
			return fail(EXIT_USAGE, "--hex: \"%c\" at byte %td is no hexadecimal digit", *c, c - text);
		if (out->n == sizeof(out->v))
			return fail(EXIT_USAGE, "--hex: the frame is longer than %d bytes", FRAME_MOST);
		out->v[out->n] = half ? out->v[out->n] | (digit - digits) : (digit - digits) << 4;
		out->n += half;
		half = !half;
	}
	if (half || !out->n)
		return fail(EXIT_USAGE, half ? "--hex: an odd number of digits" : "--hex: no bytes");
	return 0;
}
