/* SPDX-License-Identifier: GPL-2.0-only */
/* classify: the datapath's walk over the compiled tables, in user space. */
#include <endian.h>
#include <string.h>
#include "../maps/limit.h"
#include "../maps/mark.h"
#include "../xdp/ask.h"
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
	const struct filter_class *t = &c->core[core];
	const uint32_t *nodes = (const uint32_t *)c + t->nodes;
	uint32_t e = nodes[t->root + ((uint64_t)value >> t->shift)];

	for (int shift = t->shift - t->bits; e & FILTER_NODE; shift -= t->bits)
		e = nodes[(e & ~FILTER_NODE) + (value >> shift & ((1u << t->bits) - 1))];
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

static bool rule_holds(const struct filter_rule *r, const struct packet *p)
{
	if ((r->proto ^ p->proto) & r->proto_mask || (r->position & FILTER_NEEDS_PORTS && !p->has_ports))
		return false;
	return p->ports >> 16 >= r->sport[0] && p->ports >> 16 <= r->sport[1] && (p->ports & 0xffff) >= r->dport[0] &&
	       (p->ports & 0xffff) <= r->dport[1];
}

static uint64_t open_mask(uint32_t shift)
{
	return shift >= 64 ? 0 : ~0ull << shift;
}

static bool addresses_hold(const struct filter_rule *rule, const struct packet *p)
{
	const struct filter_record4 *r4 = (const void *)rule;
	const struct filter_record6 *r6 = (const void *)rule;

	if (p->family == 4)
		return !((r4->saddr ^ p->saddr[0] >> 32) & open_mask(rule->sshift)) && !((r4->daddr ^ p->daddr[0] >> 32) & open_mask(rule->dshift));
	for (int i = 0; i < 2; i++)
		if ((r6->saddr[i] ^ p->saddr[i]) & open_mask(r6->sshift[i]) || (r6->daddr[i] ^ p->daddr[i]) & open_mask(r6->dshift[i]))
			return false;
	return true;
}

struct best {
	uint32_t position, entry;
	uint32_t from;		/* rules before are passed by */
	uint64_t *mark;		/* the packet's */
};

static void probe_group(const struct filter_chain *c, uint32_t group, const struct packet *p, struct best *best)
{
	const uint64_t *w = (const uint64_t *)c;
	uint32_t at, words = (p->family == 4 ? sizeof(struct filter_bucket4) : sizeof(struct filter_bucket6)) / 8;
	struct filter_group g;

	memcpy(&g, w + c->groups + group * sizeof(g) / 8, sizeof(g));
	if (g.family != p->family)
		return;
	at = g.buckets + filter_hash(&g, p->saddr, p->daddr, p->ports, p->proto) * words;
	for (int n = 0; n < FILTER_CHAIN_BUCKETS && at; n++) {
		for (uint32_t i = 0; i < FILTER_RECORDS; i++) {
			const struct filter_rule *r = (const struct filter_rule *)(w + at + i * words / 2);
			uint32_t position = r->position & ~FILTER_NEEDS_PORTS;

			if (r->entry && position >= best->from && position < best->position && rule_holds(r, p) && addresses_hold(r, p)) {
				best->position = position;
				best->entry = r->entry;
			}
		}
		at = ((const struct filter_rule *)(w + at))->next;
	}
}

/* Does the limit hold above its rate only? Buckets are taken to be full. */
static bool is_over(const uint64_t *w, uint32_t place)
{
	return ((const struct filter_limit *)(w + place))->flags & LIMIT_OVER;
}

static void set_mark(const uint64_t *w, uint32_t place, uint32_t entry, uint64_t *mark)
{
	struct filter_mark m;

	memcpy(&m, w + place + (entry & RULE_LIMIT_BIT ? sizeof(struct filter_limit) / 8 : 0), sizeof(m));
	*mark = ((uint32_t)*mark & m.keep) ^ m.flip;
}

/* Units of a word of the rows in order, as long as none leaps back behind a rule found, or sets the mark. 1: decided; -1: once more from the start. */
static int walk_word(const struct filter_chain *c, uint32_t at, uint64_t units, const struct packet *p, struct best *best)
{
	const uint64_t *w = (const uint64_t *)c;

	for (; units; units &= units - 1) {
		uint32_t unit = at * 64 + __builtin_ctzll(units), position = w[c->entries + unit] >> 32, entry = (uint32_t)w[c->entries + unit];
		uint64_t leap = w[c->leaps + unit];

		if (position >= best->position)
			return 1;
		if (entry & FILTER_GROUP_BIT) {
			probe_group(c, entry & RULE_ID_MASK, p, best);
		} else if (position < best->from || (entry & RULE_LIMIT_BIT && is_over(w, leap >> 32))) {
			continue;
		} else if (!(entry & RULE_CONTINUE_BIT)) {
			if (entry & RULE_MARK_BIT)
				set_mark(w, leap >> 32, entry, best->mark);
			best->position = position;
			best->entry = entry;
			return 1;
		} else if (entry & RULE_MARK_BIT) {
			set_mark(w, leap >> 32, entry, best->mark);
			best->from = (uint32_t)leap ? (uint32_t)leap : position + 1;
			return -1;
		} else if ((uint32_t)leap) {
			best->from = (uint32_t)leap;
			if (best->position < (uint32_t)leap)
				return -1;
		}
	}
	return 0;
}

