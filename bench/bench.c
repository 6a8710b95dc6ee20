/* SPDX-License-Identifier: GPL-2.0-only */
/* bench: what a packet costs in each part of the datapath, net of the measured floor, in ns and in H: one lookup that hits in a BPF hash of a
 * thousand entries, measured in between. bench/run prepares the instance; docs/bench.md tells how to read the figures. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <math.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "../lib/err.h"
#include "../lib/opt.h"
#include "../lib/run.h"
#include "../maps/flow.h"
#include "../maps/rule.h"
#include "feed.h"

#define BENCH_DIR BPF_DIR "/../bench"
#define UNITS 8			/* hashes that H is measured on: each has a seed of its own */
#define UNIT_RUNS 4000
#define MAX_SAMPLES 256
#define TABLE_BITS 17		/* buckets of the flow table: what the loader makes by default for IPv4 */

enum kind { HIT, MISS, LAYOUT, HEADERS };

struct row {
	const char *name;
	enum kind kind;
	int family;
	unsigned flows;
	unsigned features;
	const char *to;			/* destination address; port 443 */
	unsigned grows;
	unsigned verdict;
	double limit;			/* H, or times the row `than` of as many flows */
	const char *than;
	const char *tc;			/* program of the tc object, instead of XDP */
	const char *layout;		/* program of layouts.bpf.o */
	/* results */
	double ns, low, high, h, unit;
	unsigned verified;
};

#define VIA_IPIP4 "203.0.113.10"
#define VIA_IPIP6 "2001:db8::10"
#define VIA_L2_4 "203.0.113.11"
#define VIA_L2_6 "2001:db8::11"
#define PIPELINE (FEATURE_FILTER | FEATURE_BALANCE | FEATURE_FLOWS)
#define OUT4 .family = 4, .to = VIA_IPIP4, .grows = 20, .verdict = XDP_TX
#define OUT6 .family = 6, .to = VIA_IPIP6, .grows = 40, .verdict = XDP_TX
#define NEAR4 .family = 4, .to = VIA_L2_4
#define NEAR6 .family = 6, .to = VIA_L2_6
#define K64 65536
#define M1 1048576

static struct row rows[] = {
	{ "parse only, v4", .flows = 1, .family = 4, .to = VIA_L2_4, .verdict = XDP_PASS, .limit = 0.4 },
	{ "parse only, v6", .flows = 1, .family = 6, .to = VIA_L2_6, .verdict = XDP_PASS },
	{ "filter, 10 rules, v4", .flows = 1, .features = FEATURE_FILTER, NEAR4, .verdict = XDP_PASS },
	{ "filter, 10 rules, v6", .flows = 1, .features = FEATURE_FILTER, NEAR6, .verdict = XDP_PASS },
	{ "balancer, v4", .flows = 1, .features = FEATURE_BALANCE, OUT4, .limit = 1 },
	{ "balancer, v4", .flows = K64, .features = FEATURE_BALANCE, OUT4, .limit = 1 },
	{ "balancer, v6", .flows = 1, .features = FEATURE_BALANCE, OUT6 },
	{ "balancer, v4, l2", .flows = 1, .features = FEATURE_BALANCE, NEAR4, .verdict = XDP_TX },
	{ "balancer + flows, v4", .flows = 1, .features = FEATURE_BALANCE | FEATURE_FLOWS, OUT4 },
	{ "pipeline, v4", .flows = 1, .features = PIPELINE, OUT4, .limit = 1.5 },
	{ "pipeline, v4", .flows = K64, .features = PIPELINE, OUT4, .limit = 2.5 },
	{ "pipeline, v4", .flows = M1, .features = PIPELINE, OUT4 },
	{ "pipeline, v6", .flows = 1, .features = PIPELINE, OUT6, .limit = 1.5, .than = "pipeline, v4" },
	{ "pipeline, v6", .flows = K64, .features = PIPELINE, OUT6, .limit = 1.5, .than = "pipeline, v4" },
	{ "pipeline, v6", .flows = M1, .features = PIPELINE, OUT6, .limit = 1.5, .than = "pipeline, v4" },
	{ "new flow, v4", .kind = MISS, .flows = K64, .features = PIPELINE, OUT4 },
	{ "new flow, v6", .kind = MISS, .flows = K64, .features = PIPELINE, OUT6 },
	{ "tc ingress, v4, l2", .flows = 1, .features = PIPELINE, NEAR4, .verdict = TC_ACT_REDIRECT, .tc = "weir_tc_ingress" },
	{ "tc ingress, v4, l2", .flows = K64, .features = PIPELINE, NEAR4, .verdict = TC_ACT_REDIRECT, .tc = "weir_tc_ingress" },
	{ "tc ingress, v6, l2", .flows = 1, .features = PIPELINE, NEAR6, .verdict = TC_ACT_REDIRECT, .tc = "weir_tc_ingress" },
	{ "tc egress, v4", .flows = 1, .features = PIPELINE, NEAR4, .verdict = TC_ACT_UNSPEC, .tc = "weir_tc_egress" },
};

