/* SPDX-License-Identifier: GPL-2.0-only */
/* ask: what rules that are not plain ask of a packet beside addresses, ports and protocol, as records of a tree have it (maps/rule.h). */
#pragma once
#include "flatten.h"
#include "tables.h"

bool row_is_plain(const struct row *r);	/* it does no more than decide, by addresses, ports and protocol */

/* The entry of each row's records to `entries`: a plain row's own, or the number of its ask, which is written to `w`. False: all are plain. */
bool asks_store(struct memory *w, const struct rows *rows, const struct raws *raws, uint32_t *entries);
