/* SPDX-License-Identifier: GPL-2.0-only */
/* classify: the datapath's walk over the compiled tables, in user space. */
#include <string.h>
#include "compile.h"

struct packet {
	__u64 saddr[2], daddr[2];
	uint32_t ports, family, proto;
	bool has_ports;
};

static bool has(const struct field_values *v, enum filter_field f)
{
	return v->present & FIELD_BIT(f);
}

static struct packet packet_of(const struct field_values *v)
{
	struct packet p = { .family = has(v, FIELD_FAMILY) ? v->lo[FIELD_FAMILY] : 0 };

	p.proto = p.family && has(v, FIELD_L4PROTO) ? v->lo[FIELD_L4PROTO] : 0;
	p.has_ports = has(v, FIELD_SPORT);
	if (p.has_ports)
		p.ports = v->lo[FIELD_SPORT] << 16 | v->lo[FIELD_DPORT];
	if (p.family == 4) {
		p.saddr[0] = v->lo[FIELD_SADDR4] << 32;
		p.daddr[0] = v->lo[FIELD_DADDR4] << 32;
	} else if (p.family == 6) {
		p.saddr[0] = v->hi[FIELD_SADDR6];
		p.saddr[1] = v->lo[FIELD_SADDR6];
		p.daddr[0] = v->hi[FIELD_DADDR6];
		p.daddr[1] = v->lo[FIELD_DADDR6];
	}
	return p;
}

static uint32_t class_row(const struct filter_chain *c, enum filter_core core, uint32_t value)
{
	const uint64_t *w = (const uint64_t *)c;
	const struct filter_class *t = &c->core[core];
	uint32_t e = ((const uint32_t *)c)[t->top + (t->shift < 32 ? value >> t->shift : 0)];

	if (e & FILTER_SEARCH) {
		uint32_t n = 1u << (e >> FILTER_SEARCH_BITS & 31), at = t->elements + (e & ((1u << FILTER_SEARCH_BITS) - 1)), i = 0;

		while (i + 1 < n && w[at + i + 1] >> 32 <= value)
			i++;
		e = (uint32_t)w[at + i];
	}
	return t->rows + e * c->stride;
}

static uint32_t interval_row(const struct filter_chain *c, enum filter_field f, const struct field_values *v)
{
	const uint64_t *w = (const uint64_t *)c;
	const struct filter_interval *t = &c->interval[f];
	u128 x = field_is_wide(f) ? (u128)v->hi[f] << 64 | v->lo[f] : v->lo[f], bound;
	uint32_t i;

	if (!has(v, f))
		return t->absent;
	for (i = t->count - 1; i; i--) {
		bound = field_is_wide(f) ? (u128)w[t->bounds + 2 * i] << 64 | w[t->bounds + 2 * i + 1] : w[t->bounds + i];
		if (bound <= x)
			break;
	}
	return w[t->rows + i];
}

/* Where the rows of the packet begin; how many. */
static int packet_rows(uint32_t *row, const struct filter_chain *c, const struct packet *p, const struct field_values *v)
{
	int n = 0;

	row[n++] = class_row(c, CORE_PROTO, (p->family == 4 ? 1 : p->family == 6 ? 2 : 0) << 8 | p->proto);
	if (p->family == 4) {
		row[n++] = class_row(c, CORE_SADDR4, p->saddr[0] >> 32);
		row[n++] = class_row(c, CORE_DADDR4, p->daddr[0] >> 32);
	}
	row[n++] = p->has_ports ? class_row(c, CORE_SPORT, p->ports >> 16) : c->core[CORE_SPORT].absent;
	row[n++] = p->has_ports ? class_row(c, CORE_DPORT, p->ports & 0xffff) : c->core[CORE_DPORT].absent;
	for (int f = 0; f < FIELD_COUNT; f++)
		if (c->fields & FIELDS_EXTRA & FIELD_BIT(f) ||
		    (p->family == 6 && c->fields & FIELD_BIT(f) && (f == FIELD_SADDR6 || f == FIELD_DADDR6)))
			row[n++] = interval_row(c, f, v);
	return n;
}

static uint64_t open_mask(uint32_t shift)
{
	return shift >= 64 ? 0 : ~0ull << shift;
}

static bool record_holds(const struct filter_record *r, const struct packet *p)
{
	for (int i = 0; i < 2; i++)
		if ((r->saddr[i] ^ p->saddr[i]) & open_mask(r->sshift[i]) || (r->daddr[i] ^ p->daddr[i]) & open_mask(r->dshift[i]))
			return false;
	if ((r->proto ^ p->proto) & r->proto_mask || (r->needs_ports && !p->has_ports))
		return false;
	return p->ports >> 16 >= r->sport[0] && p->ports >> 16 <= r->sport[1] && (p->ports & 0xffff) >= r->dport[0] &&
	       (p->ports & 0xffff) <= r->dport[1];
}

struct best {
	uint32_t position, entry;
};

static void probe_group(const struct filter_chain *c, uint32_t group, const struct packet *p, struct best *best)
{
	const uint64_t *w = (const uint64_t *)c;
	struct filter_group g;
	uint32_t at;

	memcpy(&g, w + c->groups + group * sizeof(g) / 8, sizeof(g));
	if (g.family != p->family)
		return;
	at = g.buckets + filter_hash(&g, p->saddr, p->daddr, p->ports, p->proto) * sizeof(struct filter_bucket) / 8;
	for (int n = 0; n < FILTER_CHAIN_BUCKETS && at; n++) {
		const struct filter_bucket *b = (const struct filter_bucket *)(w + at);

		for (int i = 0; i < FILTER_RECORDS; i++)
			if (b->record[i].entry && b->record[i].position < best->position && record_holds(&b->record[i], p))
				*best = (struct best){ b->record[i].position, b->record[i].entry };
		at = b->record[0].next;
	}
}

uint32_t compiled_classify(const struct compiled *compiled, int chain, const struct field_values *v)
{
	const uint64_t *w = compiled->chain[chain].v;
	const struct filter_chain *c = (const struct filter_chain *)w;
	struct packet p = packet_of(v);
	struct best best = { ~0u, 0 };
	uint32_t row[FIELD_COUNT + CORE_COUNT];
	int n = packet_rows(row, c, &p, v);

	for (uint32_t at = 0; at < c->words; at++) {
		uint64_t all = ~0ull;

		for (int i = 0; i < n; i++)
			all &= w[row[i] + c->summary + at];
		for (; all; all &= all - 1) {
			uint64_t e = w[c->entries + at * 64 + __builtin_ctzll(all)];

			if (e >> 32 >= best.position)
				return best.entry;
			if ((uint32_t)e & FILTER_GROUP_BIT)
				probe_group(c, e & RULE_ID_MASK, &p, &best);
			else if (!(e & RULE_CONTINUE_BIT))
				return (uint32_t)e;
		}
	}
	return best.entry ? best.entry : c->policy;
}
