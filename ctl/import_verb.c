/* SPDX-License-Identifier: GPL-2.0-only */
/* import_verb: `weirctl import nft|iptables FILE`: our text on standard output, what it leaves out on standard error, line by line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "import.h"
#include "verb.h"

static bool ipv6;

static void show_text(const struct import *im)
{
	config_print(stdout, &im->config);
	for (int i = 0; i < im->n_items; i++) {
		const struct import_item *t = &im->items[i];

		fprintf(stderr, "%s:%d: %s%s%s%s\n", im->file, t->line, t->note ? "note: " : "", t->what ? t->what : "", t->what ? ": " : "", t->why);
	}
}

static void show_json(const struct import *im)
{
	char *text = NULL;
	size_t size;
	FILE *f = must(open_memstream(&text, &size));

	config_print(f, &im->config);
	fclose(f);
	out_list("imports");
	out_row();
	out_text("text", text);
	out_list("items");
	for (int i = 0; i < im->n_items; i++) {
		out_row();
		out_text("file", im->file);
		out_number("line", im->items[i].line);
		out_bool("left_out", !im->items[i].note);
		out_text("what", im->items[i].what);
		out_text("why", im->items[i].why);
	}
	out_list_end();
	out_list_end();
	free(text);
}

static int import(int argc, char **argv, bool nft)
{
	struct import im = { 0 };
	char *text;
	int err;

	if (argc != 1)
		return fail(EXIT_USAGE, "takes one file, or - for standard input");
	err = text_read(&text, &im.file, argv[0]);
	if (!err)
		err = nft ? import_nft(&im, text) : import_iptables(&im, text, ipv6);
	if (!err && out_is_json())
		show_json(&im);
	else if (!err)
		show_text(&im);
	if (!err && im.n_left && out_is_json())
		err = out_finish();	/* the document stands in for a message */
	if (!err && im.n_left)
		err = out_is_json() ? EXIT_FAILED : fail(EXIT_FAILED, "%d thing%s left out", im.n_left, im.n_left > 1 ? "s are" : " is");
	free(text);
	import_free(&im);
	return err;
}

static int nft(int argc, char **argv)
{
	return import(argc, argv, true);
}

static int iptables(int argc, char **argv)
{
	return import(argc, argv, false);
}

static const struct opt iptables_opts[] = {
	{ "ipv6", '6', OPT_FLAG, &ipv6, NULL, "the rules are ip6tables' (a header of ip6tables-save says so too)" },
	{}
};

static const struct verb verbs[] = {
	{ "nft", "FILE", "what nft list ruleset prints, or a file for nft -f", nft, NULL },
	{ "iptables", "FILE", "what iptables-save or ip6tables-save print", iptables, iptables_opts },
	{}
};

const struct object import_object = { "import", "other tools' rules as our text; what cannot be said is listed, exit 1", verbs };
