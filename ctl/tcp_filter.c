/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_filter: options into the filter that the tracing programs are loaded with. */
#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../lib/err.h"
#include "tcp.h"

struct tcp_options tcp_opt;

/* A word of a list separated by commas; *text moves behind it. False: none left. */
static bool next_word(const char **text, char *word, size_t size)
{
	size_t n = strcspn(*text, ",");

	if (!**text)
		return false;
	snprintf(word, size, "%.*s", (int)n, *text);
	*text += n + ((*text)[n] == ',');
	return true;
}

static bool port_number(const char *text, uint16_t *port)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	*port = v;
	return *text >= '0' && *text <= '9' && !*end && v <= UINT16_MAX;
}

int tcp_filter_ports(struct session_filter *f, const char *option, const char *text, enum session_side side)
{
	char word[64];

	while (text && next_word(&text, word, sizeof(word))) {
		struct session_port_range r = { .side = side };
		char *dash = strchr(word, '-');

		if (dash && dash != word)
			*dash++ = 0;
		if (!port_number(word, &r.first) || !port_number(dash ? dash : word, &r.last) || r.first > r.last)
			return fail(EXIT_USAGE, "--%s: \"%s%s%s\" is not a port or a range; a port is at most 65535", option, word,
				    dash ? "-" : "", dash ? dash : "");
		if (f->n_ports == SESSION_RANGES)
			return fail(EXIT_USAGE, "--%s: at most %d ports and ranges in all", option, SESSION_RANGES);
		f->ports[f->n_ports++] = r;
		f->need_ports |= 1 << side;
	}
	return 0;
}

static bool prefix(const char *word, struct session_prefix *p)
{
	char address[64], *slash, *end = "";
	long bits, most;

	snprintf(address, sizeof(address), "%s", word);
	slash = strchr(address, '/');
	if (slash)
		*slash++ = 0;
	p->family = strchr(address, ':') ? AF_INET6 : AF_INET;
	most = p->family == AF_INET6 ? 128 : 32;
	if (inet_pton(p->family, address, p->addr) != 1)
		return false;
	bits = slash ? strtol(slash, &end, 10) : most;
	if ((slash && (*slash < '0' || *slash > '9')) || *end || bits < 0 || bits > most)
		return false;
	for (int i = 0; i < 4; i++, bits -= 32) {
		p->mask[i] = bits >= 32 ? ~0u : bits <= 0 ? 0 : htonl(~0u << (32 - bits));
		p->addr[i] &= p->mask[i];
	}
	return true;
}

int tcp_filter_prefixes(struct session_filter *f, const char *option, const char *text, enum session_side side)
{
	char word[64];

	while (text && next_word(&text, word, sizeof(word))) {
		struct session_prefix p = { .side = side };

		if (!prefix(word, &p))
			return fail(EXIT_USAGE, "--%s: \"%s\" is not an address or a prefix: 192.0.2.1, 10.0.0.0/8, 2001:db8::/32", option,
				    word);
		if (f->n_prefixes == SESSION_RANGES)
			return fail(EXIT_USAGE, "--%s: at most %d prefixes in all", option, SESSION_RANGES);
		f->prefixes[f->n_prefixes++] = p;
		f->need_prefixes |= 1 << side;
	}
	return 0;
}

