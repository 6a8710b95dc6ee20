/* SPDX-License-Identifier: GPL-2.0-only */
/* probe: a private load of an interface's object, and test runs of it. Which verdict and reason came out is read from the private totals, what the
 * filter found from its private scratch: nothing of the programs is written for it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/bpf.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "../maps/flow.h"
#include "../maps/service.h"
#include "../maps/total.h"
#include "attach.h"
#include "instance.h"
#include "netns.h"
#include "object.h"
#include "probe.h"

struct probe {
	struct attached attached;
	enum hook hook;
	struct bpf_object *object;
	int cpus;
	void *buffer;			/* a value of all CPUs, the largest */
};

struct wanted {
	const char *name;		/* NULL: any */
	bool egress;
	struct attached found;
	int n, n_hook;		/* interfaces of that name; those that have the hook */
};

/* XDP below takes tc ingress's work. */
static int hook_of(const struct attached *a, bool egress)
{
	unsigned have = 0;

	for (int i = 0; i < a->n_hooks; i++)
		have |= 1 << a->hooks[i].hook;
	if (egress)
		return have & 1 << HOOK_TC_EGRESS ? HOOK_TC_EGRESS : -1;
	return have & 1 << HOOK_XDP ? HOOK_XDP : have & 1 << HOOK_TC_INGRESS ? HOOK_TC_INGRESS : -1;
}

static int look(const struct attached *a, void *data)
{
	struct wanted *w = data;

	if (w->name && strcmp(w->name, a->interface.name))
		return 0;
	w->n++;
	if (hook_of(a, w->egress) < 0)
		return 0;
	if (!w->n_hook++)
		w->found = *a;
	return 0;
}

static int find(struct probe *p, const char *interface, bool egress)
{
	struct wanted w = { .name = interface, .egress = egress };

	attached_each(look, &w);
	if (interface && !w.n)
		return fail(EXIT_NOTHING, "%s: weir is not attached (weir-loader status shows where it is)", interface);
	if (!w.n)
		return fail(EXIT_NOTHING, "nothing is attached under %s (weir-loader attach IFACE); --model asks the rules alone", run_dir_get());
	if (!w.n_hook)
		return fail(EXIT_NOTHING, "no %s program is attached %s%s: nothing runs this chain; --model asks the rules alone", egress ? "egress" : "ingress",
			    interface ? "to " : "", interface ? interface : "anywhere");
	if (w.n_hook > 1)
		return fail(EXIT_USAGE, "%s", interface ? "several namespaces have an attached interface of that name: weir-loader status shows them" :
			    "several interfaces are attached: name one by --iif");
	p->attached = w.found;
	p->hook = hook_of(&w.found, egress);
	return 0;
}

static int tag_of(int fd, unsigned char tag[BPF_TAG_SIZE])
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		return -1;
	memcpy(tag, info.tag, BPF_TAG_SIZE);
	return 0;
}

static __u32 attached_program(const struct probe *p)
{
	for (int i = 0; i < p->attached.n_hooks; i++)
		if (p->attached.hooks[i].hook == p->hook)
			return p->attached.hooks[i].prog_id;
	return 0;
}

/* The tag is the kernel's hash of a program's instructions. */
static int check_same(const struct probe *p)
{
	unsigned char live[BPF_TAG_SIZE], own[BPF_TAG_SIZE];
	int fd = bpf_prog_get_fd_by_id(attached_program(p)), err;

	err = tag_of(fd, live) || tag_of(object_program(p->object, p->hook), own);
	if (fd >= 0)
		close(fd);
	if (err)
		return fail(EXIT_FAILED, "%s: reading the attached program: %s", p->attached.interface.name, strerror(errno));
	if (memcmp(live, own, BPF_TAG_SIZE))
		return fail(EXIT_FAILED, "%s: the attached program is not of this build, so its answer would be another program's: weir-loader upgrade puts "
			    "this build in force; --model asks the rules alone", p->attached.interface.name);
	return 0;
}

static int load(struct probe *p)
{
	const struct interface_slot *s = &p->attached.interface;
	struct program_config config;
	struct datapath d;
	int err = instance_read(&d);

	if (err)
		return err;
	d.flow4_bits = d.flow6_bits = 1;	/* a flow at a time */
	config = attach_config(p->attached.slot, s, &d);
	config.features |= FEATURE_MUTE;
	p->object = object_load_private(p->hook == HOOK_XDP ? OBJECT_XDP : OBJECT_TC, &config, &d, s->frags);
	return p->object ? check_same(p) : EXIT_FAILED;
}

