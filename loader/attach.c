/* SPDX-License-Identifier: GPL-2.0-only */
/* attach: links are made and pinned in a staging directory, which a rename puts in force: a loader that dies leaves the old state, or a staging
 * directory that the next one clears away. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "attach.h"
#include "instance.h"
#include "netns.h"
#include "object.h"

#define STAGING "new"

bool attached_read(int slot, struct attached *a)
{
	char dir[PATH_MAX];
	struct dirent *e;
	__u32 key = slot;
	int fd;
	DIR *d;

	memset(a, 0, sizeof(*a));
	a->slot = slot;
	snprintf(dir, sizeof(dir), "%s", run_path("bpf/links/%d", slot));
	d = opendir(dir);
	if (!d)
		return false;
	while ((e = readdir(d)) && a->n_hooks < HOOK_COUNT) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(a->pins[0]) || !hook_read(dir, e->d_name, &a->hooks[a->n_hooks]))
			continue;
		strcpy(a->pins[a->n_hooks++], e->d_name);
	}
	closedir(d);
	fd = run_map("interfaces", false);
	if (fd < 0)
		return false;
	bpf_map_lookup_elem(fd, &key, &a->interface);
	close(fd);
	return true;
}

int attached_each(int (*f)(const struct attached *a, void *data), void *data)
{
	struct attached a;
	int err = 0;

	for (int slot = 1; slot < MAX_INTERFACES && !err; slot++)
		if (!access(run_path("bpf/links/%d", slot), F_OK) && attached_read(slot, &a))
			err = f(&a, data);
	return err;
}

/* Unpin everything in a directory of pins and remove it. `ifindex`: of the interface in the current namespace, 0 when it is gone. */
static int clear_pins(const char *dir, int ifindex)
{
	struct hook_state h;
	struct dirent *e;
	int err = 0;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : fail(EXIT_FAILED, "%s: %s", dir, strerror(errno));
	while (!err && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		if (!hook_read(dir, e->d_name, &h))
			memset(&h, 0, sizeof(h));
		if (h.ifindex < 0)
			h.ifindex = ifindex;
		err = hook_detach(dir, e->d_name, &h);
	}
	closedir(d);
	if (!err && rmdir(dir))
		err = fail(EXIT_FAILED, "%s: %s", dir, strerror(errno));
	return err;
}

