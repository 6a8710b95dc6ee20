/* SPDX-License-Identifier: GPL-2.0-only */
/* closer: preloaded into weirctl by tests/net_session_walk.py. A file whose process gives it up while a walk through the file tables looks at it is
 * closed by whoever walks, on the way out of read(). The moment is too short to wait for; here it comes in the first walk after SIGUSR1: behind
 * read() the sockets of the process WEIR_HOLDER are taken too, the processes WEIR_GOES (numbers, the holder among them) are killed in turn, and
 * weirctl closes the sockets last. */
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES = 64 };	/* numbers of files looked at */

static volatile sig_atomic_t armed;
static int walk = -1;	/* the iterator over file tables that is being read */

static int is_connected(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_state != TCP_LISTEN;
}

static void end(int pid)
{
	struct pollfd process = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };

	kill(pid, SIGKILL);
	poll(&process, 1, -1);
	close(process.fd);
}

static void close_last(void)
{
	int holder = syscall(SYS_pidfd_open, atoi(getenv("WEIR_HOLDER")), 0), taken[FILES], n = 0;
	char *pids = strdup(getenv("WEIR_GOES"));

	for (int i = 0; i < FILES; i++) {
		int fd = syscall(SYS_pidfd_getfd, holder, i, 0);

		if (fd >= 0 && is_connected(fd))
			taken[n++] = fd;
		else
			close(fd);
	}
	for (char *pid = strtok(pids, " "); pid; pid = strtok(NULL, " "))
		end(atoi(pid));
	while (n)
		close(taken[--n]);
	close(holder);
	free(pids);
}

int bpf_iter_create(int link)
{
	int (*next)(int) = dlsym(RTLD_NEXT, "bpf_iter_create");
	char name[32] = "";
	struct bpf_link_info info = { .iter.target_name = (unsigned long)name, .iter.target_name_len = sizeof(name) };
	unsigned len = sizeof(info);
	int fd = next(link);

	if (armed && !bpf_obj_get_info_by_fd(link, &info, &len) && !strcmp(name, "task_file"))
		walk = fd;
	return fd;
}

ssize_t read(int fd, void *to, size_t size)
{
	ssize_t (*next)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
	ssize_t n = next(fd, to, size);

	if (walk >= 0 && fd == walk && n == 0) {
		walk = -1;
		armed = 0;
		close_last();
	}
	return n;
}

static void arm(int signal)
{
	(void)signal;
	armed = 1;
}

__attribute__((constructor)) static void listen_for_signal(void)
{
	struct sigaction act = { .sa_handler = arm, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &act, NULL);
}