struct asker {
	const struct field_values *v;
};

static bool term_holds(const struct filter_term *t, const struct field_values *v)
{
	uint64_t x = v->lo[t->field];

	if (!has(v, t->field))
		return false;
	switch (t->kind) {
	case TERM_VLAN_ID:
		return x >= t->v[0] && x <= t->v[1];
	case TERM_IFNAME:
		return v->hi[t->field] == t->v[0] && x == t->v[1];
	case TERM_LIST_SADDR4:
	case TERM_LIST_DADDR4:
	case TERM_SET_SADDR4:
	case TERM_SET_DADDR4:
	case TERM_SET_SADDR6:
	case TERM_SET_DADDR6:
		return x == t->v[0];
	default:
		return term_has(t, x);
	}
}

static uint32_t asker_entry(const struct asker *a, const struct filter_ask *q)
{
	for (uint32_t i = 0; i < q->n; i++)
		if (!term_holds(&q->term[i], a->v))
			return RULE_CONTINUE_BIT;
	return q->entry;	/* of one that is limited, too: buckets are taken to be full */
}

bool compiled_scan(uint32_t *entry, const struct compiled *compiled, int chain, const struct field_values *v)
{
	const struct filter_chain *c = (const struct filter_chain *)compiled->chain[chain].v;
	uint32_t size = memory_size(&compiled->chain[chain]);
	struct packet p = packet_of(v);
	uint64_t numbers = scan_numbers(p.has_ports ? p.ports >> 16 : SCAN_ANY, p.has_ports ? p.ports & 0xffff : SCAN_ANY, p.proto);
	const __u64 addresses = p.saddr[0] | p.daddr[0] >> 32;
	const __u64 words[] = { htobe64(p.saddr[0]), htobe64(p.saddr[1]), htobe64(p.daddr[0]), htobe64(p.daddr[1]) };
	const struct asker a = { v };

	*entry = 0;
	if (c->scans & FILTER_CHANGED && (p.family == 4 ? scan_changed4(c, addresses, numbers, size) : p.family == 6 ? scan_changed6(c, words, numbers, size) : 0))
		return false;
	if (p.family == 4 && c->scans & FILTER_TREE4 && !(c->scans & FILTER_PLAIN4))
		*entry = size == FILTER_SMALL ? ask_tree4(c, addresses, numbers, &a, FILTER_SMALL) : ask_tree4(c, addresses, numbers, &a, FILTER_MEDIUM);
	else if (p.family == 4 && c->scans & FILTER_TREE4)
		*entry = size == FILTER_SMALL ? scan_leaf4(c, addresses, numbers) :
			 size == FILTER_LARGE ? scan_tree4(c, addresses, numbers, FILTER_LARGE) : scan_tree4(c, addresses, numbers, FILTER_MEDIUM);
	else if (p.family == 6 && c->scans & FILTER_PLAIN6 && size == FILTER_SMALL)
		*entry = scan_leaf6(c, words, numbers);
	else if (p.family == 6 && c->scans & FILTER_TREE6)
		*entry = size == FILTER_SMALL ? ask_tree6(c, words, numbers, &a, FILTER_SMALL) : ask_tree6(c, words, numbers, &a, FILTER_MEDIUM);
	return *entry;
}

uint32_t compiled_classify(const struct compiled *compiled, int chain, struct field_values *v)
{
	const uint64_t *w = compiled->chain[chain].v;
	const struct filter_chain *c = (const struct filter_chain *)w;
	struct packet p = packet_of(v);
	struct best best = { ~0u, 0, 0, &v->lo[FIELD_MARK] };
	uint32_t row[FIELD_COUNT + CORE_COUNT];
	int n = packet_rows(row, c, &p, v), done = 0;

	for (uint32_t at = 0; at < c->words && done <= 0; at++) {
		uint64_t all = ~0ull;

		for (int i = 0; i < n; i++)
			all &= w[row[i] + c->summary + at];
		done = walk_word(c, at, all, &p, &best);
		if (done < 0) {		/* what was found is passed by: once more from the start */
			best.position = ~0u;
			best.entry = 0;
			at = -1;
			packet_rows(row, c, &p, v);
		}
	}
	return best.entry ? best.entry : c->policy;
}
