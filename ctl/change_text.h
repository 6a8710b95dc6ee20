/* SPDX-License-Identifier: GPL-2.0-only */
/* change_text: the text of a generation, canonical and with its ids, with one line more or less. Found by its lines: none but those of a chain begin with
 * "chain", none but the ids' with "#ids". */
#pragma once
#include "config.h"

struct change_text {
	char *v;
	size_t n;
	bool *used;		/* ids */
	bool policy_drop, audit;	/* of the chain */
	uint32_t rules;		/* that it has */
	uint32_t at;		/* the rule's index, or the number of rules */
	size_t line, line_end;	/* of the rule at that index: from and to where; at the end of the chain both are there */
	size_t id, id_end;	/* " 17" in the line of ids, likewise */
};

/* Read a text, find the chain by its name, or where that is NULL by the id of one of its rules, and in it the place of the rule with an id, 0: the end. The number of
 * the chain, ingress or egress only; -1: not found. */
int change_text_open(struct change_text *t, const char *path, const char *chain, unsigned long has, unsigned long at);
uint32_t change_text_free_id(const struct change_text *t);	/* 0: there is none */
/* A rule at the place, or in place of what is there. Synced. */
int change_text_write(const struct change_text *t, const char *path, const struct rule *rule, bool replace);
void change_text_close(struct change_text *t);
