/* SPDX-License-Identifier: GPL-2.0-only */
/* blind: preloaded into weirctl by tests/net_session_gone.py. At SIGUSR1 the kernel no longer runs its programs at tracepoints, and it does
 * not know: their links are closed under it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int is_tracepoint(int fd)
{
	char path[64], text[1024];
	int info, n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? 0 : read(info, text, sizeof(text) - 1);
	close(info);
	text[n > 0 ? n : 0] = 0;
	return !!strstr(text, "link_type:\traw_tracepoint");
}

static void go_blind(int signal)
{
	int none = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)signal;
	for (int fd = 3; fd < 256; fd++)
		if (is_tracepoint(fd))
			dup2(none, fd);		/* the number stays taken: weirctl closes it again */
	close(none);
}

__attribute__((constructor)) static void listen_for_signal(void)
{
	struct sigaction act = { .sa_handler = go_blind, .sa_flags = SA_RESTART };

	sigaction(SIGUSR1, &act, NULL);
}
