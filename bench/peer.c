/* SPDX-License-Identifier: GPL-2.0-only */
/* peer: what a filter on receive costs, whoever it is: frames of a file of headers go out of one end of a veth pair and are dropped at the other end, once by the
 * filter that is there, once by a program of two instructions that is put in front of it. The difference, by the clock: the receiving softirq runs in
 * the sending call. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "../lib/err.h"
#include "feed.h"

/* of linux/bpf.h, newer than the oldest we build with */
#define TCX_INGRESS 46
#define BEFORE_OTHERS (1 << 3)

enum { FRAME = 60, BATCH = 64, BLOCK = 16384, BLOCKS = 16 };

static struct feed_header headers[FEED_HEADERS];
static unsigned char frames[FEED_HEADERS][FRAME];

static int headers_read(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(headers, sizeof(headers[0]), FEED_HEADERS, f) : 0;

	if (f)
		fclose(f);
	return n == FEED_HEADERS ? 0 : fail(EXIT_FAILED, "%s: not %d headers", path, FEED_HEADERS);
}

static uint16_t ip_sum(const unsigned char *p)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += p[i] << 8 | p[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return htons(~(sum + (sum >> 16)));
}

static void frame_make(unsigned char *f, const struct feed_header *h, const unsigned char *to)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .tot_len = htons(FRAME - 14), .protocol = h->proto, .saddr = h->saddr, .daddr = h->daddr };

	memset(f, 0, FRAME);
	memcpy(f, to, 6);
	f[6] = 2;
	f[12] = 8;
	memcpy(f + 14, &ip, sizeof(ip));
	ip.check = ip_sum(f + 14);
	memcpy(f + 14, &ip, sizeof(ip));
	memcpy(f + 34, &h->sport, 2);
	memcpy(f + 36, &h->dport, 2);
	if (h->proto == 17)
		f[39] = FRAME - 34;
	else
		f[46] = 0x50;
}

static int frames_make(int s, const char *receiver)
{
	struct ifreq r = {};

	strncpy(r.ifr_name, receiver, sizeof(r.ifr_name) - 1);
	if (ioctl(s, SIOCGIFHWADDR, &r))
		return fail(EXIT_FAILED, "%s: %s", receiver, strerror(errno));
	for (int i = 0; i < FEED_HEADERS; i++)
		frame_make(frames[i], &headers[i], (unsigned char *)r.ifr_hwaddr.sa_data);
	return 0;
}

static int sender(const char *interface)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface) };
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;

	if (s < 0 || !a.sll_ifindex || bind(s, (struct sockaddr *)&a, sizeof(a)) || setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		return fail(EXIT_FAILED, "%s: %s", interface, strerror(errno)), -1;
	return s;
}

/* ns a packet of BLOCK frames from the nth on; -1: failed. */
static double send_block(int s, unsigned from)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	for (unsigned n = 0; n < BLOCK; n += BATCH) {
		struct iovec v[BATCH];
		struct mmsghdr m[BATCH] = {};

		for (int i = 0; i < BATCH; i++) {
			v[i] = (struct iovec){ frames[(from + n + i) % FEED_HEADERS], FRAME };
			m[i].msg_hdr.msg_iov = &v[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
		if (sendmmsg(s, m, BATCH, 0) != BATCH)
			return fail(EXIT_FAILED, "sending: %s", strerror(errno)), -1;
	}
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / BLOCK;
}

/* In front of all others at the interface's tc ingress, where neither filter comes to a packet. */
static int floor_load(void)
{
	struct bpf_insn drop[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 2 },	/* TC_ACT_SHOT */
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "drop", "GPL", drop, 2, NULL);

	return fd < 0 ? fail(EXIT_FAILED, "a program that drops: %s", strerror(errno)), -1 : fd;
}

static double send_to_floor(int s, int program, int ifindex, unsigned from)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = BEFORE_OTHERS);
	int link = bpf_link_create(program, ifindex, TCX_INGRESS, &opts);
	double ns;

	if (link < 0)
		return fail(EXIT_FAILED, "tcx, of Linux 6.6: %s", strerror(errno)), -1;
	ns = send_block(s, from);
	close(link);
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int measure(int s, int program, int ifindex)
{
	double net[BLOCKS];

	for (int i = -1; i < BLOCKS; i++) {	/* the first warms up */
		unsigned from = (i + 1) * BLOCK;
		double all = 0, floor = 0;

		for (int k = 0; k < 2 && all >= 0 && floor >= 0; k++) {		/* who is first changes */
			if ((i + k) & 1)
				floor = send_to_floor(s, program, ifindex, from);
			else
				all = send_block(s, from);
		}
		if (all < 0 || floor < 0)
			return EXIT_FAILED;
		if (i >= 0)
			net[i] = all - floor;
	}
	qsort(net, BLOCKS, sizeof(*net), by_value);
	printf("%.1f %.1f %.1f\n", net[BLOCKS / 2], net[BLOCKS / 4], net[BLOCKS * 3 / 4]);
	return 0;
}

static void settle(void)
{
	struct sched_param p = { .sched_priority = 40 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) > 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || sched_setscheduler(0, SCHED_FIFO, &p))
		note("one CPU by itself: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	int err = argc == 4 ? headers_read(argv[3]) : fail(EXIT_USAGE, "peer SENDER RECEIVER HEADERS: median and quartiles, ns a packet"), s = -1, program = -1;

	if (!err)
		s = sender(argv[1]);
	if (s >= 0)
		program = floor_load();
	if (!err)
		err = program < 0 ? EXIT_FAILED : frames_make(s, argv[2]);
	settle();
	if (!err)
		err = measure(s, program, if_nametoindex(argv[2]));
	return fail_report(err, "peer", NULL, false);
}
