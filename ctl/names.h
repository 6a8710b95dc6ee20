/* SPDX-License-Identifier: GPL-2.0-only */
/* names: the words that stand for numbers in rules, by type. They are nft's; ports and rare protocols by the system's files. */
#pragma once
#include "config.h"

int name_find(enum config_type type, const char *s, int n);	/* the value, or -1 */
const char *name_of(enum config_type type, u128 v);		/* the canonical name, or NULL: print the number */
