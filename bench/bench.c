/* SPDX-License-Identifier: GPL-2.0-only */
/* bench: what a packet costs in each part of the datapath, net of the measured floor, in ns and in H: one lookup that hits in a BPF hash of a
 * thousand entries, measured in between. bench/run prepares the instance; docs/bench.md tells how to read the figures. Here: the command line;
 * trials.c has what is measured, measure.c how. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/opt.h"
#include "measure.h"
#include "options.h"
#include "print.h"

struct options options = { .cpu = 1, .loads = 5, .repeats = 20, .packets = 50000 };

static const struct opt table[] = {
	{ "interface", 0, OPT_TEXT, &options.interface, "IFACE", "packets come in by it (bench/run sets it)" },
	{ "only", 0, OPT_TEXT, &options.only, "TEXT", "only rows whose name contains TEXT" },
	{ "layouts", 0, OPT_FLAG, &options.study, NULL, "candidates for the flow table instead of the datapath" },
	{ "trial", 0, OPT_TEXT, &options.trial, "NAME", "one of those that need rules of their own (bench/run sets this and the next ones)" },
	{ "headers", 0, OPT_TEXT, &options.headers, "FILE", "its packet headers" },
	{ "name", 0, OPT_TEXT, &options.name, "TEXT", "name of its rows" },
	{ "limit", 0, OPT_NUMBER, &options.tenths, "N", "and the limit of the first in tenths of H" },
	{ "elements", 0, OPT_TEXT, &options.elements, "FILE", "elements of the set, for what it is compared with" },
	{ "beside", 0, OPT_TEXT, &options.beside, "DIR", "run directory of a second instance" },
	{ "bare", 0, OPT_FLAG, &options.bare, NULL, "rows without the line above and below" },
	{ "cpu", 0, OPT_NUMBER, &options.cpu, "N", "run there (default 1)" },
	{ "loads", 0, OPT_NUMBER, &options.loads, "N", "load each program so often: seeds differ (default 5)" },
	{ "repeats", 0, OPT_NUMBER, &options.repeats, "N", "pairs of floor and target a load, fewer where flows are many (default 20)" },
	{ "packets", 0, OPT_NUMBER, &options.packets, "N", "packets a run, as many as flows at least (default 50000)" },
	{ "fair", 0, OPT_FLAG, &options.fair, NULL, "leave the scheduler's policy alone" },
	{ "json", 'j', OPT_FLAG, &options.json, NULL, "one JSON document instead of a table" },
	{}
};

/* One CPU, and nobody in between: the other CPU is left to others. */
static void settle(void)
{
	struct sched_param p = { .sched_priority = 40 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(options.cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		note("CPU %lu: %s", options.cpu, strerror(errno));
	if (!options.fair && sched_setscheduler(0, SCHED_FIFO, &p))
		note("SCHED_FIFO: %s", strerror(errno));
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return verbose && level != LIBBPF_DEBUG ? vfprintf(stderr, fmt, ap) : 0;
}

static bool is_wanted(const struct trial *t)
{
	if (options.trial && strcmp(t->name, options.trial))
		return false;
	return !options.only || strstr(t->figure[0].name, options.only);
}

static int measure_all(struct trial *t, unsigned n)
{
	int err = 0;

	print_begin();
	for (unsigned i = 0; i < n && !err; i++) {
		if (!is_wanted(&t[i]))
			continue;
		if (options.tenths)
			t[i].figure[0].limit = options.tenths / 10.0;
		err = trial_measure(&t[i]);
		if (!err)
			print_trial(&t[i]);
	}
	if (!err && t == pipeline_trials)
		err = print_wholes();
	if (!err)
		print_end();
	return err;
}

int main(int argc, char **argv)
{
	bool help = false;
	int err = 0;

	program_name = "bench";
	verbose = getenv("V") != NULL;
	if (opt_parse(argc - 1, argv + 1, table, NULL, false, &help) < 0)
		return fail_report(EXIT_USAGE, "bench", NULL, false);
	if (help) {
		opt_help(stdout, table);
		return EXIT_DONE;
	}
	libbpf_set_print(quiet);
	options.ifindex = options.interface ? if_nametoindex(options.interface) : 0;
	if (!options.ifindex)
		err = fail(EXIT_USAGE, "--interface: no such interface; bench/run makes one");
	settle();
	if (!err)
		err = unit_load();
	if (!err)
		err = options.trial ? measure_all(named_trials, n_named_trials) : options.study ? measure_all(layout_trials, n_layout_trials) :
		      measure_all(pipeline_trials, n_pipeline_trials);
	return fail_report(err, "bench", NULL, false);
}