#define LAYOUT_ROWS(text, program) \
	{ text, LAYOUT, 4, 1, .to = VIA_L2_4, .verdict = XDP_PASS, .layout = program }, \
	{ text, LAYOUT, 4, K64, .to = VIA_L2_4, .verdict = XDP_PASS, .layout = program }, \
	{ text, LAYOUT, 4, M1, .to = VIA_L2_4, .verdict = XDP_PASS, .layout = program }

static struct row layouts[] = {
	LAYOUT_ROWS("one line a flow, by number", "layout_line"),
	LAYOUT_ROWS("one line a flow, over 4 MiB", "layout_scattered4"),
	LAYOUT_ROWS("one line a flow, over 64 MiB", "layout_scattered64"),
	LAYOUT_ROWS("64-byte entries, no tags", "layout_tagless"),
	LAYOUT_ROWS("64-byte entries, line of tags", "layout_tagged"),
	LAYOUT_ROWS("128-byte entries, no tags", "layout_wide"),
	LAYOUT_ROWS("BPF_MAP_TYPE_HASH", "layout_hash"),
	LAYOUT_ROWS("BPF_MAP_TYPE_LRU_HASH", "layout_lru"),
};

/* ---- options */

static const char *interface, *only, *headers, *name;
static unsigned long cpu = 1, loads = 5, repeats = 5, packets = 300000, tenths;
static bool json, study, fair;
static unsigned ifindex;

static const struct opt options[] = {
	{ "interface", 0, OPT_TEXT, &interface, "IFACE", "packets come in by it (bench/run sets it)" },
	{ "only", 0, OPT_TEXT, &only, "TEXT", "only rows whose name contains TEXT" },
	{ "layouts", 0, OPT_FLAG, &study, NULL, "candidates for the flow table instead of the datapath" },
	{ "headers", 0, OPT_TEXT, &headers, "FILE", "one row: the rules in force, beyond parsing, for these packet headers" },
	{ "name", 0, OPT_TEXT, &name, "TEXT", "name of that row" },
	{ "limit", 0, OPT_NUMBER, &tenths, "N", "and its limit in tenths of H" },
	{ "cpu", 0, OPT_NUMBER, &cpu, "N", "run there (default 1)" },
	{ "loads", 0, OPT_NUMBER, &loads, "N", "load each program so often: seeds differ (default 5)" },
	{ "repeats", 0, OPT_NUMBER, &repeats, "N", "pairs of floor and target a load (default 5)" },
	{ "packets", 0, OPT_NUMBER, &packets, "N", "packets a run (default 300000)" },
	{ "fair", 0, OPT_FLAG, &fair, NULL, "leave the scheduler's policy alone" },
	{ "json", 'j', OPT_FLAG, &json, NULL, "one JSON document instead of a table" },
	{}
};

/* ---- numbers */

struct samples {
	double v[MAX_SAMPLES];
	int n;
};

