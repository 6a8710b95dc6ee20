/* SPDX-License-Identifier: GPL-2.0-only */
/* weir-loader: attaches weir's programs to interfaces. Knows programs, never entries. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <xdp/libxdp.h>
#include "../lib/err.h"
#include "../lib/opt.h"
#include "../lib/out.h"
#include "../lib/run.h"
#include "attach.h"
#include "doctor.h"
#include "object.h"
#include "status.h"

#define DEFAULT_INSERTS 500000

static bool json, all, help, verbose_flag;
static const char *hooks_text, *mode_text = "native";
static struct attach_options attach_options = { .inserts = DEFAULT_INSERTS };

static const struct opt common_options[] = {
	{ "run-dir", 0, OPT_TEXT, &run_dir, "DIR", "instance to work on (default /run/weir, or WEIR_RUN_DIR)" },
	{ "verbose", 'v', OPT_FLAG, &verbose_flag, NULL, "show the kernel's and libbpf's log" },
	{}
};

static const struct opt attach_opts[] = {
	{ "netns", 0, OPT_TEXT, &attach_options.netns, "NS", "network namespace of the interface: a name, or a path" },
	{ "mode", 0, OPT_TEXT, &mode_text, "MODE", "of XDP: native (default), skb, or auto: native where the driver has it" },
	{ "hooks", 0, OPT_TEXT, &hooks_text, "LIST", "of xdp, tc-ingress, tc-egress (default: all three)" },
	{ "chain", 0, OPT_FLAG, &attach_options.chain, NULL, "share XDP with other programs by libxdp's dispatcher" },
	{ "clsact", 0, OPT_FLAG, &attach_options.clsact, NULL, "attach tc programs by clsact even where there is tcx" },
	{ "decap", 0, OPT_FLAG, &attach_options.decap, NULL, "take IPIP headers off: the backend's end of `forward ipip`" },
	{ "no-balance", 0, OPT_FLAG, &attach_options.no_balance, NULL, "services are none of this interface's business: a backend's end (--decap implies it)" },
	{ "no-flows", 0, OPT_FLAG, &attach_options.no_flows, NULL, "no flow table: no accounts, every packet classified and balanced anew" },
	{ "no-frags", 0, OPT_FLAG, &attach_options.no_frags, NULL, "XDP without frames of several buffers, for drivers that refuse them" },
	{ "full", 0, OPT_FLAG, &attach_options.full, NULL, "programs for any rule from the start; else those for plain rules, until an apply needs more" },
	{ "flows", 0, OPT_NUMBER, &attach_options.flows, "N", "room for N IPv4 and N/4 IPv6 flows (default 1048576), fixed by the first attach" },
	{ "inserts", 0, OPT_NUMBER, &attach_options.inserts, "N", "new flows a second and CPU at most (default 500000)" },
	{}
};

static const struct opt detach_opts[] = {
	{ "netns", 0, OPT_TEXT, &attach_options.netns, "NS", "network namespace of the interface" },
	{ "all", 0, OPT_FLAG, &all, NULL, "every interface, and the instance with its tables" },
	{}
};

static const struct opt status_opts[] = { { "json", 'j', OPT_FLAG, &json, NULL, "JSON" }, {} };

static const struct opt doctor_opts[] = {
	{ "netns", 0, OPT_TEXT, &attach_options.netns, "NS", "network namespace of the interface" },
	{ "json", 'j', OPT_FLAG, &json, NULL, "JSON" },
	{}
};

static const struct opt no_opts[] = { {} };

static int parse_mode(const char *text)
{
	for (int m = MODE_NATIVE; m <= MODE_AUTO; m++) {
		if (!strcmp(text, mode_name[m])) {
			attach_options.mode = m;
			return 0;
		}
	}
	return fail(EXIT_USAGE, "--mode %s: not a mode; native, skb or auto", text);
}

static int parse_hooks(const char *text)
{
	attach_options.hooks = 0;
	while (*text) {
		size_t n = strcspn(text, ",");
		int h;

		for (h = 0; h < HOOK_COUNT; h++)
			if (strlen(hook_name[h]) == n && !strncmp(text, hook_name[h], n))
				break;
		if (h == HOOK_COUNT)
			return fail(EXIT_USAGE, "--hooks %.*s: not a hook; xdp, tc-ingress or tc-egress", (int)n, text);
		attach_options.hooks |= 1 << h;
		text += n + (text[n] == ',');
	}
	return attach_options.hooks ? 0 : fail(EXIT_USAGE, "--hooks: names no hook; xdp, tc-ingress or tc-egress");
}

static int run_attach(int argc, char **argv)
{
	int err;

	if (argc != 1)
		return fail(EXIT_USAGE, "attach takes one interface");
	err = parse_mode(mode_text);
	if (!err)
		err = parse_hooks(hooks_text ? hooks_text : "xdp,tc-ingress,tc-egress");
	if (!err && attach_options.decap && !(attach_options.hooks & 1 << HOOK_XDP))
		err = fail(EXIT_USAGE, "--decap is XDP's work: add xdp to --hooks (--mode skb where the driver has no XDP)");
	if (!err && attach_options.chain && !(attach_options.hooks & 1 << HOOK_XDP))
		err = fail(EXIT_USAGE, "--chain is about XDP: add xdp to --hooks");
	if (!err && strlen(argv[0]) > 15)
		err = fail(EXIT_USAGE, "%s: an interface name has at most 15 characters", argv[0]);
	return err ? err : attach(argv[0], &attach_options);
}

static int run_detach(int argc, char **argv)
{
	if (all && !argc)
		return detach_all();
	if (all || argc != 1)
		return fail(EXIT_USAGE, "detach takes one interface, or --all");
	return detach(argv[0], attach_options.netns);
}

static int run_status(int argc, char **argv)
{
	(void)argv;
	return argc ? fail(EXIT_USAGE, "status takes no words") : status();
}

static int run_upgrade(int argc, char **argv)
{
	(void)argv;
	return argc ? fail(EXIT_USAGE, "upgrade takes no words: it upgrades all interfaces of the instance") : upgrade();
}

static int run_doctor(int argc, char **argv)
{
	return argc > 1 ? fail(EXIT_USAGE, "doctor takes at most one interface") : doctor(argc ? argv[0] : NULL, attach_options.netns);
}

static const struct command {
	const char *name, *args, *help;
	const struct opt *opts;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "attach", "IFACE", "put weir's programs on an interface", attach_opts, run_attach },
	{ "detach", "IFACE | --all", "take them off", detach_opts, run_detach },
	{ "status", "", "what is attached where", status_opts, run_status },
	{ "upgrade", "", "swap all programs for this binary's, under traffic; tables stay", no_opts, run_upgrade },
	{ "doctor", "[IFACE]", "check kernel, process and interface", doctor_opts, run_doctor },
	{}
};

static void usage(FILE *f, const struct command *only)
{
	for (const struct command *c = commands; c->name; c++) {
		if (only && c != only)
			continue;
		fprintf(f, "weir-loader %s %s\n    %s\n", c->name, c->args, c->help);
		opt_help(f, c->opts);
	}
	fprintf(f, "common options\n");
	opt_help(f, common_options);
	fprintf(f, "exit: 0 done, 1 failed, 2 usage, 3 nothing attached or not found, 4 refused for safety\n");
}

static int log_to_stderr(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return verbose_flag && level != LIBBPF_DEBUG ? vfprintf(stderr, fmt, ap) : 0;
}

static int dispatch(int argc, char **argv, const struct command **which)
{
	int words;

	if (argc == 1 && !strcmp(argv[0], "--version")) {
		printf("weir-loader %s\n", VERSION);
		return 0;
	}
	/* common options may come first */
	words = opt_parse(argc, argv, common_options, no_opts, true, &help);
	if (words < 0)
		return EXIT_USAGE;
	if (help || (words && !strcmp(argv[0], "help"))) {
		usage(stdout, NULL);
		return 0;
	}
	if (!words)
		return fail(EXIT_USAGE, "no command given; --help lists them");
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, argv[0]))
			*which = c;
	if (!*which)
		return fail(EXIT_USAGE, "%s: no such command; attach, detach, status, upgrade or doctor", argv[0]);
	words = opt_parse(words - 1, argv + 1, (*which)->opts, common_options, false, &help);
	if (words < 0)
		return EXIT_USAGE;
	if (help) {
		usage(stdout, *which);
		return 0;
	}
	out_start(json);
	return (*which)->run(words, argv + 1);
}

int main(int argc, char **argv)
{
	const struct command *c = NULL;
	int err, late;

	program_name = "weir-loader";
	libbpf_set_print(log_to_stderr);
	libxdp_set_print(NULL);
	err = dispatch(argc - 1, argv + 1, &c);
	if (c && !help && (!err || !json)) {
		late = out_finish();
		err = err ? err : late;
	}
	return fail_report(err, program_name, c ? c->name : NULL, json);
}
