/* SPDX-License-Identifier: GPL-2.0-only */
/* instance: run directory, bpffs, shared parameters, interface slots. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "instance.h"
#include "netns.h"

#define DEFAULT_FLOWS (1ul << 20)
#define WAYS_BITS 3		/* log2 of FLOW_WAYS */

static int make_dir(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(part, 0755) && errno != EEXIST)
			return fail(EXIT_FAILED, "%s: %s", part, strerror(errno));
		*p = '/';
	}
	if (mkdir(part, 0755) && errno != EEXIST)
		return fail(EXIT_FAILED, "%s: %s", part, strerror(errno));
	return 0;
}

bool instance_mounted(void)
{
	struct statfs fs;

	return !statfs(run_path("bpf"), &fs) && fs.f_type == BPF_FS_MAGIC;
}

static int parent_of(int pid)
{
	char path[64];
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	if (f)
		fclose(f);
	return parent;
}

/* `ip netns exec` gives a command a mount namespace of its own: a bpffs mounted there would be gone with it, and all pins too. Mount namespaces
 * that last (containers, chroots) have no such network namespace. */
static bool private_mounts(void)
{
	struct stat self, other;
	char path[64];

	if (!netns_home_is_named() || stat("/proc/self/ns/mnt", &self))
		return false;
	for (int pid = getppid(); pid > 0; pid = parent_of(pid)) {
		snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
		if (!stat(path, &other) && other.st_ino != self.st_ino)
			return true;
	}
	return false;
}

static int mount_bpffs(void)
{
	const char *path = run_path("bpf");

	if (private_mounts())
		return fail(EXIT_FAILED, "%s has no bpffs yet and this process has a mount namespace of its own, with which it would vanish: "
			    "run outside `ip netns exec` and name the namespace by --netns", path);
	if (mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755"))
		return fail(EXIT_FAILED, "%s has no bpffs and mounting one failed: %s: as root, mount -t bpf bpf %s", path, strerror(errno),
			    path);
	return 0;
}

int instance_prepare(void)
{
	int err = make_dir(run_path("bpf"));

	if (!err)
		err = make_dir(run_path("config"));
	if (!err && !instance_mounted())
		err = mount_bpffs();
	if (!err)
		err = make_dir(run_path("bpf/maps"));
	if (!err)
		err = make_dir(run_path("bpf/links"));
	return err;
}

static int bits_for(unsigned long flows)
{
	int bits = 0;

	while (bits < 28 && 1ul << (bits + WAYS_BITS) < flows)
		bits++;
	return bits ? bits : 1;
}

static int parameters_make(struct datapath *d, unsigned long flows)
{
	struct timespec tick;

	memset(d, 0, sizeof(*d));
	d->schema = WEIR_SCHEMA;
	d->flow4_bits = bits_for(flows ? flows : DEFAULT_FLOWS);
	d->flow6_bits = bits_for((flows ? flows : DEFAULT_FLOWS) / 4);
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || !tick.tv_nsec)
		return fail(EXIT_FAILED, "the length of a jiffy is unknown: %s", strerror(errno));
	d->hz = (1000000000 + tick.tv_nsec / 2) / tick.tv_nsec;
	if (getrandom(d->seed, sizeof(d->seed), 0) != sizeof(d->seed))
		return fail(EXIT_FAILED, "no random numbers: %s", strerror(errno));
	return 0;
}

static int parameters_pin(const struct datapath *d)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "datapath", sizeof(__u32), sizeof(*d), 1, NULL);
	__u32 zero = 0;
	int err;

	if (fd < 0)
		return fail(EXIT_FAILED, "the kernel refuses maps: %s: run as root, or with CAP_BPF and CAP_NET_ADMIN", strerror(errno));
	err = bpf_map_update_elem(fd, &zero, d, 0) || bpf_obj_pin(fd, run_path("bpf/maps/datapath"));
	if (err)
		err = fail(EXIT_FAILED, "%s: %s", run_path("bpf/maps/datapath"), strerror(errno));
	close(fd);
	return err;
}

int instance_read(struct datapath *d)
{
	int fd = run_map("datapath", false);
	__u32 zero = 0;
	int err;

	if (fd < 0)
		return EXIT_NOTHING;
	err = bpf_map_lookup_elem(fd, &zero, d);
	close(fd);
	if (err)
		return fail(EXIT_FAILED, "map datapath: %s", strerror(errno));
	if (d->schema != WEIR_SCHEMA)
		return fail(EXIT_REFUSED, "the running instance has tables of schema %u, this program's are of schema %u: detach --all and attach "
			    "again (flows and counters start anew)", d->schema, WEIR_SCHEMA);
	return 0;
}

int instance_datapath(struct datapath *d, unsigned long flows)
{
	int err;

	if (!access(run_path("bpf/maps/datapath"), F_OK)) {
		err = instance_read(d);
		if (!err && flows && bits_for(flows) != (int)d->flow4_bits)
			note("--flows is fixed while the instance lives: it has room for %lu IPv4 flows",
			     1ul << (d->flow4_bits + WAYS_BITS));
		return err;
	}
	err = parameters_make(d, flows);
	return err ? err : parameters_pin(d);
}

int instance_slot(const char *name, __u64 netns, struct interface_slot *s)
{
	int fd = run_map("interfaces", true), unused = -1, detached = -1;

	if (fd < 0)
		return -1;
	for (__u32 i = 1; i < MAX_INTERFACES; i++) {
		if (bpf_map_lookup_elem(fd, &i, s))
			break;
		if (s->netns == netns && !strcmp(s->name, name)) {
			close(fd);
			return i;
		}
		if (!s->name[0] && unused < 0)
			unused = i;
		if (s->name[0] && !s->attached && detached < 0)
			detached = i;
	}
	close(fd);
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->netns = netns;
	if (unused >= 0)
		return unused;
	if (detached >= 0)
		return detached;
	fail(EXIT_FAILED, "%d interfaces are attached, no more fit", MAX_INTERFACES - 1);
	return -1;
}

int instance_slot_write(int slot, const struct interface_slot *s)
{
	int fd = run_map("interfaces", true);
	__u32 key = slot;
	int err;

	if (fd < 0)
		return EXIT_FAILED;
	err = bpf_map_update_elem(fd, &key, s, 0);
	close(fd);
	return err ? fail(EXIT_FAILED, "map interfaces: %s", strerror(errno)) : 0;
}

static struct control read_control(void)
{
	struct control c = {};
	__u32 zero = 0;
	int fd = run_map("control", false);

	if (fd < 0) {
		fail_clear();
		return c;
	}
	bpf_map_lookup_elem(fd, &zero, &c);
	close(fd);
	return c;
}

__u64 instance_generation(void)
{
	return active_generation(read_control().active);
}

bool instance_full(void)
{
	return read_control().full;
}

static int remove_below(const char *dir)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(dir);
	int err = 0;

	if (!d)
		return errno == ENOENT ? 0 : fail(EXIT_FAILED, "%s: %s", dir, strerror(errno));
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path) && rmdir(path))
			err = fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	}
	closedir(d);
	return err;
}

int instance_remove(void)
{
	int err = remove_below(run_path("bpf/maps"));

	if (!err)
		err = remove_below(run_path("config"));
	if (!err && instance_mounted() && umount(run_path("bpf")) && errno != EINVAL && errno != EPERM)
		return fail(EXIT_FAILED, "%s: umount: %s", run_path("bpf"), strerror(errno));
	return err;
}
