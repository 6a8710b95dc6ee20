/* SPDX-License-Identifier: GPL-2.0-only */
/* active: see active.h. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "../loader/attach.h"
#include "../maps/datapath.h"
#include "active.h"

int active_lock(void)
{
	static bool locked;
	int err = locked ? 0 : run_lock();

	locked |= !err;
	return err;
}

int active_read(uint64_t *active)
{
	int fd = run_map("control", false), err;
	struct control c;
	__u32 zero = 0;

	if (fd < 0)
		return EXIT_NOTHING;
	err = bpf_map_lookup_elem(fd, &zero, &c);
	close(fd);
	*active = c.active;
	return err ? fail(EXIT_FAILED, "map control: %s", strerror(errno)) : 0;
}

int active_switch(uint64_t number, uint32_t slot)
{
	size_t size;
	struct control *c = run_map_memory("control", true, &size);

	if (!c)
		return EXIT_FAILED;
	__atomic_store_n(&c->active, number << 8 | slot, __ATOMIC_SEQ_CST);
	munmap(c, size);
	return 0;
}

static int write_full(bool full)
{
	size_t size;
	struct control *c = run_map_memory("control", true, &size);

	if (!c)
		return EXIT_FAILED;
	c->full = full;
	munmap(c, size);
	return 0;
}

/* Who dies on the way leaves programs that can do more than they need. */
int active_switch_rules(uint64_t number, uint32_t slot, bool full)
{
	int err = 0;

	if (full) {
		err = write_full(true);
		if (!err)
			err = attached_need_full();
	}
	if (!err)
		err = active_switch(number, slot);
	if (!err && !full)
		err = write_full(false);
	return err;
}

const char *active_text(uint64_t number)
{
	return run_path("config/%llu", (unsigned long long)number);
}

const char *active_fresh_text(uint64_t number)
{
	const char *path = active_text(number);

	unlink(path);
	return path;
}

void active_forget_texts(uint64_t keep)
{
	char dir[PATH_MAX], path[PATH_MAX + 32];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s", run_path("config"));
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strtoull(e->d_name, NULL, 10) == keep)
			continue;
		snprintf(path, sizeof(path), "%s/%.20s", dir, e->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
}
