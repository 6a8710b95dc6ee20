/* SPDX-License-Identifier: GPL-2.0-only */
/* capture: the frames of a pcap or pcapng file. */
#pragma once
#include <stdint.h>

/* Calls `frame` for each, n counts from 1; what is not 0 ends it. Exit code. */
int capture_each(const char *path, int (*frame)(void *ctx, uint64_t n, const void *bytes, unsigned int size), void *ctx);
