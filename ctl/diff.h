/* SPDX-License-Identifier: GPL-2.0-only */
/* diff: what changes from one configuration to another, object by object, in the words of the language. */
#pragma once
#include "config.h"

/* Lines "-…" and "+…" below the " …" line of their object; returns how many. The order of rules matters, of all else not.
 * Elements are compared as values: of a prefix that became two, what left and what came is listed. */
int config_diff(FILE *f, const struct config *old, const struct config *new);