int probe_open(struct probe **out, const char *interface, bool egress)
{
	struct probe *p = must(calloc(1, sizeof(*p)));
	int err;

	*out = NULL;
	err = instance_mounted() ? 0 : fail(EXIT_NOTHING, "nothing is attached under %s (weir-loader attach IFACE); --model asks the rules alone",
					    run_dir_get());
	if (!err)
		err = find(p, interface, egress);
	if (!err)
		err = load(p);
	if (err) {
		probe_close(p);
		return err;
	}
	p->cpus = libbpf_num_possible_cpus();
	p->buffer = must(calloc(p->cpus + 1, sizeof(struct filter_key)));	/* forget() says why one more */
	*out = p;
	return 0;
}

void probe_close(struct probe *p)
{
	if (!p)
		return;
	bpf_object__close(p->object);
	free(p->buffer);
	free(p);
}

const struct interface_slot *probe_interface(const struct probe *p)
{
	return &p->attached.interface;
}

enum hook probe_hook(const struct probe *p)
{
	return p->hook;
}

static int map_fd(const struct probe *p, const char *name)
{
	return bpf_object__find_map_fd_by_name(p->object, name);
}

static void zero(struct probe *p, const char *map, __u32 key, size_t bytes)
{
	memset(p->buffer, 0, bytes);
	bpf_map_update_elem(map_fd(p, map), &key, p->buffer, 0);
}

/* What earlier frames left behind. */
static void forget(struct probe *p)
{
	_Static_assert(sizeof(struct flow6_bucket) <= 2 * sizeof(struct filter_key) && sizeof(struct total) <= sizeof(struct filter_key), "fit the buffer");
	for (__u32 i = 0; i < 2; i++) {
		zero(p, "flow4", i, sizeof(struct flow4_bucket));
		zero(p, "flow6", i, sizeof(struct flow6_bucket));
	}
	zero(p, "filter_scratch", 0, p->cpus * sizeof(struct filter_key));
}

/* The one row of the totals that has counted; it is zeroed. */
static int read_total(struct probe *p, struct probed *out)
{
	const struct total *t = p->buffer;

	for (__u32 row = 0; row < TOTAL_ROWS; row++) {
		__u32 key = total_index(p->attached.slot, p->hook, row);
		__u64 packets = 0;

		if (bpf_map_lookup_elem(map_fd(p, "totals"), &key, p->buffer))
			return -1;
		for (int cpu = 0; cpu < p->cpus; cpu++)
			packets += t[cpu].packets;
		if (!packets)
			continue;
		zero(p, "totals", key, p->cpus * sizeof(*t));
		out->verdict = row < TOTAL_PASS ? DROP : PASS + (row - TOTAL_PASS) / PASS_COUNT;
		out->reason = row < TOTAL_PASS ? row : REASON_NONE;
		return 0;
	}
	return -1;
}

static void read_key(struct probe *p, struct probed *out)
{
	const struct filter_key *k = p->buffer;
	__u32 key = 0;

	out->classified = false;
	if (bpf_map_lookup_elem(map_fd(p, "filter_scratch"), &key, p->buffer))
		return;
	for (int cpu = 0; cpu < p->cpus; cpu++)
		if (k[cpu].size) {
			out->classified = true;
			out->key = k[cpu];
		}
}

static int run(struct probe *p, const void *frame, unsigned int n, struct probed *out)
{
	__u32 ifindex = p->attached.interface.ifindex;
	struct xdp_md xdp = { .data_end = n, .ingress_ifindex = ifindex };
	struct __sk_buff skb = { .ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = n, .data_out = out->frame, .data_size_out = sizeof(out->frame),
		    .ctx_in = p->hook == HOOK_XDP ? (void *)&xdp : (void *)&skb, .ctx_size_in = p->hook == HOOK_XDP ? sizeof(xdp) : sizeof(skb),
		    .repeat = 1);
	int err;

	if (netns_enter_inode(p->attached.interface.netns))
		return fail(EXIT_FAILED, "%s: its network namespace cannot be entered", p->attached.interface.name);
	err = bpf_prog_test_run_opts(object_program(p->object, p->hook), &o) ? errno : 0;
	netns_leave();
	out->n = o.data_size_out;
	if (err == EINVAL)
		return fail(EXIT_FAILED, "a frame of %u bytes: the kernel's test run takes none this %s", n, n < 64 ? "short" : "long");
	return err ? fail(EXIT_FAILED, "%s: the kernel's test run: %s", p->attached.interface.name, strerror(err)) : 0;
}

int probe_run(struct probe *p, const void *frame, unsigned int n, struct probed *out)
{
	int err;

	forget(p);
	err = run(p, frame, n, out);
	if (err)
		return err;
	if (read_total(p, out))
		return fail(EXIT_FAILED, "%s: the program booked the frame nowhere: a defect", p->attached.interface.name);
	read_key(p, out);
	return 0;
}
