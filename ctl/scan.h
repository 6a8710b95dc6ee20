/* SPDX-License-Identifier: GPL-2.0-only */
/* scan: the rows of a short chain as records that are compared one after the other (maps/rule.h). */
#pragma once
#include "flatten.h"
#include "tables.h"
#include "unit.h"

/* Records of the chain that has just been begun in `w`, where it is short and plain enough; else none. `policy`: the entry where no rule matches. */
void scan_record4(struct filter_scan4 *to, const struct part *p);
bool scan_is_plain(const struct rows *rows);	/* no rule does more than decide, by addresses, ports and protocol */
void scan_store(struct memory *w, const struct rows *rows, uint32_t policy);
