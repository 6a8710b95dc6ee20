/* SPDX-License-Identifier: GPL-2.0-only */
/* value: literals of the language by type, text to number and back. Knows the symbolic names (protocols, ICMP types, flags…)
 * and every limit of a literal; what a literal may stand next to is the grammar's. */
#pragma once
#include "config.h"

struct slice {			/* a piece of the text, not terminated, not owned */
	const char *s;
	int n;
};

struct trouble {		/* what is wrong with a literal, and at which byte of it */
	char text[256];
	int offset;
};

/* Each returns 0, or -1 with the trouble told. */
int value_parse(enum config_type type, struct slice s, u128 *v, struct trouble *why);
int value_range(enum config_type type, struct slice lo, struct slice hi, struct span *out, struct trouble *why);
int value_prefix(enum config_type type, struct slice addr, struct slice len, struct span *out, struct trouble *why);
/* A single value or "a-b" in one word; *interval tells which. */
int value_word(enum config_type type, struct slice s, struct span *out, bool *interval, struct trouble *why);
int number_parse(struct slice s, const char *what, unsigned long max, unsigned long *v, struct trouble *why);
/* 1.2.3.4:80, [2001:db8::1]:80; port 1..65535. */
int endpoint_parse(struct slice s, struct address *a, uint16_t *port, struct trouble *why);
int address_slice(struct slice s, struct address *a, struct trouble *why);

void value_print(FILE *f, enum config_type type, u128 v);
void value_print_wildcard(FILE *f, const struct span *s);	/* of interface names */
const char *value_name(enum config_type type, u128 v);	/* its symbolic name, or NULL */
bool value_is_address(enum config_type type);			/* prefixes make sense */

/* Letters, digits, _ - . with a letter, a digit or _ first; at most 31. */
int name_check(struct slice s, const char *what, struct trouble *why);
bool slice_is(struct slice s, const char *word);
/* The slice for a message: short, printable; storage is the caller's. */
struct shown { char text[64]; };
const char *slice_show(struct slice s, struct shown *out);
#define SHOW(s) slice_show(s, &(struct shown){ 0 })
