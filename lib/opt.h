/* SPDX-License-Identifier: GPL-2.0-only */
/* opt: one table of options gives both parsing and help. Options may stand anywhere among the words; "--" ends them. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

enum opt_kind { OPT_FLAG, OPT_TEXT, OPT_NUMBER };	/* bool *, const char **, unsigned long * */

struct opt {
	const char *name;	/* long name without dashes; NULL ends the table */
	char letter;		/* short name or 0 */
	enum opt_kind kind;
	void *value;		/* where it goes, by kind */
	const char *arg;	/* metavariable of OPT_TEXT and OPT_NUMBER */
	const char *help;
};

/* Parse argv[0..argc-1] (no program name) by the tables a and b (b may be NULL). Words that are no options are moved to the
 * front in their order; returns their count, or -1 after fail(EXIT_USAGE, …). -h/--help sets *help when it is not NULL.
 * With `stop` non-zero parsing ends at the first word that is no option (rule texts contain words like "-1"). */
int opt_parse(int argc, char **argv, const struct opt *a, const struct opt *b, bool stop, bool *help);

/* The table as help text, a line an option. */
void opt_help(FILE *f, const struct opt *t);