/* What a loader that died while attaching left. */
static int clear_staging(void)
{
	char dir[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(run_path("bpf/links"));
	int err = 0;

	while (d && !err && (e = readdir(d))) {
		if (strncmp(e->d_name, STAGING, strlen(STAGING)))
			continue;
		snprintf(dir, sizeof(dir), "%s/%.20s", run_path("bpf/links"), e->d_name);
		note("mending: removing half an attachment");
		err = clear_pins(dir, 0);
	}
	if (d)
		closedir(d);
	return err;
}

static int check_device(const char *ifname, int *ifindex)
{
	struct ifreq r = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	*ifindex = if_nametoindex(ifname);
	if (!*ifindex)
		err = fail(EXIT_NOTHING, "%s: no such interface here (ip link shows them; --netns names another namespace)", ifname);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	if (!err && (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r)))
		err = fail(EXIT_FAILED, "%s: %s", ifname, strerror(errno));
	if (!err && r.ifr_hwaddr.sa_family != ARPHRD_ETHER && r.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
		err = fail(EXIT_FAILED, "%s: not an Ethernet interface (type %d): weir reads Ethernet frames", ifname, r.ifr_hwaddr.sa_family);
	if (fd >= 0)
		close(fd);
	return err;
}

/* An attachment of this slot that is alive stands in the way; one whose device is gone, or was made anew, is cleared. */
static int check_attached(int slot, const char *ifname, int ifindex)
{
	struct attached a;
	bool alive = false;

	if (!attached_read(slot, &a))
		return 0;
	for (int i = 0; i < a.n_hooks; i++)
		alive |= a.hooks[i].ifindex == ifindex || (a.hooks[i].ifindex < 0 && (int)a.interface.ifindex == ifindex);
	if (alive)
		return fail(EXIT_REFUSED, "%s: weir is attached already: use upgrade for new programs, or detach it first", ifname);
	note("%s: the device it was attached to is gone, attaching to the new one", ifname);
	return clear_pins(run_path("bpf/links/%d", slot), ifindex);
}

static void name_words(const char *name, __u64 w[2])
{
	unsigned char b[16] = {};

	memcpy(b, name, strnlen(name, sizeof(b)));
	for (int i = 0; i < 16; i++)
		w[i / 8] = w[i / 8] << 8 | b[i];
}

struct program_config attach_config(int slot, const struct interface_slot *s, const struct datapath *d)
{
	struct program_config c = {
		.slot = slot, .features = s->features, .flow4_shift = 64 - d->flow4_bits, .flow6_shift = 64 - d->flow6_bits,
		.hz = d->hz, .inserts = s->inserts,
	};

	memcpy(c.seed, d->seed, sizeof(c.seed));
	name_words(s->name, c.name);
	return c;
}

/* Programs of one interface, loaded. */
struct programs {
	struct bpf_object *xdp, *tc;
};

static void programs_close(struct programs *p)
{
	bpf_object__close(p->xdp);
	bpf_object__close(p->tc);
}

static int programs_load(struct programs *p, int slot, const struct interface_slot *s, const struct datapath *d, unsigned hooks)
{
	struct program_config c = attach_config(slot, s, d);

	memset(p, 0, sizeof(*p));
	if (hooks & 1 << HOOK_XDP) {
		p->xdp = object_load(OBJECT_XDP, &c, d, s->frags);
		if (!p->xdp)
			return EXIT_FAILED;
	}
	if (hooks & (1 << HOOK_TC_INGRESS | 1 << HOOK_TC_EGRESS)) {
		p->tc = object_load(OBJECT_TC, &c, d, s->frags);
		if (!p->tc) {
			programs_close(p);
			return EXIT_FAILED;
		}
	}
	return 0;
}

static int program_of(const struct programs *p, enum hook hook)
{
	return object_program(hook == HOOK_XDP ? p->xdp : p->tc, hook);
}

static int attach_hooks(const struct programs *p, int slot, const char *ifname, int ifindex, const struct attach_options *o)
{
	char dir[PATH_MAX];
	enum mode mode;
	int err = 0;

	snprintf(dir, sizeof(dir), "%s", run_path("bpf/links/" STAGING "%d", slot));
	if (mkdir(dir, 0755))
		return fail(EXIT_FAILED, "%s: %s", dir, strerror(errno));
	for (int h = 0; h < HOOK_COUNT && !err; h++) {
		if (!(o->hooks & 1 << h))
			continue;
		mode = h == HOOK_XDP ? (o->chain ? MODE_CHAIN : o->mode) : o->clsact ? MODE_CLSACT : MODE_TCX;
		err = hook_attach(h, &mode, program_of(p, h), ifname, ifindex, dir);
	}
	if (!err && rename(dir, run_path("bpf/links/%d", slot)))
		err = fail(EXIT_FAILED, "%s: %s", dir, strerror(errno));
	if (err)
		clear_pins(dir, ifindex);
	return err;
}

static unsigned features_for(const struct attach_options *o)
{
	unsigned f = FEATURE_FILTER;

	/* what comes to a backend's end went through a balancer already */
	if (!o->no_balance && !o->decap)
		f |= FEATURE_BALANCE;
	if (!o->no_flows)
		f |= FEATURE_FLOWS;
	if (o->decap)
		f |= FEATURE_DECAP;
	if (o->hooks & 1 << HOOK_XDP)
		f |= FEATURE_XDP_BELOW;
	if (o->hooks & 1 << HOOK_TC_INGRESS)
		f |= FEATURE_TC_ABOVE;
	return f;
}

/* What the rules in force need, and what the interface has to have anyway. */
static unsigned features_full(const struct interface_slot *s)
{
	return s->full || instance_full() ? FEATURE_FULL : 0;
}

/* In the interface's namespace. */
static int attach_here(const char *ifname, __u64 netns, const struct attach_options *o)
{
	struct interface_slot s;
	struct datapath d;
	struct programs p;
	int ifindex, slot, err;

	err = check_device(ifname, &ifindex);
	if (!err)
		err = instance_prepare();
	if (!err)
		err = run_lock();
	if (!err)
		err = clear_staging();
	if (!err)
		err = instance_datapath(&d, o->flows);
	if (err)
		return err;
	/* the first object to load makes the other maps; `interfaces` among them */
	if (access(run_path("bpf/maps/interfaces"), F_OK)) {
		struct program_config c = {};
		struct bpf_object *first = object_load(OBJECT_TC, &c, &d, false);

		if (!first)
			return EXIT_FAILED;
		bpf_object__close(first);
	}
	slot = instance_slot(ifname, netns, &s);
	if (slot < 0)
		return EXIT_FAILED;
	err = check_attached(slot, ifname, ifindex);
	if (err)
		return err;
	s.ifindex = ifindex;
	s.full = o->full || o->chain;	/* what is behind libxdp's dispatcher is not replaced */
	s.features = features_for(o) | features_full(&s);
	s.inserts = (o->inserts + d.hz - 1) / d.hz;
	s.frags = !o->no_frags;
	s.attached = 1;
	err = programs_load(&p, slot, &s, &d, o->hooks);
	if (err)
		return err;
	err = instance_slot_write(slot, &s);
	if (!err)
		err = attach_hooks(&p, slot, ifname, ifindex, o);
	programs_close(&p);
	return err;
}

int attach(const char *ifname, const struct attach_options *o)
{
	__u64 netns;
	int err = netns_enter(o->netns, &netns);

	if (!err)
		err = attach_here(ifname, netns, o);
	netns_leave();
	return err;
}

static int detach_slot(const struct attached *a)
{
	struct interface_slot s = a->interface;
	int ifindex = 0, err;

	if (!netns_enter_inode(s.netns))
		ifindex = if_nametoindex(s.name);
	err = clear_pins(run_path("bpf/links/%d", a->slot), ifindex);
	netns_leave();
	if (err)
		return err;
	s.attached = 0;
	return instance_slot_write(a->slot, &s);
}

int detach(const char *ifname, const char *netns)
{
	struct interface_slot s;
	struct attached a;
	__u64 inode;
	int slot, err = netns_enter(netns, &inode);

	netns_leave();
	if (!err)
		err = run_lock();
	if (!err)
		err = clear_staging();
	if (err)
		return err;
	slot = instance_slot(ifname, inode, &s);
	if (slot < 0)
		return EXIT_NOTHING;
	if (!attached_read(slot, &a))
		return fail(EXIT_NOTHING, "%s: weir is not attached (weir-loader status shows where it is)", ifname);
	return detach_slot(&a);
}

static int detach_one(const struct attached *a, void *data)
{
	(void)data;
	return detach_slot(a);
}

int detach_all(void)
{
	int err;

	if (!instance_mounted())
		return fail(EXIT_NOTHING, "nothing is attached under %s", run_dir_get());
	err = run_lock();
	if (!err)
		err = clear_staging();
	if (!err)
		err = attached_each(detach_one, NULL);
	return err ? err : instance_remove();
}

static int replace_hooks(const struct attached *a, const struct programs *p)
{
	int err = 0;

	netns_enter_inode(a->interface.netns);
	for (int i = 0; i < a->n_hooks && !err; i++) {
		struct hook_state h = a->hooks[i];

		if (h.ifindex < 0)
			h.ifindex = if_nametoindex(a->interface.name);
		if (!h.ifindex) {
			note("%s: the device is gone; attach anew when it is back", a->interface.name);
			break;
		}
		err = hook_update(run_path("bpf/links/%d", a->slot), a->pins[i], &h, program_of(p, h.hook));
	}
	netns_leave();
	return err;
}

/* New programs with these features. The slot never says that they have FEATURE_FULL where one does not. */
static int replace_programs(const struct attached *a, const struct datapath *d, unsigned features)
{
	struct interface_slot s = a->interface;
	struct programs p;
	unsigned hooks = 0;
	int err;

	for (int i = 0; i < a->n_hooks; i++)
		hooks |= 1 << a->hooks[i].hook;
	s.features = features;
	err = programs_load(&p, a->slot, &s, d, hooks);
	if (err)
		return err;
	if (!(features & FEATURE_FULL))
		err = instance_slot_write(a->slot, &s);
	if (!err)
		err = replace_hooks(a, &p);
	if (!err && features & FEATURE_FULL)
		err = instance_slot_write(a->slot, &s);
	programs_close(&p);
	return err;
}

static int upgrade_one(const struct attached *a, void *data)
{
	return replace_programs(a, data, (a->interface.features & ~FEATURE_FULL) | features_full(&a->interface));
}

int upgrade(void)
{
	struct datapath d;
	int err = run_lock();

	if (!err)
		err = clear_staging();
	if (!err)
		err = instance_read(&d);
	return err ? err : attached_each(upgrade_one, &d);
}

static int need_full(const struct attached *a, void *data)
{
	return a->interface.features & FEATURE_FULL ? 0 : replace_programs(a, data, a->interface.features | FEATURE_FULL);
}

int attached_need_full(void)
{
	struct datapath d;
	int err = instance_read(&d);

	return err ? err : attached_each(need_full, &d);
}
