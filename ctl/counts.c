/* SPDX-License-Identifier: GPL-2.0-only */
/* counts: per-CPU maps, summed over the CPUs. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "counts.h"

int counts_open(struct counts *c, const char *map, size_t value_size)
{
	c->cpus = libbpf_num_possible_cpus();
	c->words = value_size / 8;
	c->buffer = NULL;
	c->fd = run_map(map, false);
	if (c->fd < 0)
		return EXIT_NOTHING;
	if (c->cpus < 1)
		return fail(EXIT_FAILED, "the number of CPUs is unknown");
	c->buffer = must(calloc(c->cpus, value_size));
	return 0;
}

int counts_read(const struct counts *c, uint32_t key, void *sum)
{
	uint64_t *to = sum;

	memset(sum, 0, c->words * 8);
	if (bpf_map_lookup_elem(c->fd, &key, c->buffer))
		return -1;
	for (int cpu = 0; cpu < c->cpus; cpu++)
		for (size_t w = 0; w < c->words; w++)
			to[w] += c->buffer[cpu * c->words + w];
	return 0;
}

void counts_close(struct counts *c)
{
	free(c->buffer);
	if (c->fd >= 0)
		close(c->fd);
}
