/* SPDX-License-Identifier: GPL-2.0-only */
/* import_iptables: a line of iptables-save while it is read. */
#pragma once
#include "import.h"

struct saved {
	struct import *im;
	int line, family;
	char table[32];
};

struct rule_line {
	struct saved *at;
	const char *raw;		/* the whole line */
	char **words;
	int n, i;			/* the option at hand */
	bool not;
	FILE *out;			/* matches */
	char *proto, *target, *comment, *limit, *burst, *log, *reject, *mark;
	bool proto_not, proto_said;	/* a match says the protocol */
	bool is_goto, wrong;
};

void options_take(struct rule_line *r);		/* all of words[i..]: matches to out, the rest to the fields */
void rule_left_out(struct rule_line *r, const char *what, const char *why);