static void sample(struct samples *s, double v)
{
	if (s->n < MAX_SAMPLES)
		s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Sorts. q: 0.5 for the median. */
static double quantile(struct samples *s, double q)
{
	qsort(s->v, s->n, sizeof(*s->v), by_value);
	return s->n ? s->v[(int)(q * (s->n - 1) + 0.5)] : NAN;
}

/* ---- packets */

static unsigned char packet[74], out[256];
static unsigned packet_length;

static unsigned sum16(const unsigned char *p, int n)
{
	unsigned sum = 0;

	for (int i = 0; i < n; i += 2)
		sum += p[i] << 8 | p[i + 1];
	return sum;
}

/* Ethernet, IP, an acknowledging TCP segment without payload to `r->to`, port 443; the sender of flow 0. */
static void packet_make(const struct row *r, struct feed *f)
{
	unsigned char *ip = packet + 14, *tcp;

	memset(packet, 0, sizeof(packet));
	memset(f, 0, sizeof(*f));
	packet[5] = 1;
	packet[11] = 2;
	if (r->family == 4) {
		memcpy(packet + 12, (unsigned char[]){ 8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 64, 0, 0 }, 18);
		inet_pton(AF_INET, r->to, ip + 16);
		tcp = ip + 20;
		f->address_at = 26;
		f->check_at = 24;
		f->check = sum16(ip, 20) - sum16(ip + 12, 4);
		f->address = 10u << 24 | 64u << 16;
	} else {
		memcpy(packet + 12, (unsigned char[]){ 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64 }, 10);
		inet_pton(AF_INET6, "2001:db8:1::", ip + 8);
		inet_pton(AF_INET6, r->to, ip + 24);
		tcp = ip + 40;
		f->address_at = 34;
	}
	f->port_at = tcp - packet;
	memcpy(tcp, (unsigned char[]){ 0x80, 0, 1, 187, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 16, 1 }, 15);
	if (f->check_at) {
		unsigned sum = sum16(ip, 20);

		sum = ~((sum & 0xffff) + (sum >> 16));
		ip[10] = sum >> 8;
		ip[11] = sum;
	}
	/* a frame below Ethernet's least length is padded */
	packet_length = tcp + 20 - packet < 64 ? 64 : tcp + 20 - packet;
	memcpy(f->bytes, packet, sizeof(f->bytes));
	f->length = packet_length;
	f->grows = r->grows;
	f->verdict = r->verdict;
	f->mask = r->flows - 1;
	if (r->kind != HEADERS)
		return;
	packet[38] = 0;		/* UDP's length, which is TCP's sequence number */
	packet[39] = 20;
	memcpy(f->bytes, packet, sizeof(f->bytes));
	f->headers = 1;
}

/* ---- programs */

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

static int load_only(struct bpf_object *o, const char *a, const char *b)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, o)
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), a) || (b && !strcmp(bpf_program__name(p), b)));
	if (bpf_object__load(o))
		return fail(EXIT_FAILED, "loading %s: %s", a, strerror(errno));
	return 0;
}

static int program_fd(const struct bpf_object *o, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(o, name));
}

static unsigned table_bits(const struct row *r)
{
	return r->flows > 1u << TABLE_BITS ? TABLE_BITS + 1 : TABLE_BITS;
}

/* A flow table of the row's own, empty; all else is the instance's. */
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