static bool number(const char *text, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static int set_uid(struct session_filter *f)
{
	const struct passwd *user;
	uint64_t v;

	if (!tcp_opt.uid)
		return 0;
	user = getpwnam(tcp_opt.uid);
	if (user)
		v = user->pw_uid;
	else if (!number(tcp_opt.uid, &v) || v > UINT32_MAX)
		return fail(EXIT_USAGE, "--uid %s: no such user, and not a number", tcp_opt.uid);
	f->uid = v;
	f->by_uid = 1;
	return 0;
}

/* The id of a cgroup is its inode number. */
static int set_cgroup(struct session_filter *f)
{
	static const char *const roots[] = { "", "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };
	const char *text = tcp_opt.cgroup;
	uint64_t v;

	if (!text)
		return 0;
	if (number(text, &v)) {
		f->cgroup = v;
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof(path), "%s%s%s", roots[i], *roots[i] && *text != '/' ? "/" : "", text);
		if (stat(path, &st) || !S_ISDIR(st.st_mode))
			continue;
		f->cgroup = st.st_ino;
		return 0;
	}
	return fail(EXIT_USAGE, "--cgroup %s: no such cgroup; give a path below /sys/fs/cgroup, or the id", text);
}

static int set_netns(struct session_filter *f)
{
	const char *text = tcp_opt.netns;
	char path[4096];
	struct stat st;
	uint64_t v;

	if (!text)
		return 0;
	if (number(text, &v) && v <= UINT32_MAX) {
		f->netns = v;
		return 0;
	}
	snprintf(path, sizeof(path), "%s%s", strchr(text, '/') ? "" : "/run/netns/", text);
	if (stat(path, &st))
		return fail(EXIT_USAGE, "--netns %s: no such network namespace (%s); `ip netns` lists those with names", text, path);
	f->netns = st.st_ino;
	return 0;
}

static int set_process(struct session_filter *f)
{
	if (tcp_opt.pid > INT32_MAX)
		return fail(EXIT_USAGE, "--pid %lu: not a process id", tcp_opt.pid);
	f->pid = tcp_opt.pid;
	if (!tcp_opt.comm)
		return 0;
	if (!*tcp_opt.comm || strlen(tcp_opt.comm) >= sizeof(f->comm))
		return fail(EXIT_USAGE, "--comm %s: a name has 1 to %zu characters", tcp_opt.comm, sizeof(f->comm) - 1);
	memcpy(f->comm, tcp_opt.comm, strlen(tcp_opt.comm));
	f->by_comm = 1;
	return 0;
}

static int set_limits(struct session_filter *f)
{
	if (tcp_opt.duration > UINT64_MAX / SECOND_NS)
		return fail(EXIT_USAGE, "--duration %lu: too long", tcp_opt.duration);
	if (tcp_opt.min_ms > UINT64_MAX / 1000000)
		return fail(EXIT_USAGE, "--min-ms %lu: too long", tcp_opt.min_ms);
	if (tcp_opt.sockets > 1 << 24)
		return fail(EXIT_USAGE, "--sockets %lu: at most %d", tcp_opt.sockets, 1 << 24);
	while (tcp_opt.sockets > (unsigned long)SESSION_WAYS << f->bucket_bits || (tcp_opt.sockets && !f->bucket_bits))
		f->bucket_bits++;
	f->min_bytes = tcp_opt.min_bytes;
	f->min_ns = tcp_opt.min_ms * 1000000ull;
	return 0;
}

static int set_ends(struct session_filter *f)
{
	const struct {
		const char *name, *ports, *prefixes_name, *prefixes;
	} sides[SESSION_SIDES] = {
		[SESSION_EITHER] = { "port", tcp_opt.port, "addr", tcp_opt.addr },
		[SESSION_LOCAL] = { "lport", tcp_opt.lport, "laddr", tcp_opt.laddr },
		[SESSION_REMOTE] = { "rport", tcp_opt.rport, "raddr", tcp_opt.raddr },
	};
	int code = 0;

	for (int i = 0; !code && i < SESSION_SIDES; i++) {
		code = tcp_filter_ports(f, sides[i].name, sides[i].ports, i);
		if (!code)
			code = tcp_filter_prefixes(f, sides[i].prefixes_name, sides[i].prefixes, i);
	}
	return code;
}

int tcp_filter(struct session_filter *f)
{
	static int (*const parts[])(struct session_filter *) = { set_process, set_uid, set_cgroup, set_netns, set_limits, set_ends };
	int code = 0;

	for (size_t i = 0; !code && i < sizeof(parts) / sizeof(parts[0]); i++)
		code = parts[i](f);
	f->names = f->cgroup;
	return code;
}
