/* SPDX-License-Identifier: GPL-2.0-only */
/* scan: parts of rules as the records that are compared with a packet (maps/rule.h). */
#pragma once
#include "unit.h"

void scan_record(void *to, const struct part *p);	/* of its family: struct filter_scan4, filter_scan6 */
