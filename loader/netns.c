/* SPDX-License-Identifier: GPL-2.0-only */
/* netns: network namespaces by name, path or inode. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../lib/err.h"
#include "netns.h"

#define NETNS_DIR "/run/netns"

static int home = -1;

static __u64 inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

static int remember_home(void)
{
	if (home < 0)
		home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return home;
}

int netns_enter(const char *name, __u64 *inode)
{
	char path[PATH_MAX];
	int fd, err = 0;

	if (remember_home() < 0)
		return fail(EXIT_FAILED, "/proc/self/ns/net: %s", strerror(errno));
	if (!name || !*name) {
		*inode = inode_of(home);
		return 0;
	}
	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" : NETNS_DIR "/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(EXIT_NOTHING, "network namespace %s: %s (ip netns list shows the names)", name, strerror(errno));
	if (setns(fd, CLONE_NEWNET))
		err = fail(EXIT_FAILED, "network namespace %s: %s: entering it needs CAP_SYS_ADMIN", name, strerror(errno));
	*inode = inode_of(fd);
	close(fd);
	return err;
}

int netns_leave(void)
{
	return home < 0 ? 0 : setns(home, CLONE_NEWNET);
}

/* Open the namespace below /run/netns that has this inode; its name goes to buf. */
static int open_by_inode(__u64 inode, char *buf, size_t size)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(NETNS_DIR);
	int fd = -1;

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), NETNS_DIR "/%s", e->d_name);
		fd = e->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && inode_of(fd) == inode) {
			snprintf(buf, size, "%s", e->d_name);
			break;
		}
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	if (d)
		closedir(d);
	return fd;
}

const char *netns_name(__u64 inode, char *buf, size_t size)
{
	int fd;

	buf[0] = 0;
	if (remember_home() >= 0 && inode_of(home) == inode)
		return buf;
	fd = open_by_inode(inode, buf, size);
	if (fd >= 0)
		close(fd);
	else
		snprintf(buf, size, "inode:%llu", (unsigned long long)inode);
	return buf;
}

bool netns_home_is_named(void)
{
	char name[NAME_MAX + 1];
	int fd = remember_home() < 0 ? -1 : open_by_inode(inode_of(home), name, sizeof(name));

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int netns_enter_inode(__u64 inode)
{
	char name[NAME_MAX + 1];
	int fd, err;

	if (remember_home() < 0)
		return -1;
	if (inode_of(home) == inode)
		return 0;
	fd = open_by_inode(inode, name, sizeof(name));
	if (fd < 0)
		return -1;
	err = setns(fd, CLONE_NEWNET);
	close(fd);
	return err;
}
