/* SPDX-License-Identifier: GPL-2.0-only */
/* err: the one message of a failed command. fail() records it and returns the exit code to pass up; only main prints it,
 * as "weirctl: rule add: message", as file:line:column with a caret, or as JSON. The first message recorded wins. */
#pragma once
#include <stdbool.h>

enum exit_code {
	EXIT_DONE = 0,		/* done */
	EXIT_FAILED = 1,	/* the attempt failed: the message says why */
	EXIT_USAGE = 2,		/* the words are wrong: usage, syntax, values */
	EXIT_NOTHING = 3,	/* nothing attached, or no such object */
	EXIT_REFUSED = 4,	/* would work, refused for safety */
};

struct where {			/* a place in a text; line 0: no place */
	const char *file;	/* not owned; "argument" for words of the command line */
	int line, column;	/* both from 1; a tab is one column */
};

/* Record the message (printf style, no newline, lower case start, no full stop) and return code. */
int fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As fail(), for a place in a text; `text` is the whole source line for the caret (copied; may be NULL). */
int fail_at(int code, struct where at, const char *text, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Forget what was recorded (a failure that was handled). */
void fail_clear(void);

/* The recorded message, or NULL. */
const char *fail_message(void);

/* Print what was recorded: to stderr as text, prefixed "PROGRAM: CONTEXT: " (context may be NULL), or as
 * {"error":{"message","file","line","column","code"}} on stdout when json. Does nothing for code 0. Returns the code that was recorded
 * with the message, code when there was none: on the way up a caller may know less. */
int fail_report(int code, const char *program, const char *context, bool json);

/* p, or the end of the program when there was no memory: what malloc and its kin return goes through it. */
void *must(void *p);

/* A line for people on stderr that is not the error: "PROGRAM: note: …". */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern const char *program_name;	/* "weirctl" or "weir-loader" */
extern int verbose;			/* -v: libbpf's log goes to stderr */
