/* SPDX-License-Identifier: GPL-2.0-only */
/* ids: what must not change while text around it does: a rule's id (its counter), a backend's slot (its flows), a service's ring chunks. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include "config.h"

struct ids {
	uint32_t *ring;			/* per service of the new configuration: first chunk */
	uint32_t *new_rules;		/* ids that this configuration is the first to use, or uses anew */
	int n_new_rules;
	uint32_t *new_backends;		/* slots likewise */
	int n_new_backends;
};

/* Give every rule and backend of c its id: that of its counterpart in old, or one that old does not use. Exit code: a limit was met. */
int ids_assign(struct ids *ids, const struct config *old, struct config *c);
void ids_free(struct ids *ids);

/* A comment of an element that is in the kernel's table: a line of the text's end. `how`: "add", or "del" (three letters). */
void note_print(FILE *f, const struct set *s, const char *how, const struct value_tuple *e);
void ids_print(FILE *f, const struct config *c);
int ids_read(struct config *c, const char *path);