/* The program under test, as the loader would load it, with seeds of its own. NULL after fail(). */
static struct bpf_object *target_load(const struct row *r, int *fd, unsigned *verified)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = run_path("bpf/maps"));
	const char *program = r->layout ? r->layout : r->tc ? r->tc : "weir_xdp";
	struct program_config c = {
		.slot = 1, .features = r->features, .flow4_shift = 64 - table_bits(r), .flow6_shift = 64 - table_bits(r),
		.hz = read_hz(), .inserts = ~0u,
	};
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	struct bpf_object *o;
	int err = 0;

	o = bpf_object__open_file(r->layout ? BENCH_DIR "/layouts.bpf.o" : r->tc ? BPF_DIR "/tc.bpf.o" : BPF_DIR "/xdp.bpf.o", &opts);
	if (!o) {
		fail(EXIT_FAILED, "%s: %s", program, strerror(errno));
		return NULL;
	}
	if (!r->layout) {
		if (getrandom(c.seed, sizeof(c.seed), 0) != sizeof(c.seed))
			err = fail(EXIT_FAILED, "no random numbers: %s", strerror(errno));
		if (!err)
			err = constants(o, ".rodata.p", &c, sizeof(c));
		private_table(o, "flow4", r->family == 4 ? table_bits(r) : 1);
		private_table(o, "flow6", r->family == 6 ? table_bits(r) : 1);
	}
	if (!err)
		err = load_only(o, program, NULL);
	if (err) {
		bpf_object__close(o);
		return NULL;
	}
	*fd = program_fd(o, program);
	if (!bpf_obj_get_info_by_fd(*fd, &info, &size))
		*verified = info.verified_insns;
	return o;
}

/* A feeder in front of `target`, or of the floor when it is -1. */
static struct bpf_object *feeder_load(const struct row *r, const struct feed *f, int target, int *fd)
{
	const char *feed = r->tc ? "feed_tc" : "feed_xdp", *floor = r->tc ? "floor_tc" : "floor_xdp";
	struct bpf_object *o = bpf_object__open_file(BENCH_DIR "/feed.bpf.o", NULL);
	__u32 zero = 0;
	int err;

	if (!o) {
		fail(EXIT_FAILED, "the feeder: %s", strerror(errno));
		return NULL;
	}
	err = constants(o, ".rodata.f", f, sizeof(*f));
	if (!err)
		err = load_only(o, feed, floor);
	if (!err && target < 0)
		target = program_fd(o, floor);
	if (!err && bpf_map_update_elem(bpf_object__find_map_fd_by_name(o, "target"), &zero, &target, 0))
		err = fail(EXIT_FAILED, "the feeder cannot call %s: %s", r->name, strerror(errno));
	*fd = program_fd(o, feed);
	if (!err)
		return o;
	bpf_object__close(o);
	return NULL;
}

/* ns per run by the thread's own clock: a test run also waits (for RCU), and others use the CPU. Negative after fail(). */
static double run(int fd, unsigned n, unsigned length, int is_tc, unsigned *verdict, unsigned *left)
{
	struct xdp_md xdp = { .data_end = length, .ingress_ifindex = ifindex };
	struct __sk_buff skb = { .ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = length, .data_out = out, .data_size_out = sizeof(out),
		    .repeat = n, .ctx_in = is_tc ? (void *)&skb : &xdp, .ctx_size_in = is_tc ? sizeof(skb) : sizeof(xdp));
	struct timespec a, b;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	if (bpf_prog_test_run_opts(fd, &o))
		return fail(EXIT_FAILED, "test run: %s", strerror(errno)), -1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	*verdict = o.retval;
	*left = o.data_size_out;
	return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n;
}

/* ---- the unit */

static struct { int lookups, floor; } units[UNITS];

static int units_load(void)
{
	for (int i = 0; i < UNITS; i++) {
		struct bpf_object *o = bpf_object__open_file(BENCH_DIR "/feed.bpf.o", NULL);
		__u64 value = 1;
		int err, fd;

		if (!o)
			return fail(EXIT_FAILED, "the feeder: %s", strerror(errno));
		err = load_only(o, "hash_lookups", "hash_floor");
		if (err)
			return err;
		fd = bpf_object__find_map_fd_by_name(o, "cost_hash");
		for (unsigned k = 0; k < COST_ENTRIES; k++) {
			struct cost_key key = { { k * 0x9e3779b1, ~k, 1, 2 } };

			if (bpf_map_update_elem(fd, &key, &value, 0))
				return fail(EXIT_FAILED, "the unit's hash: %s", strerror(errno));
		}
		units[i].lookups = program_fd(o, "hash_lookups");
		units[i].floor = program_fd(o, "hash_floor");
	}
	return 0;
}

