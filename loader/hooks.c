/* SPDX-License-Identifier: GPL-2.0-only */
/* hooks: XDP and tcx by bpf_link, tc by clsact where there is no tcx, XDP behind libxdp's dispatcher on request. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xdp/libxdp.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "hooks.h"
#include "object.h"
#include "owner.h"

/* enum bpf_attach_type values that libbpf 1.1 has no names for (kernel 6.6) */
#define TCX_INGRESS 46
#define TCX_EGRESS 47

/* Ours among the filters of a clsact qdisc. */
#define CLSACT_HANDLE 0x77
#define CLSACT_PRIORITY 0x7765

const char *const mode_name[MODE_COUNT] = { "native", "skb", "auto", "tcx", "clsact", "chain" };

static int pin(int fd, const char *dir, enum hook hook, enum mode mode)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s-%s", dir, hook_name[hook], mode_name[mode]);
	return bpf_obj_pin(fd, path) ? fail(EXIT_FAILED, "%s: %s", path, strerror(errno)) : 0;
}

static int xdp_refused(const char *ifname, int ifindex, enum mode mode, int err)
{
	char who[256];

	switch (err) {
	case EBUSY:
	case EEXIST:
		return fail(EXIT_REFUSED, "%s: an XDP program is attached already: %s; detach it, or attach with --chain", ifname,
			    owner_of_xdp(ifindex, who, sizeof(who)));
	case ERANGE:
	case E2BIG:
		return fail(EXIT_FAILED, "%s: the MTU is too large for native XDP%s: lower it (ip link set %s mtu 1500) or use --mode skb", ifname,
			    " with this driver, or without frames of several buffers", ifname);
	case EOPNOTSUPP:
		return fail(EXIT_FAILED, "%s: the driver has no %s XDP: use --mode skb, or --hooks tc-ingress,tc-egress", ifname,
			    mode_name[mode]);
	case EPERM:
		return fail(EXIT_FAILED, "%s: attaching XDP: %s: run as root, or with CAP_NET_ADMIN and CAP_BPF", ifname, strerror(err));
	default:
		return fail(EXIT_FAILED, "%s: attaching XDP (%s): %s", ifname, mode_name[mode], strerror(err));
	}
}

static int xdp_link(int prog, int ifindex, enum mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode == MODE_SKB ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);

	return bpf_link_create(prog, ifindex, BPF_XDP, &opts);
}

static int attach_xdp(enum mode *mode, int prog, const char *ifname, int ifindex, const char *dir)
{
	enum mode want = *mode;
	int fd, err;

	*mode = want == MODE_SKB ? MODE_SKB : MODE_NATIVE;
	fd = xdp_link(prog, ifindex, *mode);
	if (fd < 0 && want == MODE_AUTO && errno != EBUSY && errno != EPERM) {
		note("%s: no native XDP here (%s), taking skb mode", ifname, strerror(errno));
		*mode = MODE_SKB;
		fd = xdp_link(prog, ifindex, *mode);
	}
	if (fd < 0)
		return xdp_refused(ifname, ifindex, *mode, errno);
	err = pin(fd, dir, HOOK_XDP, *mode);
	close(fd);
	return err;
}

static int attach_chain(int prog, const char *ifname, int ifindex, const char *dir)
{
	struct xdp_program *p = xdp_program__from_fd(prog);
	long err = libxdp_get_error(p);

	if (!err)
		err = xdp_program__attach(p, ifindex, XDP_MODE_NATIVE, 0);
	if (!err) {
		err = pin(prog, dir, HOOK_XDP, MODE_CHAIN);
		if (err)
			xdp_program__detach(p, ifindex, XDP_MODE_NATIVE, 0);
	} else if (err == -EPERM || err == -EOPNOTSUPP || err == -EINVAL) {
		err = fail(EXIT_REFUSED, "%s: --chain needs libxdp's dispatcher, which is made of freplace programs, and this kernel refuses them (%s): "
			   "attach without --chain where no other XDP program is, or use --hooks tc-ingress,tc-egress", ifname, strerror(-err));
	} else {
		err = fail(EXIT_FAILED, "%s: libxdp's dispatcher: %s", ifname, strerror(-err));
	}
	if (!libxdp_get_error(p))
		xdp_program__close(p);
	return err;
}

static int detach_chain(int prog, int ifindex)
{
	struct xdp_program *p = xdp_program__from_fd(prog);
	int err = libxdp_get_error(p);

	if (err)
		return err;
	err = xdp_program__detach(p, ifindex, XDP_MODE_NATIVE, 0);
	xdp_program__close(p);
	return err;
}

static int clsact(enum hook hook, int ifindex, int prog, bool replace)
{
	LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = ifindex,
		    .attach_point = hook == HOOK_TC_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, what, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY, .prog_fd = prog,
		    .flags = replace ? BPF_TC_F_REPLACE : 0);
	int err = bpf_tc_hook_create(&where);

	if (err && err != -EEXIST)
		return err;
	return bpf_tc_attach(&where, &what);
}

