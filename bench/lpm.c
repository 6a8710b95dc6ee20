/* SPDX-License-Identifier: GPL-2.0-only */
/* lpm: see lpm.h. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "lpm.h"
#include "options.h"

static int tries[2] = { -1, -1 };

static int trie_make(const char *name, unsigned key)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, name, key, 1, LPM_ENTRIES, &opts);

	return fd < 0 ? fail(EXIT_FAILED, "%s: %s", name, strerror(errno)), -1 : fd;
}

/* A line is an address or a prefix. */
static int element_add(char *line)
{
	char *slash = strchr(line, '/');
	struct lpm_key4 k4 = {};
	struct lpm_key6 k6 = {};
	__u8 one = 1;
	int err;

	line[strcspn(line, "\n")] = 0;
	if (slash)
		*slash++ = 0;
	if (inet_pton(AF_INET, line, &k4.address) == 1) {
		k4.length = slash ? atoi(slash) : 32;
		err = bpf_map_update_elem(tries[0], &k4, &one, 0);
	} else if (inet_pton(AF_INET6, line, k6.address) == 1) {
		k6.length = slash ? atoi(slash) : 128;
		err = bpf_map_update_elem(tries[1], &k6, &one, 0);
	} else {
		return fail(EXIT_FAILED, "%s: %s: no address", options.elements, line);
	}
	return err ? fail(EXIT_FAILED, "LPM trie: %s: %s", line, strerror(errno)) : 0;
}

static int tries_fill(void)
{
	FILE *f = fopen(options.elements, "re");
	char line[128];
	int err = 0;

	if (!f)
		return fail(EXIT_FAILED, "%s: %s", options.elements, strerror(errno));
	while (!err && fgets(line, sizeof(line), f))
		err = element_add(line);
	fclose(f);
	return err;
}

int lpm_share(struct bpf_object *o)
{
	int err = 0;

	if (tries[0] < 0) {
		tries[0] = trie_make("lpm4", sizeof(struct lpm_key4));
		tries[1] = trie_make("lpm6", sizeof(struct lpm_key6));
		err = tries[0] < 0 || tries[1] < 0 ? EXIT_FAILED : tries_fill();
	}
	if (!err && (bpf_map__reuse_fd(bpf_object__find_map_by_name(o, "lpm4"), tries[0]) ||
		     bpf_map__reuse_fd(bpf_object__find_map_by_name(o, "lpm6"), tries[1])))
		err = fail(EXIT_FAILED, "LPM tries: %s", strerror(errno));
	return err;
}
