/* SPDX-License-Identifier: GPL-2.0-only */
/* scan: the rows of a short chain as records that are compared one after the other. */
#include <endian.h>
#include <string.h>
#include "scan.h"

_Static_assert(RULE_LIMIT_BIT >> 2 * SCAN_ENTRY_BITS == 1, "plain entries are below it");

/* What a record can say. Rules that do more than decide go the long way, and the chain with them: the order is the same for all. */
static bool is_plain(const struct row *r)
{
	return !(r->entry & (RULE_CONTINUE_BIT | RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT | RULE_LOG_BIT | RULE_VARIANT_BIT)) &&
	       !(r->k.used & FIELDS_EXTRA);
}

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

void scan_record4(struct filter_scan4 *to, const struct part *p)
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
	mask_words(to->mask, p->slength);
	mask_words(to->mask + 2, p->dlength);
	for (int i = 0; i < 2; i++) {
		to->value[i] = htobe64(p->saddr[i] & to->mask[i]);
		to->value[2 + i] = htobe64(p->daddr[i] & to->mask[2 + i]);
	}
	for (int i = 0; i < 4; i++)
		to->mask[i] = htobe64(to->mask[i]);
	write_numbers(&to->rule, p);
}

static void write_part(struct filter_scans *s, int n, const struct part *p)
{
	if (p->family == 4)
		scan_record4(&s->v4[n], p);
	else
		write_record6(&s->v6[n], p);
}

/* False: one family's rules are more records than there is room for. */
static bool write_family(struct filter_scans *s, const struct rows *rows, uint32_t policy, int family)
{
	struct part rest = { .family = family, .entry = policy };
	struct units u = {};
	bool fits = true;

	for (int i = 0; fits && i < rows->n; i++)
		fits = units_cut(&u, &rows->v[i], i, family) && u.n_parts <= FILTER_SCAN_MOST;
	if (fits) {
		for (uint32_t i = 0; i < u.n_parts; i++)
			write_part(s, i, &u.part[i]);
		write_part(s, u.n_parts, &rest);
	}
	units_free(&u);
	return fits;
}

bool scan_is_plain(const struct rows *rows)
{
	for (int i = 0; i < rows->n; i++)
		if (!is_plain(&rows->v[i]))
			return false;
	return true;
}

void scan_store(struct memory *w, const struct rows *rows, uint32_t policy)
{
	struct filter_scans s = {};
	uint32_t scans = 0, at;

	if (rows->n > FILTER_SCAN_MOST || !scan_is_plain(rows))
		return;
	if (write_family(&s, rows, policy, 4))
		scans |= FILTER_SCAN4;
	if (write_family(&s, rows, policy, 6))
		scans |= FILTER_SCAN6;
	if (!scans)
		return;
	memory_take(w, FILTER_SCAN_AT / sizeof(*w->v) - w->n);
	at = memory_take(w, sizeof(s) / sizeof(*w->v));
	memcpy(w->v + at, &s, sizeof(s));
	memory_chain(w)->scans = scans;
}
