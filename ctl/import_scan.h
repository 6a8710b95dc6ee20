/* SPDX-License-Identifier: GPL-2.0-only */
/* import_scan: nft's text in pieces: a statement, or what stands before a { that opens a block. Comments are gone, variables have their values. */
#pragma once
#include <stdbool.h>

struct variable { char *name, *value; };

struct scan {
	const char *s;
	int line;
	struct variable *variables;
	int n_variables;
};

struct piece {
	char *text;		/* blanks for newlines; the caller's */
	int line;		/* where it begins */
	enum { PIECE_STATEMENT, PIECE_OPEN, PIECE_CLOSE } end;
};

/* `blocks`: a { opens a block, except behind an equals sign. False at the end of the text. */
bool scan_next(struct scan *s, struct piece *out, bool blocks);
void scan_define(struct scan *s, const char *text);	/* "NAME = VALUE" */
void scan_free(struct scan *s);

struct tokens {			/* words and signs as nft has them apart; strings keep their quotes */
	char **v;
	int n;
};

void tokens_of(struct tokens *t, const char *text);
void tokens_free(struct tokens *t);
bool word_of(const char *text, int n, char *out, int size);	/* the nth word */
int word_count(const char *text);
bool begins(const char *text, const char *with);
