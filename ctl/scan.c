/* SPDX-License-Identifier: GPL-2.0-only */
/* scan: see scan.h. */
#include <endian.h>
#include <string.h>
#include "scan.h"

_Static_assert(RULE_LIMIT_BIT >> 2 * SCAN_ENTRY_BITS == 1, "plain entries are below it");

static void mask_words(__u64 mask[2], int length)
{
	mask[0] = length <= 0 ? 0 : length >= 64 ? ~0ull : ~0ull << (64 - length);
	mask[1] = length <= 64 ? 0 : length >= 128 ? ~0ull : ~0ull << (128 - length);
}

static void write_numbers(struct filter_scan *to, const struct part *p)
{
	uint64_t sport = p->sport[1], dport = p->dport[1], proto = p->proto_mask ? p->proto : 255;

	if (!p->needs_ports)
		sport = dport = SCAN_ANY;
	to->from = (uint64_t)p->sport[0] << SCAN_SPORT | (uint64_t)p->dport[0] << SCAN_DPORT | (uint64_t)p->proto << SCAN_PROTO;
	to->to = (sport << SCAN_SPORT | dport << SCAN_DPORT | proto << SCAN_PROTO) + 2 * SCAN_GUARDS;
	to->from |= (uint64_t)p->entry << SCAN_ENTRY;
	to->to |= (uint64_t)(p->entry >> SCAN_ENTRY_BITS) << SCAN_ENTRY;
}

static void write_record4(struct filter_scan4 *to, const struct part *p)
{
	__u64 smask[2], dmask[2];

	mask_words(smask, p->slength);
	mask_words(dmask, p->dlength);
	to->mask = smask[0] | dmask[0] >> 32;
	to->value = (p->saddr[0] & smask[0]) | (p->daddr[0] & dmask[0]) >> 32;
	write_numbers(&to->rule, p);
}

static void write_record6(struct filter_scan6 *to, const struct part *p)
{
	const __u64 address[4] = { p->saddr[0], p->saddr[1], p->daddr[0], p->daddr[1] };
	__u64 mask[4];

	memset(to, 0, sizeof(*to));
	mask_words(mask, p->slength);
	mask_words(mask + 2, p->dlength);
	for (int i = 0; i < 4; i++) {
		to->address[i].mask = htobe64(mask[i]);
		to->address[i].value = htobe64(address[i] & mask[i]);
	}
	write_numbers(&to->rule, p);
}

void scan_record(void *to, const struct part *p)
{
	if (p->family == 4)
		write_record4(to, p);
	else
		write_record6(to, p);
}
