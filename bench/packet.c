/* SPDX-License-Identifier: GPL-2.0-only */
/* packet: see packet.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "../lib/err.h"
#include "options.h"
#include "packet.h"

static unsigned sum16(const unsigned char *p, int n)
{
	unsigned sum = 0;

	for (int i = 0; i < n; i += 2)
		sum += p[i] << 8 | p[i + 1];
	return sum;
}

static unsigned char *ipv4_make(const struct trial *t, struct packet *p)
{
	unsigned char *ip = p->bytes + 14;
	unsigned sum;

	memcpy(ip - 2, (unsigned char[]){ 8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 64, 0, 0 }, 18);
	inet_pton(AF_INET, t->to, ip + 16);
	p->feed.address_at = 26;
	p->feed.check_at = 24;
	p->feed.check = sum16(ip, 20) - sum16(ip + 12, 4);
	p->feed.address = 10u << 24 | 64u << 16;
	sum = sum16(ip, 20);
	sum = ~((sum & 0xffff) + (sum >> 16));
	ip[10] = sum >> 8;
	ip[11] = sum;
	return ip + 20;
}

static unsigned char *ipv6_make(const struct trial *t, struct packet *p)
{
	unsigned char *ip = p->bytes + 14;

	memcpy(ip - 2, (unsigned char[]){ 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64 }, 10);
	inet_pton(AF_INET6, "2001:db8:1::", ip + 8);
	inet_pton(AF_INET6, t->to, ip + 24);
	p->feed.address_at = 34;
	return ip + 40;
}

/* Ethernet, IP, an acknowledging TCP segment without payload to t->to, port 443; the sender of flow 0. */
void packet_make(const struct trial *t, struct packet *p)
{
	unsigned char *tcp;

	memset(p, 0, sizeof(*p));
	p->bytes[5] = 1;
	p->bytes[11] = 2;
	tcp = t->family == 4 ? ipv4_make(t, p) : ipv6_make(t, p);
	memcpy(tcp, (unsigned char[]){ 0x80, 0, 1, 187, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 16, 1 }, 15);
	if (t->headers && t->family == 4)
		memcpy(tcp + 4, (unsigned char[]){ 0, 20 }, 2);		/* UDP's length, which is TCP's sequence number */
	p->length = tcp + 20 - p->bytes < 64 ? 64 : tcp + 20 - p->bytes;	/* a frame below Ethernet's least length is padded */
	p->feed.port_at = tcp - p->bytes;
	p->feed.headers = t->headers ? t->family : 0;
	p->feed.length = p->length;
	p->feed.grows = t->grows;
	p->feed.verdict = t->verdict;
	p->feed.mask = t->flows - 1;
	p->feed.sources = t->sources;
	memcpy(p->feed.bytes, p->bytes, sizeof(p->feed.bytes));
}

static struct feed_header header_table[FEED_HEADERS];

static int headers_read(void)
{
	static bool done;
	FILE *f = done ? NULL : fopen(options.headers, "re");
	size_t n = f ? fread(header_table, sizeof(*header_table), FEED_HEADERS, f) : 0;

	if (f)
		fclose(f);
	done |= n == FEED_HEADERS;
	return done ? 0 : fail(EXIT_FAILED, "%s: not %d headers", options.headers, FEED_HEADERS);
}

int headers_store(const struct bpf_object *feeder)
{
	int fd = bpf_object__find_map_fd_by_name(feeder, "headers"), err = headers_read();
	void *p;

	if (err)
		return err;
	p = mmap(NULL, sizeof(header_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return fail(EXIT_FAILED, "headers: %s", strerror(errno));
	memcpy(p, header_table, sizeof(header_table));
	munmap(p, sizeof(header_table));
	return 0;
}
