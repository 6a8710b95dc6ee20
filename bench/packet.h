/* SPDX-License-Identifier: GPL-2.0-only */
/* packet: the packet that a trial hands out, and what the feeder changes in it. */
#pragma once
#include <bpf/libbpf.h>
#include "feed.h"
#include "trial.h"

#define MAX_PACKET 74

struct packet {
	unsigned char bytes[MAX_PACKET];
	unsigned length;
	struct feed feed;
};

void packet_make(const struct trial *t, struct packet *p);

/* The file of headers, which is read once, into the feeder's map. */
int headers_store(const struct bpf_object *feeder);
