/* SPDX-License-Identifier: GPL-2.0-only */
/* counts: per-CPU maps, summed over the CPUs. */
#pragma once
#include <stdint.h>
#include <stddef.h>

struct counts {
	int fd, cpus;
	size_t words;		/* 64-bit words of a value */
	uint64_t *buffer;	/* cpus * words */
};

/* Open a pinned per-CPU map whose values are 64-bit counters. Exit code. */
int counts_open(struct counts *c, const char *map, size_t value_size);

/* Sum of entry `key` over all CPUs; `sum` has value_size bytes. 0 or -1. */
int counts_read(const struct counts *c, uint32_t key, void *sum);
void counts_close(struct counts *c);
