/* SPDX-License-Identifier: GPL-2.0-only */
/* fresh: see fresh.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/run.h"
#include "../maps/limit.h"
#include "config.h"
#include "fresh.h"

int fresh_counter(const char *map, size_t size, const uint32_t *keys, int n)
{
	int cpus = libbpf_num_possible_cpus(), fd = n ? run_map(map, true) : -1, err = 0;
	void *zero;

	if (!n)
		return 0;
	if (fd < 0 || cpus < 1)
		return EXIT_FAILED;
	zero = must(calloc(cpus, size));
	for (int i = 0; i < n && !err; i++)
		if (bpf_map_update_elem(fd, &keys[i], zero, 0))
			err = fail(EXIT_FAILED, "map %s: %s", map, strerror(errno));
	free(zero);
	close(fd);
	return err;
}

/* Entries per source and the like that are of one of these ids. */
static int forget_keys(const uint32_t *ids, int n)
{
	bool *fresh = must(calloc(MAX_RULES, 1));
	size_t size;
	struct limit_entry *e = run_map_memory("limit_keys", true, &size);

	for (int i = 0; i < n; i++)
		fresh[ids[i]] = true;
	for (size_t i = 0; e && i < size / sizeof(*e); i++)
		if (e[i].key && fresh[e[i].key & RULE_ID_MASK & (MAX_RULES - 1)])
			e[i].key = e[i].full_at = 0;
	if (e)
		munmap(e, size);
	free(fresh);
	return e ? 0 : EXIT_FAILED;
}

int fresh_limits(const uint32_t *ids, int n)
{
	int fd = n ? run_map("limit_rules", true) : -1, err = 0;
	uint64_t zero = 0;

	if (!n)
		return 0;
	if (fd < 0)
		return EXIT_FAILED;
	for (int i = 0; i < n && !err; i++)
		if (bpf_map_update_elem(fd, &ids[i], &zero, 0))
			err = fail(EXIT_FAILED, "map limit_rules: %s", strerror(errno));
	close(fd);
	return err ? err : forget_keys(ids, n);
}
