/* SPDX-License-Identifier: GPL-2.0-only */
/* configure: the whole configuration as a file: check, apply, diff, export. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "diff.h"
#include "generation.h"
#include "marks.h"
#include "verb.h"

static int one_file(int argc)
{
	return argc == 1 ? 0 : fail(EXIT_USAGE, "takes one file, or - for standard input");
}

static int config_verb_check(int argc, char **argv)
{
	struct config c;
	int err = one_file(argc), rules = 0;

	if (!err)
		err = config_parse_file(&c, argv[0]);
	if (err)
		return err;
	out_list("checked");
	out_row();
	out_text("file", argv[0]);
	out_number("sets", c.n_sets);
	for (int i = 0; i < config_n_chains(&c); i++)
		rules += config_chain(&c, i)->n_rules;
	out_number("rules", rules);
	out_number("services", c.n_services);
	out_list_end();
	config_free(&c);
	return 0;
}

static int config_verb_apply(int argc, char **argv)
{
	struct config c, old;
	int err = one_file(argc);

	if (!err)
		err = config_parse_file(&c, argv[0]);
	if (err)
		return err;
	err = generation_edit(&old);	/* the lock; a lost text does not keep a file from being applied */
	if (err == EXIT_FAILED) {
		fail_clear();
		err = 0;
	}
	if (!err)
		err = generation_replace(&c, &old);
	config_free(&old);
	if (!err)
		marks_note(&c);
	config_free(&c);
	return err;
}

/* The differences as text, or as {"differences":["-…","+…"]}. */
static int show_diff(const struct config *old, const struct config *new)
{
	char *text = NULL, *save, *line;
	size_t size;
	FILE *f = must(open_memstream(&text, &size));

	config_diff(f, old, new);
	fclose(f);
	if (!out_is_json()) {
		fputs(text, stdout);
		free(text);
		return 0;
	}
	out_list("differences");
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		out_row();
		out_text("line", line);
	}
	out_list_end();
	free(text);
	return 0;
}

static int config_verb_diff(int argc, char **argv)
{
	struct config c, old;
	int err = one_file(argc);

	if (!err)
		err = config_parse_file(&c, argv[0]);
	if (err)
		return err;
	err = generation_read_whole(&old, NULL);
	if (!err)
		err = show_diff(&old, &c);
	config_free(&old);
	config_free(&c);
	return err;
}

static int config_verb_export(int argc, char **argv)
{
	struct config c;
	uint64_t number;
	char *text = NULL;
	size_t size;
	FILE *f;
	int err;

	(void)argv;
	if (argc)
		return fail(EXIT_USAGE, "takes no words; it writes to standard output");
	err = generation_read_whole(&c, &number);
	if (err)
		return err;
	if (!out_is_json()) {
		config_print(stdout, &c);
	} else {
		f = must(open_memstream(&text, &size));
		config_print(f, &c);
		fclose(f);
		out_object("configuration");
		out_number("generation", number);
		out_text("text", text);
		out_object_end();
		free(text);
	}
	config_free(&c);
	return ferror(stdout) ? fail(EXIT_FAILED, "standard output: %s", strerror(errno)) : 0;
}

static const struct verb verbs[] = {
	{ "check", "FILE", "parse and check a configuration, change nothing", config_verb_check, NULL },
	{ "apply", "FILE", "put a configuration in force, whole or not at all", config_verb_apply, NULL },
	{ "diff", "FILE", "what apply would change", config_verb_diff, NULL },
	{ "export", "", "the configuration in force, as text that apply takes", config_verb_export, NULL },
	{}
};

const struct object config_object = { NULL, "one file holds everything", verbs };
