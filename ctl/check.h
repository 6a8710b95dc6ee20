/* SPDX-License-Identifier: GPL-2.0-only */
/* check: config_check() with the text at hand, so that what was parsed from it is shown with a caret. */
#pragma once
#include "config.h"

struct checker {
	const struct config *config;
	const char *file, *text;	/* the text at hand, for the caret; NULL: none */
	struct set **sets;		/* by name */
};

int check_text(struct config *c, const char *file, const char *text);
int checker_wrong(struct checker *k, struct where at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int check_reject(struct checker *k, const struct rule *r, const enum config_key *family, const enum config_key *proto);	/* keys that ask for these, or NULL */
int check_chains(struct checker *k);		/* check_chain.c: where rules lead to */
char *text_line(const char *text, int line);	/* a copy of the line, counted from 1 */
