/* SPDX-License-Identifier: GPL-2.0-only */
/* owner: name, loader and holder of a foreign XDP program. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "owner.h"

static bool fdinfo_names(const char *path, __u32 prog_id)
{
	FILE *f = fopen(path, "re");
	char line[128];
	unsigned id = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "prog_id: %u", &id) == 1)
			break;
	if (f)
		fclose(f);
	return id == prog_id;
}

static bool process_holds(const char *pid, __u32 prog_id)
{
	char path[600];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, e->d_name);
		found = isdigit(e->d_name[0]) && fdinfo_names(path, prog_id);
	}
	if (d)
		closedir(d);
	return found;
}

/* ", held by COMM[PID]" of the first process with an fd for the program or its link; "" when only the kernel holds it. */
static void holder(__u32 prog_id, char *buf, size_t size)
{
	char path[300], comm[32] = "";
	struct dirent *e;
	DIR *d = opendir("/proc");
	FILE *f;

	buf[0] = 0;
	while (d && (e = readdir(d))) {
		if (!isdigit(e->d_name[0]) || atoi(e->d_name) == getpid() || !process_holds(e->d_name, prog_id))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%31[^\n]", comm) == 1)
			snprintf(buf, size, ", held by %s[%.10s]", comm, e->d_name);
		if (f)
			fclose(f);
		break;
	}
	if (d)
		closedir(d);
}

const char *owner_of_xdp(int ifindex, char *buf, size_t size)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char held[64];
	int fd;

	snprintf(buf, size, "unknown");
	if (bpf_xdp_query(ifindex, 0, &query))
		return buf;
	if (!query.prog_id)
		query.prog_id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
	fd = bpf_prog_get_fd_by_id(query.prog_id);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len)) {
		snprintf(buf, size, "id %u", query.prog_id);
		if (fd >= 0)
			close(fd);
		return buf;
	}
	close(fd);
	holder(info.id, held, sizeof(held));
	snprintf(buf, size, "%s (id %u, loaded by uid %u%s)", info.name[0] ? info.name : "a program without name", info.id, info.created_by_uid,
		 held);
	return buf;
}
