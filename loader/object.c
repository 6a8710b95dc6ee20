/* SPDX-License-Identifier: GPL-2.0-only */
/* object: bytes of the BPF objects in this binary, and loading them. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "object.h"

#define EMBED(name, file) \
	asm(".section .rodata\n.balign 16\n.global " #name "_begin\n" #name "_begin:\n.incbin \"" file "\"\n" \
	    ".global " #name "_end\n" #name "_end:\n.previous\n"); \
	extern const char name##_begin[], name##_end[]

EMBED(xdp_object, BPF_DIR "/xdp.bpf.o");
EMBED(tc_object, BPF_DIR "/tc.bpf.o");

const char *const hook_name[HOOK_COUNT] = { "xdp", "tc-ingress", "tc-egress" };
static const char *const hook_program[HOOK_COUNT] = { "weir_xdp", "weir_tc_ingress", "weir_tc_egress" };

static int set_constants(struct bpf_object *o, const struct program_config *config)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, o) {
		const char *dot = strchr(bpf_map__name(m), '.');
		size_t size;
		void *data;

		if (!dot || strncmp(dot, ".rodata.p", 9))
			continue;
		data = (void *)bpf_map__initial_value(m, &size);
		if (!data || size < sizeof(*config))
			return -EINVAL;
		memcpy(data, config, sizeof(*config));
		return 0;
	}
	return -ENOENT;
}

static int set_sizes(struct bpf_object *o, const struct datapath *d)
{
	int err = bpf_map__set_max_entries(bpf_object__find_map_by_name(o, "flow4"), 1u << d->flow4_bits);

	return err ? err : bpf_map__set_max_entries(bpf_object__find_map_by_name(o, "flow6"), 1u << d->flow6_bits);
}

/* Maps that ctl and the loader alone write: programs may share them with others that run for show. */
static bool is_configuration(const char *map)
{
	static const char *const names[] = {
		"datapath", "control", "interfaces", "filter_small", "filter_medium", "filter_large", "service_keys",
		"set_slots", "set_64k", "set_1m", "set_16m", "set_64m", "set_256m", "rings", "backends",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(map, names[i]))
			return true;
	return false;
}

/* Rules are counted by id: with one element none is. */
static int unshare(struct bpf_object *o)
{
	struct bpf_map *m;
	int err = 0;

	bpf_object__for_each_map(m, o)
		if (!err && bpf_map__pin_path(m) && !is_configuration(bpf_map__name(m)))
			err = bpf_map__set_pin_path(m, NULL);
	return err ? err : bpf_map__set_max_entries(bpf_object__find_map_by_name(o, "rule_counts"), 1);
}

static struct bpf_object *load(enum object_kind kind, const struct program_config *config, const struct datapath *datapath, bool frags, bool private)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = kind == OBJECT_XDP ? "weir_xdp" : "weir_tc",
		    .pin_root_path = run_path("bpf/maps"));
	const char *begin = kind == OBJECT_XDP ? xdp_object_begin : tc_object_begin;
	const char *end = kind == OBJECT_XDP ? xdp_object_end : tc_object_end;
	struct bpf_object *o = bpf_object__open_mem(begin, end - begin, &opts);
	int err;

	if (!o) {
		fail(EXIT_FAILED, "opening the embedded object: %s", strerror(errno));
		return NULL;
	}
	if (kind == OBJECT_XDP)
		bpf_program__set_autoload(bpf_object__find_program_by_name(o, frags ? "weir_xdp_linear" : "weir_xdp"), false);
	err = set_constants(o, config);
	if (!err)
		err = set_sizes(o, datapath);
	if (!err && private)
		err = unshare(o);
	if (!err)
		err = bpf_object__load(o);
	if (!err)
		return o;
	if (err == -EPERM)
		fail(EXIT_FAILED, "the kernel refuses to load programs: %s: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
		     strerror(-err));
	else
		fail(EXIT_FAILED, "loading %s programs: %s (-v shows the kernel's log; weir-loader doctor what is missing)",
		     kind == OBJECT_XDP ? "XDP" : "tc", strerror(-err));
	bpf_object__close(o);
	return NULL;
}

struct bpf_object *object_load(enum object_kind kind, const struct program_config *config, const struct datapath *datapath, bool frags)
{
	return load(kind, config, datapath, frags, false);
}

struct bpf_object *object_load_private(enum object_kind kind, const struct program_config *config, const struct datapath *datapath, bool frags)
{
	return load(kind, config, datapath, frags, true);
}

int object_program(const struct bpf_object *o, enum hook hook)
{
	int fd = bpf_program__fd(bpf_object__find_program_by_name(o, hook_program[hook]));

	return fd < 0 && hook == HOOK_XDP ? bpf_program__fd(bpf_object__find_program_by_name(o, "weir_xdp_linear")) : fd;
}
