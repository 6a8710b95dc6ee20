/* SPDX-License-Identifier: GPL-2.0-only */
/* program: see program.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "../maps/flow.h"
#include "lpm.h"
#include "options.h"
#include "program.h"

#define BENCH_DIR BPF_DIR "/../bench"

static bool is_tc(const struct subject *s)
{
	return s->object && !strcmp(s->object, "tc");
}

/* Is it the datapath, with its constants and tables? */
static bool is_datapath(const struct subject *s)
{
	return is_tc(s) || !strcmp(s->object, "xdp") || !strcmp(s->object, "plain");
}

static int constants(struct bpf_object *o, const char *suffix, const void *data, size_t n)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, o) {
		const char *dot = strchr(bpf_map__name(m), '.');
		size_t size;
		void *to;

		if (!dot || strncmp(dot, suffix, strlen(suffix)))
			continue;
		to = (void *)bpf_map__initial_value(m, &size);
		if (to && size >= n)
			return memcpy(to, data, n), 0;
	}
	return fail(EXIT_FAILED, "no section %s in the object", suffix);
}

struct bpf_object *bench_object(const char *name)
{
	char path[256];
	struct bpf_object *o;

	snprintf(path, sizeof(path), BENCH_DIR "/%s.bpf.o", name);
	o = bpf_object__open_file(path, NULL);
	if (!o)
		fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	return o;
}

int bench_load(struct bpf_object *o, const char *a, const char *b)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, o)
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), a) || (b && !strcmp(bpf_program__name(p), b)));
	if (bpf_object__load(o))
		return fail(EXIT_FAILED, "loading %s: %s", a, strerror(errno));
	return 0;
}

int bench_program(const struct bpf_object *o, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(o, name));
}

static unsigned table_bits(const struct trial *t)
{
	return t->flows > 1u << TABLE_BITS ? TABLE_BITS + 1 : TABLE_BITS;
}

/* A flow table of the subject's own, empty; all else is the instance's. */
static void private_table(struct bpf_object *o, const char *name, unsigned bits)
{
	struct bpf_map *m = bpf_object__find_map_by_name(o, name);

	bpf_map__set_pin_path(m, NULL);
	bpf_map__set_max_entries(m, 1u << bits);
}

static int read_hz(void)
{
	static struct datapath d;
	__u32 zero = 0;
	int fd = d.hz ? -1 : run_map("datapath", false);

	if (fd >= 0) {
		bpf_map_lookup_elem(fd, &zero, &d);
		close(fd);
	}
	return d.hz;
}

/* What the rules in force need of their programs, as the loader does. */
static unsigned full_features(const char *pins)
{
	char path[300];
	struct control c = {};
	__u32 zero = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/control", pins);
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_map_lookup_elem(fd, &zero, &c);
		close(fd);
	}
	return c.full ? FEATURE_FULL : 0;
}

static struct bpf_object *datapath_open(const struct trial *t, const struct subject *s)
{
	char pins[256];
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = pins);
	struct program_config c = {
		.slot = 1, .features = s->features, .flow4_shift = 64 - table_bits(t), .flow6_shift = 64 - table_bits(t),
		.hz = read_hz(), .inserts = ~0u,
	};
	char path[256];
	struct bpf_object *o;

	snprintf(path, sizeof(path), "%s/%s.bpf.o", strcmp(s->object, "plain") ? BPF_DIR : BENCH_DIR, s->object);
	if (s->beside)
		snprintf(pins, sizeof(pins), "%s/bpf/maps", options.beside ? options.beside : "");
	else
		snprintf(pins, sizeof(pins), "%s", run_path("bpf/maps"));
	if (s->features & FEATURE_FILTER)
		c.features |= full_features(pins);
	o = bpf_object__open_file(path, &opts);
	if (!o)
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno)), NULL;
	private_table(o, "flow4", t->family == 4 ? table_bits(t) : 1);
	private_table(o, "flow6", t->family == 6 ? table_bits(t) : 1);
	if (getrandom(c.seed, sizeof(c.seed), 0) == sizeof(c.seed) && !constants(o, ".rodata.p", &c, sizeof(c)))
		return o;
	fail(EXIT_FAILED, "%s: no seeds, or no place for them", path);
	bpf_object__close(o);
	return NULL;
}

static int target_load(const struct trial *t, const struct subject *s, struct loaded *l)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	int err;

	l->target = is_datapath(s) ? datapath_open(t, s) : bench_object(s->object);
	if (!l->target)
		return EXIT_FAILED;
	err = strcmp(s->object, "lpm") ? 0 : lpm_share(l->target);
	if (!err)
		err = bench_load(l->target, s->program, NULL);
	if (!err && !bpf_obj_get_info_by_fd(bench_program(l->target, s->program), &info, &size))
		l->verified = info.verified_insns;
	return err;
}

/* In front of the target, or of the floor when there is none. */
static int feeder_load(const struct trial *t, const struct subject *s, const struct packet *p, struct loaded *l)
{
	const char *feed = is_tc(s) ? "feed_tc" : "feed_xdp", *floor = is_tc(s) ? "floor_tc" : "floor_xdp";
	int target, err;
	__u32 zero = 0;

	l->feeder = bench_object("feed");
	if (!l->feeder)
		return EXIT_FAILED;
	err = constants(l->feeder, ".rodata.f", &p->feed, sizeof(p->feed));
	if (!err)
		err = bench_load(l->feeder, feed, floor);
	if (err)
		return err;
	l->fd = bench_program(l->feeder, feed);
	target = l->target ? bench_program(l->target, s->program) : bench_program(l->feeder, floor);
	if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(l->feeder, "target"), &zero, &target, 0))
		return fail(EXIT_FAILED, "the feeder cannot call %s: %s", s->program ? s->program : floor, strerror(errno));
	return t->headers ? headers_store(l->feeder) : 0;
}

static int flows_map(const struct trial *t, struct loaded *l)
{
	int fd = bpf_object__find_map_fd_by_name(l->target, t->family == 4 ? "flow4" : "flow6");

	l->entry_size = t->family == 4 ? sizeof(struct flow4) : sizeof(struct flow6);
	l->table_size = (FLOW_WAYS * l->entry_size) << table_bits(t);
	l->table = mmap(NULL, l->table_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (l->table != MAP_FAILED)
		return 0;
	l->table = NULL;
	return fail(EXIT_FAILED, "flow table: %s", strerror(errno));
}

int subject_load(const struct trial *t, const struct subject *s, const struct packet *p, struct loaded *l)
{
	int err = s->program ? target_load(t, s, l) : 0;

	if (!err)
		err = feeder_load(t, s, p, l);
	if (!err && s->features & FEATURE_FLOWS)
		err = flows_map(t, l);
	return err;
}

void subject_close(struct loaded *l)
{
	if (l->table)
		munmap(l->table, l->table_size);
	bpf_object__close(l->feeder);
	bpf_object__close(l->target);
}

int subject_check_flows(const struct trial *t, const struct loaded *l)
{
	size_t found = 0;

	if (!l->table)
		return 0;
	for (size_t i = 0; i < l->table_size; i += l->entry_size)
		found += *(__u64 *)((char *)l->table + i) != 0;
	if (found > t->flows || found < t->flows * 0.97)
		return fail(EXIT_FAILED, "%s: %zu flows in the table, %u sent", t->figure[0].name, found, t->flows);
	return 0;
}

unsigned subject_verified(const struct subject *s)
{
	static const struct trial t = { .family = 4, .flows = 1 };
	struct loaded l = {};
	int err = target_load(&t, s, &l);

	bpf_object__close(l.target);
	return err ? 0 : l.verified;
}
