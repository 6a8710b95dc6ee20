/* SPDX-License-Identifier: GPL-2.0 */
/* scan: the first record that matches, of a short chain of plain rules (maps/rule.h). Compiled for user space too, where the unit tests hold it against
 * the model. Loops are written out: a record costs some fourteen instructions, and no store. */
#pragma once
#include "../maps/rule.h"
#include "words.h"

/* Ports and protocol as the records have them. */
static __always_inline __u64 scan_numbers(__u32 sport, __u32 dport, __u32 proto)
{
	return (__u64)sport << SCAN_SPORT | (__u64)dport << SCAN_DPORT | (__u64)proto << SCAN_PROTO | SCAN_GUARDS;
}

/* 0: the numbers are in their ranges. A guard bit stays where nothing had to be borrowed. */
static __always_inline __u64 scan_outside(const struct filter_scan *r, __u64 numbers)
{
	return ((numbers - r->from) & (r->to - numbers) & SCAN_GUARDS) ^ SCAN_GUARDS;
}

static __always_inline __u32 scan4(const struct filter_scan4 *r, __u64 addresses, __u64 numbers)
{
	UNROLLED
	for (int i = 0; i < FILTER_SCAN_MOST; i++, r++)
		if (!(((addresses & r->mask) ^ r->value) | scan_outside(&r->rule, numbers)))
			break;
	return r->rule.entry;
}

static __always_inline __u32 scan6(const struct filter_scan6 *r, const __u64 *saddr, const __u64 *daddr, __u64 numbers)
{
	UNROLLED
	for (int i = 0; i < FILTER_SCAN_MOST; i++, r++)
		if (!(((saddr[0] & r->mask[0]) ^ r->value[0]) | ((saddr[1] & r->mask[1]) ^ r->value[1]) | ((daddr[0] & r->mask[2]) ^ r->value[2]) |
		      ((daddr[1] & r->mask[3]) ^ r->value[3]) | scan_outside(&r->rule, numbers)))
			break;
	return r->rule.entry;
}
