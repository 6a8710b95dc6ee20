/* SPDX-License-Identifier: GPL-2.0-only */
/* verb: the tables weirctl is made of. Each object's file exports one; dispatch and help come from them. */
#pragma once
#include "../lib/opt.h"

struct verb {
	const char *name;	/* NULL ends the table */
	const char *args;	/* synopsis of the words behind the verb */
	const char *help;	/* one line */
	/* argc/argv: the words behind the verb, options taken out. Returns an exit code; messages by fail(). */
	int (*run)(int argc, char **argv);
	const struct opt *opts;	/* may be NULL */
};

struct object {
	const char *name;	/* NULL: its verbs stand at the top level (apply, check, stats …) */
	const char *help;
	const struct verb *verbs;
};

extern const struct object rule_object, set_object, service_object, backend_object, flow_object, stats_object, tcp_object,
	config_object, import_object, log_object;
extern bool json;		/* -j */

int rule_lint(int argc, char **argv);	/* a verb with a file of its own */

/* Words of a command line as a text of the language: joined by blanks; what stands behind `comment` and `prefix` is quoted again, since the shell took the
 * quotes. malloc()ed. */
char *words_join(int argc, char **argv);

/* The number of the chain that is called `word`, or -1 after fail(). */
struct config;
int words_chain(const struct config *c, const char *word);
