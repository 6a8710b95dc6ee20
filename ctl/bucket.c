/* SPDX-License-Identifier: GPL-2.0-only */
/* bucket: the groups' hash tables, as words in memory. */
#include <string.h>
#include "tables.h"

static int ceil_log2(uint32_t n)
{
	int bits = 0;

	while (bits < 31 && 1u << bits < n)
		bits++;
	return bits;
}

static struct filter_rule rule_record(const struct part *p)
{
	return (struct filter_rule){
		.sport = { p->sport[0], p->sport[1] }, .dport = { p->dport[0], p->dport[1] }, .entry = p->entry,
		.position = p->row | (p->needs_ports ? FILTER_NEEDS_PORTS : 0), .proto = p->proto, .proto_mask = p->proto_mask,
		.sshift = p->slength < 32 ? 32 - p->slength : 0, .dshift = p->dlength < 32 ? 32 - p->dlength : 0,
	};
}

static void store_record4(struct filter_record4 *r, const struct part *p)
{
	*r = (struct filter_record4){ rule_record(p), p->saddr[0] >> 32, p->daddr[0] >> 32 };
}

static void set_shifts(__u8 shift[2], int length)
{
	shift[0] = length >= 64 ? 0 : 64 - length;
	shift[1] = length <= 64 ? 64 : 128 - length;
}

static void store_record6(struct filter_record6 *r, const struct part *p)
{
	*r = (struct filter_record6){ .rule = rule_record(p) };
	memcpy(r->saddr, p->saddr, sizeof(r->saddr));
	memcpy(r->daddr, p->daddr, sizeof(r->daddr));
	set_shifts(r->sshift, p->slength);
	set_shifts(r->dshift, p->dlength);
}

/* Where the part goes in its bucket, or behind it; NULL: the bucket goes on for longer than the datapath follows. */
static struct filter_rule *place_in_bucket(struct memory *w, uint32_t at, uint32_t words)
{
	for (int n = 0; n < FILTER_CHAIN_BUCKETS; n++) {
		struct filter_rule *first = (struct filter_rule *)(w->v + at), *second = (struct filter_rule *)(w->v + at + words / 2);
		uint32_t next = first->next;

		if (!first->entry)
			return first;
		if (!second->entry)
			return second;
		if (!next && n + 1 < FILTER_CHAIN_BUCKETS) {
			next = memory_take_at(w, words, words);
			((struct filter_rule *)(w->v + at))->next = next;
		}
		at = next;
	}
	return NULL;
}

static bool store_buckets(struct memory *w, struct filter_group *g, const struct group *from, const struct units *u)
{
	const uint32_t words = (g->family == 4 ? sizeof(struct filter_bucket4) : sizeof(struct filter_bucket6)) / 8;

	g->buckets = memory_take_at(w, (g->mask + 1) * words, words);
	for (uint32_t i = 0; i < from->n_parts; i++) {
		const struct part *p = &u->part[from->parts[i]];
		struct filter_rule *r = place_in_bucket(w, g->buckets + part_hash(g, p) * words, words);

		if (!r)
			return false;
		if (g->family == 4)
			store_record4((struct filter_record4 *)r, p);
		else
			store_record6((struct filter_record6 *)r, p);
	}
	return true;
}

int groups_store(struct memory *w, const struct units *u)
{
	const uint32_t words = sizeof(struct filter_group) / 8;
	uint32_t at = memory_take_at(w, u->n_groups * words, words);

	memory_chain(w)->groups = at;
	if (u->n_groups)
		memory_chain(w)->scans |= FILTER_NOT_SMALL;
	for (uint32_t i = 0; i < u->n_groups; i++) {
		struct filter_group g = u->group[i].masks;
		uint32_t before = w->n;

		g.mask = (1u << ceil_log2((u->group[i].n_parts * 3 + 3) / 4)) - 1;
		while (!store_buckets(w, &g, &u->group[i], u)) {
			w->n = before;
			g.mask = g.mask * 2 + 1;
			if (g.mask >> 24)
				return fail(EXIT_FAILED, "the rules are too much alike for a hash table");
		}
		memcpy(w->v + at + i * words, &g, sizeof(g));
	}
	return 0;
}