static int clsact_detach(enum hook hook, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = ifindex,
		    .attach_point = hook == HOOK_TC_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, what, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);

	return bpf_tc_detach(&where, &what);
}

static int attach_tc(enum hook hook, enum mode *mode, int prog, const char *ifname, int ifindex, const char *dir)
{
	int fd = -1, err;

	if (*mode != MODE_CLSACT) {
		fd = bpf_link_create(prog, ifindex, hook == HOOK_TC_INGRESS ? TCX_INGRESS : TCX_EGRESS, NULL);
		if (fd >= 0) {
			*mode = MODE_TCX;
			err = pin(fd, dir, hook, *mode);
			close(fd);
			return err;
		}
		if (errno != EINVAL)
			return fail(EXIT_FAILED, "%s: attaching %s by tcx: %s", ifname, hook_name[hook], strerror(errno));
	}
	*mode = MODE_CLSACT;
	err = clsact(hook, ifindex, prog, true);
	if (err)
		return fail(EXIT_FAILED, "%s: attaching %s by clsact: %s", ifname, hook_name[hook], strerror(-err));
	err = pin(prog, dir, hook, *mode);
	if (err)
		clsact_detach(hook, ifindex);
	return err;
}

int hook_attach(enum hook hook, enum mode *mode, int prog, const char *ifname, int ifindex, const char *dir)
{
	if (hook != HOOK_XDP)
		return attach_tc(hook, mode, prog, ifname, ifindex, dir);
	if (*mode == MODE_CHAIN)
		return attach_chain(prog, ifname, ifindex, dir);
	return attach_xdp(mode, prog, ifname, ifindex, dir);
}

static int open_pin(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return bpf_obj_get(path);
}

static bool read_link(int fd, struct hook_state *h)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return false;
	h->link_id = info.id;
	h->prog_id = info.prog_id;
	h->ifindex = info.xdp.ifindex;	/* tcx has it at the same place */
	return true;
}

static bool read_program(int fd, struct hook_state *h)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return false;
	h->prog_id = info.id;
	h->ifindex = -1;	/* a pinned program does not know */
	return true;
}

bool hook_read(const char *dir, const char *name, struct hook_state *h)
{
	const char *dot = strrchr(name, '-');
	int i, fd;
	bool ok;

	memset(h, 0, sizeof(*h));
	if (!dot)
		return false;
	for (i = 0; i < HOOK_COUNT; i++)
		if (strlen(hook_name[i]) == (size_t)(dot - name) && !strncmp(hook_name[i], name, dot - name))
			break;
	h->hook = i;
	for (i = 0; i < MODE_COUNT; i++)
		if (!strcmp(mode_name[i], dot + 1))
			break;
	h->mode = i;
	if (h->hook == HOOK_COUNT || h->mode == MODE_COUNT)
		return false;
	fd = open_pin(dir, name);
	if (fd < 0)
		return false;
	ok = h->mode == MODE_CLSACT || h->mode == MODE_CHAIN ? read_program(fd, h) : read_link(fd, h);
	close(fd);
	return ok;
}

static int replace_pin(const char *dir, const char *name, int prog)
{
	char path[PATH_MAX], staged[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(staged, sizeof(staged), "%s/staged", dir);
	unlink(staged);
	if (bpf_obj_pin(prog, staged) || rename(staged, path))
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	return 0;
}

int hook_update(const char *dir, const char *name, const struct hook_state *h, int prog)
{
	int fd, err;

	if (h->mode == MODE_CHAIN)
		return fail(EXIT_REFUSED, "a program behind libxdp's dispatcher is not upgraded in place: detach and attach it");
	if (h->mode == MODE_CLSACT) {
		err = clsact(h->hook, h->ifindex, prog, true);
		return err ? fail(EXIT_FAILED, "%s: %s", hook_name[h->hook], strerror(-err)) : replace_pin(dir, name, prog);
	}
	fd = open_pin(dir, name);
	if (fd < 0)
		return fail(EXIT_FAILED, "%s/%s: %s", dir, name, strerror(errno));
	err = bpf_link_update(fd, prog, NULL) ? fail(EXIT_FAILED, "%s: replacing the program: %s", hook_name[h->hook], strerror(errno)) : 0;
	close(fd);
	return err;
}

int hook_detach(const char *dir, const char *name, const struct hook_state *h)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (h->mode == MODE_CLSACT) {
		if (h->ifindex > 0)
			clsact_detach(h->hook, h->ifindex);	/* gone already is as good */
	} else if (h->mode == MODE_CHAIN) {
		if (fd >= 0 && h->ifindex > 0)
			detach_chain(fd, h->ifindex);
	} else if (fd >= 0) {
		/* Unpinned alone it stays on until a kernel worker comes, or whoever else has it open closes it. */
		bpf_link_detach(fd);
	}
	if (fd >= 0)
		close(fd);
	return unlink(path) && errno != ENOENT ? fail(EXIT_FAILED, "%s: %s", path, strerror(errno)) : 0;
}
