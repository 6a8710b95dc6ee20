/* SPDX-License-Identifier: GPL-2.0-only */
/* measure: see measure.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "../maps/rule.h"
#include "measure.h"
#include "options.h"
#include "program.h"
#include "samples.h"

#define UNITS 8			/* hashes that H is measured on: each has a seed of its own */
#define UNIT_RUNS 4000
#define WARM 20000		/* packets, at least, before a subject counts */
#define ENOUGH 1500000		/* packets a load, if that makes FEWEST pairs */
#define FEWEST 5

struct answer { unsigned verdict, length; };

/* ns per run by the thread's own clock: a test run also waits (for RCU), and others use the CPU. Negative after fail(). */
static double run(int fd, bool tc, unsigned n, const struct packet *p, struct answer *a)
{
	static unsigned char out[256];
	struct xdp_md xdp = { .data_end = p->length, .ingress_ifindex = options.ifindex };
	struct __sk_buff skb = { .ifindex = options.ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->bytes, .data_size_in = p->length, .data_out = out, .data_size_out = sizeof(out),
		    .repeat = n, .ctx_in = tc ? (void *)&skb : &xdp, .ctx_size_in = tc ? sizeof(skb) : sizeof(xdp));
	struct timespec from, to;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	if (bpf_prog_test_run_opts(fd, &o))
		return fail(EXIT_FAILED, "test run: %s", strerror(errno)), -1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	*a = (struct answer){ o.retval, o.data_size_out };
	return ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / n;
}

/* ---- the unit */

static struct { int lookups, floor; } units[UNITS];

static int unit_fill(int fd)
{
	__u64 value = 1;

	for (unsigned k = 0; k < COST_ENTRIES; k++) {
		struct cost_key key = { { k * 0x9e3779b1, ~k, 1, 2 } };

		if (bpf_map_update_elem(fd, &key, &value, 0))
			return fail(EXIT_FAILED, "the unit's hash: %s", strerror(errno));
	}
	return 0;
}

int unit_load(void)
{
	for (int i = 0; i < UNITS; i++) {
		struct bpf_object *o = bench_object("feed");
		int err = o ? bench_load(o, "hash_lookups", "hash_floor") : EXIT_FAILED;

		if (!err)
			err = unit_fill(bpf_object__find_map_fd_by_name(o, "cost_hash"));
		if (err)
			return err;
		units[i].lookups = bench_program(o, "hash_lookups");
		units[i].floor = bench_program(o, "hash_floor");
	}
	return 0;
}

static double unit_once(void)
{
	static const struct packet any = { .length = 64 };
	static unsigned next;
	unsigned i = next++ % UNITS;
	struct answer a;
	double floor = run(units[i].floor, false, UNIT_RUNS, &any, &a);
	double gross = run(units[i].lookups, false, UNIT_RUNS, &any, &a);

	return (gross - floor) / COST_LOOKUPS;
}

double unit_now(void)
{
	struct samples s = {};

	for (int i = 0; i < 2 * UNITS; i++)
		sample(&s, unit_once());
	return quantile(&s, 0.5);
}

/* ---- a trial */

/* Of all loads. ns: of the pairs' differences; h: of the ratios to the unit of the same moment, since the machine's speed changes. */
struct results { struct samples ns[MAX_FIGURES], h[MAX_FIGURES], unit; };

static int check(const struct trial *t, const struct subject *s, const struct packet *p, const struct answer *a)
{
	unsigned verdict = s->verdict ? s->verdict : t->verdict;
	const char *name = s->program ? s->program : "floor";

	if (verdict && a->verdict != verdict)
		return fail(EXIT_FAILED, "%s, %s: the last packet's verdict is %d, %d expected", t->figure[0].name, name, (int)a->verdict, (int)verdict);
	if (a->length != p->length + t->grows)
		return fail(EXIT_FAILED, "%s, %s: the last packet is %u bytes long, %u expected", t->figure[0].name, name, a->length, p->length + t->grows);
	return 0;
}