static double unit_once(void)
{
	static unsigned next;
	unsigned verdict, left, i = next++ % UNITS;
	double floor = run(units[i].floor, UNIT_RUNS, 64, 0, &verdict, &left);
	double gross = run(units[i].lookups, UNIT_RUNS, 64, 0, &verdict, &left);

	return (gross - floor) / COST_LOOKUPS;
}

/* ---- packets from a file */

static struct feed_header header_table[FEED_HEADERS];

static int headers_read(void)
{
	FILE *f = fopen(headers, "re");
	size_t n = f ? fread(header_table, sizeof(*header_table), FEED_HEADERS, f) : 0;

	if (f)
		fclose(f);
	return n == FEED_HEADERS ? 0 : fail(EXIT_FAILED, "%s: not %d headers", headers, FEED_HEADERS);
}

static int headers_store(const struct bpf_object *feeder)
{
	int fd = bpf_object__find_map_fd_by_name(feeder, "headers");
	void *p = mmap(NULL, sizeof(header_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return fail(EXIT_FAILED, "headers: %s", strerror(errno));
	memcpy(p, header_table, sizeof(header_table));
	munmap(p, sizeof(header_table));
	return 0;
}

/* How many packets the policy decided. */
static unsigned long long policy_packets(void)
{
	int fd = run_map("rule_counts", false), cpus = libbpf_num_possible_cpus();
	struct rule_count counts[cpus > 0 ? cpus : 1];
	__u32 id = RULE_POLICY_INGRESS;
	unsigned long long sum = 0;

	if (fd < 0 || bpf_map_lookup_elem(fd, &id, counts))
		return 0;
	for (int i = 0; i < cpus; i++)
		sum += counts[i].packets;
	close(fd);
	return sum;
}

/* ---- a row */

struct table {
	void *memory;
	size_t size, entry;
};

static int table_map(const struct row *r, const struct bpf_object *o, struct table *t)
{
	int fd = bpf_object__find_map_fd_by_name(o, r->family == 4 ? "flow4" : "flow6");

	t->entry = r->family == 4 ? sizeof(struct flow4) : sizeof(struct flow6);
	t->size = (FLOW_WAYS * t->entry) << table_bits(r);
	t->memory = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return t->memory == MAP_FAILED ? fail(EXIT_FAILED, "flow table: %s", strerror(errno)) : 0;
}

/* Nearly every flow must have found its place, or the row measures something else. */
static int table_check(const struct row *r, const struct table *t)
{
	size_t found = 0;

	for (size_t i = 0; i < t->size; i += t->entry)
		found += *(__u64 *)((char *)t->memory + i) != 0;
	if (found > r->flows || found < r->flows * 0.97)
		return fail(EXIT_FAILED, "%s: %zu flows in the table, %u sent", r->name, found, r->flows);
	return 0;
}

static int check(const struct row *r, unsigned verdict, unsigned left)
{
	if (r->kind == HEADERS)		/* each has its own */
		return 0;
	if (verdict != r->verdict)
		return fail(EXIT_FAILED, "%s: the last packet's verdict is %d, %d expected", r->name, (int)verdict, (int)r->verdict);
	if (left != packet_length + r->grows)
		return fail(EXIT_FAILED, "%s: the last packet is %u bytes long, %u expected", r->name, left, packet_length + r->grows);
	return 0;
}

static int pairs(const struct row *r, int floor_fd, int feed_fd, const struct table *t, struct samples *net, struct samples *ratio, struct samples *unit)
{
	unsigned n = r->flows > packets || r->kind == MISS ? r->flows : packets, verdict, left;
	double time[2], h;

	for (unsigned i = 0; i < repeats; i++) {
		if (r->kind == MISS)
			memset(t->memory, 0, t->size);
		for (int k = 0; k < 2; k++) {	/* who is first changes from time to time */
			int floor = (i + k) & 1;

			time[floor] = run(floor ? floor_fd : feed_fd, n, packet_length, !!r->tc, &verdict, &left);
			if (time[floor] < 0 || check(r, verdict, left))
				return EXIT_FAILED;
		}
		h = unit_once();
		sample(net, time[0] - time[1]);
		sample(ratio, (time[0] - time[1]) / h);	/* of the same moment: the machine's speed changes */
		sample(unit, h);
	}
	return 0;
}

static int measure_load(struct row *r, struct samples *net, struct samples *ratio, struct samples *unit)
{
	struct bpf_object *target, *feeder = NULL, *floor = NULL, *parser = NULL;
	int target_fd, feed_fd, floor_fd, parser_fd = -1, err = EXIT_FAILED;
	int has_table = r->features & FEATURE_FLOWS;
	unsigned verdict, left, warm = r->flows > 20000 ? r->flows : 20000;
	struct table t = {};
	struct feed f;

	packet_make(r, &f);
	target = target_load(r, &target_fd, &r->verified);
	if (target)
		feeder = feeder_load(r, &f, target_fd, &feed_fd);
	if (feeder && r->kind == HEADERS) {
		struct row parse = { .name = "parse only", .family = 4 };
		unsigned ignored;

		parser = target_load(&parse, &parser_fd, &ignored);
	}
	if (feeder && (parser || r->kind != HEADERS))
		floor = feeder_load(r, &f, parser_fd, &floor_fd);
	if (floor)
		err = r->kind == HEADERS ? headers_store(feeder) || headers_store(floor) : 0;
	if (!err && has_table)
		err = table_map(r, target, &t);
	if (!err && (run(feed_fd, warm, packet_length, !!r->tc, &verdict, &left) < 0 || check(r, verdict, left)))
		err = EXIT_FAILED;
	if (!err)
		err = pairs(r, floor_fd, feed_fd, &t, net, ratio, unit);
	if (!err && has_table)
		err = table_check(r, &t);
	if (t.memory && t.memory != MAP_FAILED)
		munmap(t.memory, t.size);
	bpf_object__close(floor);
	bpf_object__close(parser);
	bpf_object__close(feeder);
	bpf_object__close(target);
	return err;
}

static int measure(struct row *r)
{
	static struct samples net, ratio, unit;
	int err = 0;

	net.n = ratio.n = unit.n = 0;
	for (unsigned i = 0; i < loads && !err; i++)
		err = measure_load(r, &net, &ratio, &unit);
	if (err)
		return err;
	r->low = quantile(&net, 0.25);
	r->ns = quantile(&net, 0.5);
	r->high = quantile(&net, 0.75);
	r->h = quantile(&ratio, 0.5);
	r->unit = quantile(&unit, 0.5);
	return 0;
}

/* ---- output */

/* The row's limit in H; 0: none. */
static double limit_of(const struct row *r)
{
	if (!r->than)
		return r->limit;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].ns > 0 && rows[i].flows == r->flows && !strcmp(rows[i].name, r->than))
			return r->limit * rows[i].h;
	return 0;
}

