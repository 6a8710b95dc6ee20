/* SPDX-License-Identifier: GPL-2.0-only */
/* fresh: what is counted under an id begins at zero when the id changes hands. No generation in force, and no program under way, may know it still. */
#pragma once
#include <stddef.h>
#include <stdint.h>

int fresh_counter(const char *map, size_t size, const uint32_t *keys, int n);	/* of a per-CPU array */
int fresh_limits(const uint32_t *ids, int n);	/* buckets of rules that have a limit */
