/* SPDX-License-Identifier: GPL-2.0-only */
/* run: paths, lock and pinned maps of one instance. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "../maps/datapath.h"
#include "err.h"
#include "run.h"

const char *run_dir;

const char *run_dir_get(void)
{
	if (!run_dir)
		run_dir = getenv("WEIR_RUN_DIR");
	if (!run_dir || !*run_dir)
		run_dir = "/run/weir";
	return run_dir;
}

const char *run_path(const char *fmt, ...)
{
	static char buffers[8][PATH_MAX];
	static unsigned next;
	char *b = buffers[next++ % 8];
	int n = snprintf(b, PATH_MAX, "%s/", run_dir_get());
	va_list ap;

	if (n < 0 || n >= PATH_MAX)
		n = 0;
	va_start(ap, fmt);
	vsnprintf(b + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
	return b;
}

int run_lock(void)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int fd = open(run_path("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 && errno == ENOENT)
		return fail(EXIT_NOTHING, "nothing is attached under %s (weir-loader attach IFACE)", run_dir_get());
	if (fd < 0)
		return fail(EXIT_FAILED, "%s: %s", run_path("lock"), strerror(errno));
	for (int i = 0; i < 500; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;	/* fd is kept open on purpose */
		nanosleep(&pause, NULL);
	}
	close(fd);
	return fail(EXIT_FAILED, "another weir command holds %s for more than ten seconds", run_path("lock"));
}

/* Tables of another schema would be misread. Asked once a process. */
static int check_schema(void)
{
	static bool checked;
	struct datapath d = {};
	__u32 zero = 0;
	int fd;

	if (checked)
		return 0;
	fd = bpf_obj_get(run_path("bpf/maps/datapath"));
	if (fd < 0)
		return 0;	/* opening the map asked for says why */
	checked = !bpf_map_lookup_elem(fd, &zero, &d) && d.schema == WEIR_SCHEMA;
	close(fd);
	if (checked)
		return 0;
	return fail(EXIT_REFUSED, "the running instance has tables of schema %u, this program's are of schema %u: weir-loader detach --all and attach "
		    "again (flows and counters start anew)", d.schema, WEIR_SCHEMA);
}

int run_map(const char *name, bool write)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = write ? 0 : BPF_F_RDONLY);
	int fd;

	if (strcmp(name, "datapath") && check_schema())
		return -1;
	fd = bpf_obj_get_opts(run_path("bpf/maps/%s", name), &opts);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		fail(EXIT_NOTHING, "nothing is attached under %s (weir-loader attach IFACE)", run_dir_get());
	else if (errno == EPERM || errno == EACCES)
		fail(EXIT_FAILED, "map %s: %s: run as root, or with CAP_BPF and CAP_NET_ADMIN", name, strerror(errno));
	else
		fail(EXIT_FAILED, "map %s: %s", name, strerror(errno));
	return -1;
}

/* A map opened for reading only cannot be mapped: its values are copied, many a call. */
static void *copy_of(int fd, const struct bpf_map_info *info, size_t stride, size_t size)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u32 *keys = malloc(info->max_entries * sizeof(*keys)), n, next, done = 0;
	int err = 0;

	while (p != MAP_FAILED && keys && !err && done < info->max_entries) {
		n = info->max_entries - done;
		err = bpf_map_lookup_batch(fd, done ? &next : NULL, &next, keys + done, p + done * stride, &n, &opts);
		if (err && errno == ENOENT && n)
			err = 0;	/* the last ones */
		done += n;
	}
	free(keys);
	return err ? MAP_FAILED : p;
}

void *run_map_memory(const char *name, bool write, size_t *size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	size_t stride;
	bool mapped = true;
	void *p;
	int fd = run_map(name, true);

	if (fd < 0 && !write && (errno == EPERM || errno == EACCES)) {
		fail_clear();
		mapped = false;
		fd = run_map(name, false);
	}
	if (fd < 0)
		return NULL;
	if (bpf_obj_get_info_by_fd(fd, &info, &len)) {
		fail(EXIT_FAILED, "map %s: %s", name, strerror(errno));
		close(fd);
		return NULL;
	}
	stride = (info.value_size + 7) & ~7u;
	*size = info.max_entries * stride;
	p = mapped ? mmap(NULL, *size, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0) : copy_of(fd, &info, stride, *size);
	close(fd);
	if (p == MAP_FAILED) {
		fail(EXIT_FAILED, "map %s: reading it whole: %s", name, strerror(errno));
		return NULL;
	}
	return p;
}