static void print_row(const struct row *r, bool first)
{
	double limit = limit_of(r);

	if (json) {
		printf("%s{\"name\":\"%s\",\"flows\":%u,\"ns\":%.2f,\"ns_quartiles\":[%.2f,%.2f],\"h_ns\":%.2f,\"h\":%.3f,\"h_limit\":", first ? "" : ",\n",
		       r->name, r->flows, r->ns, r->low, r->high, r->unit, r->h);
		if (limit > 0)
			printf("%.3f,", limit);
		else
			printf("null,");
		printf("\"verified_insns\":%u}", r->verified);
		return;
	}
	if (first)
		printf("%-30s %8s %8s %17s %7s %7s %9s\n", "", "FLOWS", "NS", "QUARTILES", "H", "LIMIT", "VERIFIED");
	printf("%-30s %8u %8.1f %8.1f %8.1f %7.2f ", r->name, r->flows, r->ns, r->low, r->high, r->h);
	if (limit > 0)
		printf("%6.2f%s ", limit, r->h > limit ? "!" : " ");
	else
		printf("%7s ", "");
	printf("%9u\n", r->verified);
	fflush(stdout);
}

/* What the verifier goes through for the whole of each program. */
static int print_programs(void)
{
	static const struct { const char *name, *tc; unsigned features; } programs[] = {
		{ "weir_xdp", NULL, PIPELINE | FEATURE_TC_ABOVE },
		{ "weir_xdp, decapsulating", NULL, FEATURE_FILTER | FEATURE_FLOWS | FEATURE_DECAP },
		{ "weir_tc_ingress", "weir_tc_ingress", PIPELINE },
		{ "weir_tc_ingress, below XDP", "weir_tc_ingress", PIPELINE | FEATURE_XDP_BELOW },
		{ "weir_tc_egress", "weir_tc_egress", PIPELINE },
	};

	printf(json ? "],\n\"programs\":[" : "\n%-30s %8s\n", "", "VERIFIED");
	for (unsigned i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		struct row r = { .name = programs[i].name, .family = 4, .features = programs[i].features, .tc = programs[i].tc };
		struct bpf_object *o;
		int fd;

		o = target_load(&r, &fd, &r.verified);
		if (!o)
			return EXIT_FAILED;
		bpf_object__close(o);
		if (json)
			printf("%s{\"name\":\"%s\",\"verified_insns\":%u}", i ? ",\n" : "", r.name, r.verified);
		else
			printf("%-30s %8u\n", r.name, r.verified);
	}
	return 0;
}

