/* SPDX-License-Identifier: GPL-2.0-only */
/* doctor: one check a line: ok, warn or fail, with what it means. A check changes nothing. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "../lib/run.h"
#include "doctor.h"
#include "instance.h"
#include "netns.h"
#include "owner.h"

enum level { OK, WARN, FAIL };

static int failures;

static void say(enum level l, const char *check, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(enum level l, const char *check, const char *fmt, ...)
{
	static const char *const word[] = { "ok", "warn", "fail" };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	failures += l == FAIL;
	out_row();
	out_text("check", check);
	out_text("result", word[l]);
	out_text("detail", text);
}

static void check_kernel(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%d.%d", &major, &minor);
	say(major > 6 || (major == 6 && minor >= 1) ? OK : FAIL, "kernel", "%s; weir needs 6.1 or later", u.release);
	if (major > 6 || (major == 6 && minor >= 6))
		say(OK, "tcx", "tc programs attach by tcx");
	else
		say(WARN, "tcx", "needs kernel 6.6; tc programs attach by clsact");
}

static void check_btf(void)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		say(OK, "btf", "/sys/kernel/btf/vmlinux is there");
	else
		say(FAIL, "btf", "/sys/kernel/btf/vmlinux: %s: the kernel needs CONFIG_DEBUG_INFO_BTF", strerror(errno));
}

static void check_jit(void)
{
	FILE *f = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int on = 1;

	if (f && fscanf(f, "%d", &on) == 1 && !on)
		say(WARN, "jit", "off: programs are interpreted, many times slower: sysctl net.core.bpf_jit_enable=1");
	else
		say(OK, "jit", "on");
	if (f)
		fclose(f);
}

static void check_capabilities(void)
{
	static const struct { cap_value_t cap; const char *name; } need[] = {
		{ CAP_BPF, "CAP_BPF" }, { CAP_NET_ADMIN, "CAP_NET_ADMIN" }, { CAP_PERFMON, "CAP_PERFMON" }, { CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
	};
	char missing[128] = "";
	cap_t caps = cap_get_proc();
	cap_flag_value_t set;

	for (unsigned i = 0; caps && i < sizeof(need) / sizeof(need[0]); i++) {
		if (!cap_get_flag(caps, need[i].cap, CAP_EFFECTIVE, &set) && set == CAP_SET)
			continue;
		snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), " %s", need[i].name);
	}
	cap_free(caps);
	if (!missing[0])
		say(OK, "capabilities", "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN are there");
	else
		say(FAIL, "capabilities", "missing:%s (CAP_SYS_ADMIN only for mounting bpffs, --netns and program ids): run as root", missing);
}

static void check_bpffs(void)
{
	if (instance_mounted())
		say(OK, "bpffs", "mounted at %s", run_path("bpf"));
	else
		say(WARN, "bpffs", "not mounted at %s: the first attach does it", run_path("bpf"));
}

/* The smallest freplace program there is does not load without a target, but whether the kind is known tells EPERM from EINVAL. */
static void check_freplace(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	struct bpf_insn code[] = { { .code = 0xb7 }, { .code = 0x95 } };
	int fd = bpf_prog_load(BPF_PROG_TYPE_EXT, "probe", "GPL", code, 2, &opts);

	if (fd >= 0)
		close(fd);
	if (fd < 0 && errno == EPERM)
		say(WARN, "freplace", "refused by this kernel: --chain (libxdp's dispatcher) is not available");
	else
		say(OK, "freplace", "not refused: --chain may be used");
}

static int ethtool(const char *ifname, void *command)
{
	struct ifreq r = { .ifr_data = command };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	err = fd < 0 ? -1 : ioctl(fd, SIOCETHTOOL, &r);
	if (fd >= 0)
		close(fd);
	return err;
}

static int mtu_of(const char *ifname)
{
	struct ifreq r = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	err = fd < 0 ? -1 : ioctl(fd, SIOCGIFMTU, &r);
	if (fd >= 0)
		close(fd);
	return err ? 0 : r.ifr_mtu;
}

static void check_driver(const char *ifname)
{
	struct ethtool_drvinfo d = { .cmd = ETHTOOL_GDRVINFO };
	int mtu = mtu_of(ifname);

	if (ethtool(ifname, &d))
		snprintf(d.driver, sizeof(d.driver), "unknown");
	say(OK, "driver", "%s, MTU %d", d.driver, mtu);
	if (mtu > 3506)
		say(WARN, "mtu", "%d: native XDP needs frames of several buffers above about 3500 (driver and --no-frags decide)", mtu);
	if (!strcmp(d.driver, "veth"))
		say(WARN, "veth", "native XDP here switches off the peer's segmentation offload (about a fifth of the throughput); for counting "
		    "alone use --hooks tc-ingress,tc-egress. XDP_TX and REDIRECT to a veth need XDP or GRO on the peer");
}

static void check_channels(const char *ifname)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };

	if (ethtool(ifname, &c))
		return;
	say(OK, "channels", "%u combined, %u rx, %u tx", c.combined_count, c.rx_count, c.tx_count);
}

static void check_offloads(const char *ifname)
{
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };

	if (ethtool(ifname, &flags))
		return;
	if (flags.data & ETH_FLAG_RXVLAN)
		say(WARN, "rxvlan", "the card takes VLAN tags off before XDP sees them: ethtool -K %s rxvlan off for vlan rules in XDP", ifname);
	if (flags.data & ETH_FLAG_LRO)
		say(WARN, "lro", "on: many drivers refuse XDP then: ethtool -K %s lro off", ifname);
}

static void check_other_xdp(const char *ifname)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	char who[256];
	int ifindex = if_nametoindex(ifname);

	if (bpf_xdp_query(ifindex, 0, &query) || query.attach_mode == XDP_ATTACHED_NONE)
		say(OK, "xdp", "no XDP program is attached");
	else
		say(OK, "xdp", "attached: %s", owner_of_xdp(ifindex, who, sizeof(who)));
}

static void check_forwarding(const char *ifname)
{
	char path[128];
	FILE *f;
	int on = 0;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", ifname);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &on) == 1 && on)
		say(OK, "forwarding", "on: the balancer can ask the kernel for routes");
	else
		say(WARN, "forwarding", "off: services will drop (forwarding-off): sysctl net.ipv4.conf.%s.forwarding=1 and net.ipv6.conf.all.forwarding=1", ifname);
	if (f)
		fclose(f);
}

int doctor(const char *ifname, const char *netns)
{
	__u64 inode;
	int err = netns_enter(netns, &inode);

	if (!err && ifname && !if_nametoindex(ifname))
		err = fail(EXIT_NOTHING, "%s: no such interface here (ip link shows them; --netns names another namespace)", ifname);
	if (err) {
		netns_leave();
		return err;
	}
	out_list("checks");
	check_kernel();
	check_btf();
	check_jit();
	check_capabilities();
	check_bpffs();
	check_freplace();
	if (ifname) {
		check_driver(ifname);
		check_channels(ifname);
		check_offloads(ifname);
		check_other_xdp(ifname);
		check_forwarding(ifname);
	}
	out_list_end();
	netns_leave();
	return failures ? fail(EXIT_FAILED, "%d check%s failed", failures, failures > 1 ? "s" : "") : 0;
}
