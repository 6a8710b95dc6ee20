/* SPDX-License-Identifier: GPL-2.0-only */
/* weirctl: words ↔ entries. The tables of the objects are all there is to dispatch and help. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "../lib/run.h"
#include "verb.h"

bool json;
static bool verbose_flag;

static const struct opt common_options[] = {
	{ "json", 'j', OPT_FLAG, &json, NULL, "JSON, errors too" },
	{ "run-dir", 0, OPT_TEXT, &run_dir, "DIR", "instance to work on (default /run/weir, or WEIR_RUN_DIR)" },
	{ "verbose", 'v', OPT_FLAG, &verbose_flag, NULL, "show the log of the libraries below" },
	{}
};

static const struct object *const objects[] = {
	&config_object, &import_object, &rule_object, &set_object, &service_object, &backend_object, &flow_object, &stats_object,
	&log_object, &tcp_object, NULL
};

static const struct opt no_options[] = { {} };

static void verb_help(const struct object *o, const struct verb *v, bool full)
{
	char line[128];

	snprintf(line, sizeof(line), "weirctl %s%s%s %s", o->name ? o->name : "", o->name ? " " : "", v->name, v->args);
	printf("  %-58s %s\n", line, v->help);
	if (full && v->opts)
		opt_help(stdout, v->opts);
}

static void object_help(const struct object *o, bool full)
{
	printf("%s: %s\n", o->name ? o->name : "configuration", o->help);
	for (const struct verb *v = o->verbs; v->name; v++)
		verb_help(o, v, full);
}

static void help(void)
{
	for (int i = 0; objects[i]; i++)
		object_help(objects[i], false);
	printf("common options\n");
	opt_help(stdout, common_options);
	printf("exit: 0 done, 1 failed, 2 usage, 3 nothing attached or not found, 4 refused for safety\n");
}

static const struct verb *find_verb(const struct object *o, const char *name)
{
	for (const struct verb *v = o->verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static int unknown_verb(const struct object *o, const char *name)
{
	char list[256] = "";

	for (const struct verb *v = o->verbs; v->name; v++) {
		size_t n = strlen(list);

		snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", v->name);
	}
	if (!name)
		return fail(EXIT_USAGE, "no verb given; %s", list);
	return fail(EXIT_USAGE, "%s: no such verb; %s", name, list);
}

/* The object and verb that argv[0..] begins with; *used: words taken. */
static int find(int argc, char **argv, const struct object **object, const struct verb **verb, int *used)
{
	for (int i = 0; objects[i]; i++) {
		const struct object *o = objects[i];

		if (!o->name && (*verb = find_verb(o, argv[0]))) {
			*object = o;
			*used = 1;
			return 0;
		}
		if (!o->name || strcmp(o->name, argv[0]))
			continue;
		*object = o;
		if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
			object_help(o, true);
			return -1;
		}
		*verb = argc > 1 ? find_verb(o, argv[1]) : NULL;
		*used = 2;
		return *verb ? 0 : unknown_verb(o, argc > 1 ? argv[1] : NULL);
	}
	return fail(EXIT_USAGE, "%s: no such object or command; --help lists them", argv[0]);
}

static int log_to_stderr(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return verbose_flag && level != LIBBPF_DEBUG ? vfprintf(stderr, fmt, ap) : 0;
}

static int run(int argc, char **argv, char *context, size_t size)
{
	const struct object *o = NULL;
	const struct verb *v = NULL;
	bool wants_help = false;
	int used = 0, words, err;

	/* common options may come first */
	words = opt_parse(argc, argv, common_options, no_options, true, &wants_help);
	if (words < 0)
		return EXIT_USAGE;
	argc = words;
	if (wants_help || (argc && !strcmp(argv[0], "help"))) {
		help();
		return 0;
	}
	if (!argc)
		return fail(EXIT_USAGE, "no command given; --help lists them");
	err = find(argc, argv, &o, &v, &used);
	if (o && o->name)
		snprintf(context, size, "%s%s%s", o->name, v ? " " : "", v ? v->name : "");
	else if (v)
		snprintf(context, size, "%s", v->name);
	if (err)
		return err < 0 ? 0 : err;
	words = opt_parse(argc - used, argv + used, v->opts ? v->opts : no_options, common_options, false, &wants_help);
	if (words < 0)
		return EXIT_USAGE;
	if (wants_help) {
		verb_help(o, v, true);
		return 0;
	}
	verbose = verbose_flag;
	out_start(json);
	err = v->run(words, argv + used);
	if (!err || !json) {
		int late = out_finish();

		err = err ? err : late;
	}
	return err;
}

int main(int argc, char **argv)
{
	char context[64] = "";
	int err;

	program_name = "weirctl";
	libbpf_set_print(log_to_stderr);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("weirctl %s\n", VERSION);
		return 0;
	}
	err = run(argc - 1, argv + 1, context, sizeof(context));
	return fail_report(err, program_name, context[0] ? context : NULL, json);
}
