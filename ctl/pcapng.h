/* SPDX-License-Identifier: GPL-2.0-only */
/* pcapng: a capture file as it is written (draft-ietf-opsawg-pcapng): one section, times in nanoseconds, a comment a packet. */
#pragma once
#include <stdint.h>
#include <stdio.h>

struct pcapng {
	FILE *file;
	const char *path;
	uint32_t interfaces;		/* described so far */
};

struct pcapng_packet {
	uint32_t interface;
	uint64_t time_ns;		/* since 1970 */
	const void *bytes;
	uint32_t captured, n;
	const char *comment;
};

/* Each an exit code. "-": standard output. */
int pcapng_open(struct pcapng *p, const char *path);
int pcapng_interface(struct pcapng *p, const char *name, uint32_t *number);
int pcapng_packet(struct pcapng *p, const struct pcapng_packet *k);
int pcapng_flush(struct pcapng *p);
int pcapng_close(struct pcapng *p);