static int run_subject(const struct trial *t, int i, const struct loaded *l, unsigned n, const struct packet *p, double *ns)
{
	const struct subject *s = &t->subject[i];
	struct answer a;

	if (t->opens && l->table)
		memset(l->table, 0, l->table_size);
	*ns = run(l->fd, s->object && !strcmp(s->object, "tc"), n, p, &a);
	return *ns < 0 ? EXIT_FAILED : check(t, s, p, &a);
}

/* One of each figure: all subjects have run in this moment. */
static void samples_of(const struct trial *t, const double *ns, double h, struct results *r)
{
	double net[MAX_FIGURES];

	for (int k = 0; k < trial_figures(t); k++) {
		const struct figure *f = &t->figure[k];

		if (f->times) {
			sample(&r->h[k], net[f->of] / net[f->off]);
			continue;
		}
		net[k] = ns[f->of] - ns[f->off];
		sample(&r->ns[k], net[k]);
		sample(&r->h[k], net[k] / h);
	}
}

/* A run sends each flow once, at least. */
static unsigned packets_of(const struct trial *t)
{
	return !t->sources && (t->flows > options.packets || t->opens) ? t->flows : options.packets;
}

/* Short pairs: what else the machine does changes within milliseconds, and is the same for both of a short one. Not shorter still: each run waits for RCU. */
static unsigned pairs_of(const struct trial *t)
{
	unsigned n = ENOUGH / packets_of(t);

	return n >= options.repeats ? options.repeats : n < FEWEST ? FEWEST : n;
}

static int rounds(const struct trial *t, const struct loaded *l, const struct packet *p, struct results *r)
{
	unsigned packets = packets_of(t), pairs = pairs_of(t);
	int n = trial_subjects(t), err = 0;
	double ns[MAX_SUBJECTS], h;

	for (unsigned i = 0; i < pairs && !err; i++) {
		for (int k = 0; k < n && !err; k++)	/* who is first changes from time to time */
			err = run_subject(t, (i + k) % n, &l[(i + k) % n], packets, p, &ns[(i + k) % n]);
		if (err)
			break;
		h = unit_once();
		sample(&r->unit, h);
		samples_of(t, ns, h, r);
	}
	return err;
}

static int measure_load(struct trial *t, struct results *r)
{
	unsigned warm = t->flows > WARM && !t->sources ? t->flows : WARM;
	struct loaded l[MAX_SUBJECTS] = {};
	int n = trial_subjects(t), err = 0;
	struct packet p;
	double ns;

	packet_make(t, &p);
	for (int i = 0; i < n && !err; i++)
		err = subject_load(t, &t->subject[i], &p, &l[i]);
	for (int i = 0; i < n && !err; i++)
		err = run_subject(t, i, &l[i], warm, &p, &ns);
	if (!err)
		err = rounds(t, l, &p, r);
	for (int i = 0; i < n && !err; i++)
		err = subject_check_flows(t, &l[i]);
	for (int k = 0; k < trial_figures(t); k++)
		t->figure[k].verified = t->figure[k].times ? 0 : l[t->figure[k].of].verified;
	for (int i = 0; i < n; i++)
		subject_close(&l[i]);
	return err;
}

static void figures(struct trial *t, struct results *r)
{
	for (int k = 0; k < trial_figures(t); k++) {
		struct figure *f = &t->figure[k];

		f->unit = quantile(&r->unit, 0.5);
		f->low = quantile(&r->ns[k], 0.25);
		f->ns = quantile(&r->ns[k], 0.5);
		f->high = quantile(&r->ns[k], 0.75);
		f->h = quantile(&r->h[k], 0.5);
	}
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

int trial_measure(struct trial *t)
{
	static struct results r;
	unsigned long long before = t->decided ? policy_packets() : 0;
	int err = 0;

	memset(&r, 0, sizeof(r));
	for (unsigned i = 0; i < options.loads && !err; i++)
		err = measure_load(t, &r);
	if (err)
		return err;
	figures(t, &r);
	if (t->decided && policy_packets() - before > FEED_HEADERS / 1000)	/* the kernel's own neighbour discovery passes by, too */
		return fail(EXIT_FAILED, "%s: %llu packets hit no rule", t->figure[0].name, policy_packets() - before);
	return 0;
}
