/* SPDX-License-Identifier: GPL-2.0-only */
/* import: other tools' rules into our model, rule by rule through our own grammar: what it refuses is left out, with its reason and its place, and
 * nothing goes missing without being listed. */
#pragma once
#include "config.h"

struct import_item {		/* left out, or a note */
	int line;
	bool note;		/* said to the reader; nothing is lost */
	char *what;		/* the text, or NULL */
	char *why;
};

struct import_origin {		/* of a rule that was taken */
	int line;
	char *chain, *text;
};

struct import {
	const char *file;	/* as messages call it */
	struct config config;
	struct import_item *items;
	int n_items, n_left;
	struct import_origin *origins;
	int n_origins;
};

/* 4 and 6: IPv4 and IPv6 packets; 0: all. */
enum { IMPORT_ALL = 0, IMPORT_IP = 46 };

int import_nft(struct import *im, const char *text);
int import_iptables(struct import *im, const char *text, bool ipv6);	/* a header of ip6tables-save means IPv6 too */
void import_free(struct import *im);

/* ---- for the two */
void import_left_out(struct import *im, int line, const char *what, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void import_note(struct import *im, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool import_set(struct import *im, int line, const char *name, bool map, const char *body);
int import_chain(struct import *im, const char *name);	/* its index; made when it is new */
/* `text` in our words, `what` in theirs. */
bool import_rule(struct import *im, const char *chain, int line, const char *text, const char *what);
/* `chain` stood at a hook that all packets of the family come to: lead them there. False: an earlier one accepts before. */
bool import_base(struct import *im, int first, const char *chain, int family, const char *device, int line);
/* A name that fits and is not taken, like the first of these that is not NULL. */
char *import_name(bool (*taken)(void *, const char *), void *context, const char *const *like);
void import_finish(struct import *im);	/* chains that nobody leads to are left out */
char *import_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