static int measure_all(struct row *r, unsigned n)
{
	bool first = true;
	int err = 0;

	if (json)
		printf("{\"rows\":[");
	for (unsigned i = 0; i < n && !err; i++) {
		if (only && !strstr(r[i].name, only))
			continue;
		err = measure(&r[i]);
		if (err)
			break;
		print_row(&r[i], first);
		first = false;
	}
	if (!err && !study && !headers)
		err = print_programs();
	if (json)
		printf("]}\n");
	else if (!err && !first)
		printf("\nH: one hit in a BPF hash of %d entries, here %.1f ns. NS: median of %lu loads x %lu pairs, net of the floor.\n",
		       COST_ENTRIES, unit_once(), loads, repeats);
	return err;
}

/* One CPU, and nobody in between: the other CPU is left to others. */
static void settle(void)
{
	struct sched_param p = { .sched_priority = 40 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		note("CPU %lu: %s", cpu, strerror(errno));
	if (!fair && sched_setscheduler(0, SCHED_FIFO, &p))
		note("SCHED_FIFO: %s", strerror(errno));
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return verbose && level != LIBBPF_DEBUG ? vfprintf(stderr, fmt, ap) : 0;
}

static int measure_headers(void)
{
	struct row r = { name ? name : "rules in force", HEADERS, 4, FEED_HEADERS, FEATURE_FILTER, .to = VIA_L2_4, .limit = tenths / 10.0 };
	unsigned long long before = policy_packets();
	int err = headers_read();

	if (!err)
		err = measure_all(&r, 1);
	if (!err && policy_packets() - before > FEED_HEADERS / 1000)	/* the kernel's own neighbour discovery passes by, too */
		err = fail(EXIT_FAILED, "%s: %llu packets hit no rule", r.name, policy_packets() - before);
	return err;
}

int main(int argc, char **argv)
{
	bool help = false;
	int err = 0;

	program_name = "bench";
	verbose = getenv("V") != NULL;
	if (opt_parse(argc - 1, argv + 1, options, NULL, false, &help) < 0)
		return fail_report(EXIT_USAGE, "bench", NULL, false);
	if (help) {
		opt_help(stdout, options);
		return EXIT_DONE;
	}
	libbpf_set_print(quiet);
	ifindex = interface ? if_nametoindex(interface) : 0;
	if (!ifindex)
		err = fail(EXIT_USAGE, "--interface: no such interface; bench/run makes one");
	settle();
	if (!err)
		err = units_load();
	if (!err)
		err = headers ? measure_headers() : study ? measure_all(layouts, sizeof(layouts) / sizeof(*layouts)) :
		      measure_all(rows, sizeof(rows) / sizeof(*rows));
	return fail_report(err, "bench", NULL, false);
}
