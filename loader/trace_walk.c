/* SPDX-License-Identifier: GPL-2.0-only */
/* trace_walk: runs the iterators: over file tables, and over the sockets of each network namespace. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../lib/err.h"
#include "trace_private.h"

struct walk {
	struct bpf_link *link;
	void (*session)(void *ctx, const struct session *s);
	void *ctx;
};

/* Whole records of what was read; the rest moves to the front. */
static size_t hand_out(const struct walk *w, char *data, size_t have)
{
	struct session s;
	size_t at = 0;

	for (; have - at >= sizeof(s); at += sizeof(s)) {
		memcpy(&s, data + at, sizeof(s));
		if (w->session)
			w->session(w->ctx, &s);
	}
	memmove(data, data + at, have - at);
	return have - at;
}

/* An iterator does its work while it is read. */
static int iterate(const struct walk *w)
{
	static char data[64 * sizeof(struct session)];
	int fd = bpf_iter_create(bpf_link__fd(w->link));
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, data + have, sizeof(data) - have)) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		if (n > 0)
			have = hand_out(w, data, have + n);
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

struct namespaces {
	const struct walk *walk;
	ino_t *seen;
	int count, size;
	int skipped;		/* could not be entered */
};

/* Read the sockets of the namespace at path, once for each namespace. */
static void visit(struct namespaces *n, const char *path)
{
	struct stat st;
	int fd;

	if (stat(path, &st))
		return;
	for (int i = 0; i < n->count; i++)
		if (n->seen[i] == st.st_ino)
			return;
	if (n->count == n->size) {
		ino_t *seen = realloc(n->seen, (n->size + 64) * sizeof(*seen));

		if (!seen)
			return;
		n->seen = seen;
		n->size += 64;
	}
	n->seen[n->count++] = st.st_ino;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) || iterate(n->walk))
		n->skipped++;
	if (fd >= 0)
		close(fd);
}

static void visit_processes(struct namespaces *n)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char path[300];

	while (proc && (e = readdir(proc))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/ns/net", e->d_name);
		visit(n, path);
	}
	if (proc)
		closedir(proc);
}

/* Namespaces kept by a bind mount only: `ip netns add`, containers. */
static void visit_mounts(struct namespaces *n)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[4096], root[64], path[3072];

	while (mounts && fgets(line, sizeof(line), mounts))
		if (strstr(line, " - nsfs ") && sscanf(line, "%*d %*d %*s %63s %3071s", root, path) == 2 && !strncmp(root, "net:", 4))
			visit(n, path);
	if (mounts)
		fclose(mounts);
}

/* A thread of its own: it ends in whichever namespace it saw last. */
static void *visit_namespaces(void *arg)
{
	struct namespaces *n = arg;

	visit(n, "/proc/thread-self/ns/net");
	visit_processes(n);
	visit_mounts(n);
	return NULL;
}

int trace_iterate(struct bpf_link *link)
{
	const struct walk w = { .link = link };

	return iterate(&w);
}

int trace_walk_sockets(struct bpf_link *link, void (*session)(void *ctx, const struct session *s), void *ctx)
{
	const struct walk w = { .link = link, .session = session, .ctx = ctx };
	struct namespaces n = { .walk = &w };
	pthread_t thread;
	int err = pthread_create(&thread, NULL, visit_namespaces, &n);

	if (err)
		return -err;
	pthread_join(thread, NULL);
	if (verbose && n.skipped)
		note("%d of %d network namespaces could not be entered", n.skipped, n.count);
	free(n.seen);
	return 0;
}

/* Those found are of sockets that may be gone, their addresses used anew. */
static void forget_holders(struct trace *t)
{
	int fd = bpf_object__find_map_fd_by_name(t->object, "session_holders"), err;
	static struct session_holder holders[1024];
	static uint64_t names[1024];
	uint32_t at, count, *from = NULL;

	if (!trace_count(&t->shared->noted))
		return;
	t->shared->noted = 0;
	do {
		count = 1024;
		err = bpf_map_lookup_and_delete_batch(fd, from, &at, names, holders, &count, NULL);
		from = &at;
	} while (!err);
}

int trace_walk_owners(struct trace *t, struct bpf_link *link, void (*session)(void *ctx, const struct session *s), void *ctx)
{
	int err;

	t->shared->seeding = 1;
	trace_iterate(t->files);
	t->shared->seeding = 0;
	err = trace_walk_sockets(link, session, ctx);
	forget_holders(t);
	return err;
}

/* What the walk itself closes is closed on the way out of the kernel, before the iterator has been read. */
void trace_walk_files(struct trace *t)
{
	trace_iterate(t->files);
	forget_holders(t);
}
