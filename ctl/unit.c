/* SPDX-License-Identifier: GPL-2.0-only */
/* unit: rules of common shape into groups. A shape is how much of each address, and whether each port and the protocol, is exact; lengths
 * are rounded down, so that few shapes hold nearly all rules (tuple space search of Srinivasan, Suri and Varghese 1999, with tuples merged as in Daly et al.
 * 2019). Where too many rules of a shape have one key, they go to a finer shape, and last each by itself. */
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include "unit.h"

enum {
	MAX_PARTS = 64,		/* a rule cut into more stays by itself, in no group */
	MAX_SAME_KEY = 6,	/* records of one key in a group: all of them are looked at */
};

static const uint8_t lengths4[] = { 0, 8, 12, 16, 20, 24, 28, 32 };
static const uint8_t lengths6[] = { 0, 16, 32, 40, 48, 56, 64, 96, 128 };

/* ---- a rule's parts */

struct prefixes {
	struct { u128 value; uint8_t length; } v[UNITS_PARTS];
	int n;
};

static u128 low_bits(int n)
{
	return n >= 128 ? ~(u128)0 : ((u128)1 << n) - 1;
}

/* Cut a span of a field of `width` bits into prefixes. */
static bool prefixes_add(struct prefixes *p, struct span s, int width)
{
	if (s.hi > low_bits(width))	/* of what is negated */
		s.hi = low_bits(width);
	for (u128 lo = s.lo;; ) {
		int open = 0;

		while (open < width && !(lo >> open & 1) && (lo | low_bits(open + 1)) <= s.hi)
			open++;
		if (p->n == UNITS_PARTS)
			return false;
		p->v[p->n].value = lo;
		p->v[p->n++].length = width - open;
		if ((lo | low_bits(open)) == s.hi)
			return true;
		lo = (lo | low_bits(open)) + 1;
	}
}

static bool prefixes_of(struct prefixes *p, const struct constraints *k, enum filter_field f, int width)
{
	p->n = 0;
	if (!(k->used & FIELD_BIT(f))) {
		p->v[p->n].value = 0;
		p->v[p->n++].length = 0;
		return true;
	}
	for (int i = 0; i < k->field[f].n; i++)
		if (!prefixes_add(p, k->field[f].v[i], width))
			return false;
	return true;
}

static void set_address(__u64 word[2], u128 value, int width)
{
	value <<= 128 - width;
	word[0] = value >> 64;
	word[1] = (uint64_t)value;
}

struct cut {			/* what a rule's parts are made of: all combinations */
	struct prefixes saddr, daddr;
	struct span sport[UNITS_PARTS], dport[UNITS_PARTS];
	int proto[UNITS_PARTS];	/* -1: any */
	int n_sport, n_dport, n_proto;
	uint8_t family;
};

static int ports_of(struct span *out, const struct constraints *k, enum filter_field f)
{
	const struct spans *s = &k->field[f];

	if (!(k->used & FIELD_BIT(f))) {
		out[0] = (struct span){ 0, 65535 };
		return 1;
	}
	if (s->n > UNITS_PARTS)
		return -1;
	for (int i = 0; i < s->n; i++)
		out[i] = (struct span){ s->v[i].lo, s->v[i].hi < 65535 ? s->v[i].hi : 65535 };
	return s->n;
}

static int protos_of(int *out, const struct constraints *k)
{
	const struct spans *s = &k->field[FIELD_L4PROTO];
	int n = 0;

	if (!(k->used & FIELD_BIT(FIELD_L4PROTO))) {
		out[0] = -1;
		return 1;
	}
	for (int i = 0; i < s->n; i++)
		for (u128 v = s->v[i].lo; v <= s->v[i].hi && v < 256; v++) {
			if (n == UNITS_PARTS)
				return -1;
			out[n++] = (int)v;
		}
	return n;
}

/* Can the EtherType be that of a packet of the family? Behind the MAC addresses it may be a VLAN tag's. */
static bool asks_type(const struct constraints *k, int family)
{
	const struct spans *outer = &k->field[FIELD_ETHER_TYPE], *inner = &k->field[FIELD_L3_TYPE];
	uint16_t type = family == 4 ? ETH_P_IP : ETH_P_IPV6;

	if (k->used & FIELD_BIT(FIELD_L3_TYPE) && !spans_have(inner, type))
		return false;
	return !(k->used & FIELD_BIT(FIELD_ETHER_TYPE)) || spans_have(outer, type) || spans_have(outer, ETH_P_8021Q) || spans_have(outer, ETH_P_8021AD);
}

static bool asks_family(const struct constraints *k, int family)
{
	const uint64_t v4 = FIELD_BIT(FIELD_SADDR4) | FIELD_BIT(FIELD_DADDR4), v6 = FIELD_BIT(FIELD_SADDR6) | FIELD_BIT(FIELD_DADDR6);

	if (k->used & (family == 4 ? v6 : v4) || !asks_type(k, family))
		return false;
	return !(k->used & FIELD_BIT(FIELD_FAMILY)) || spans_have(&k->field[FIELD_FAMILY], family);
}

/* False: the rule must stay by itself. */
static bool cut_rule(struct cut *c, const struct constraints *k, int family, int most)
{
	int width = family == 4 ? 32 : 128;

	c->family = family;
	if (!prefixes_of(&c->saddr, k, family == 4 ? FIELD_SADDR4 : FIELD_SADDR6, width) ||
	    !prefixes_of(&c->daddr, k, family == 4 ? FIELD_DADDR4 : FIELD_DADDR6, width))
		return false;
	c->n_sport = ports_of(c->sport, k, FIELD_SPORT);
	c->n_dport = ports_of(c->dport, k, FIELD_DPORT);
	c->n_proto = protos_of(c->proto, k);
	return c->n_sport >= 0 && c->n_dport >= 0 && c->n_proto >= 0 &&
	       (long)c->saddr.n * c->daddr.n * c->n_sport * c->n_dport * c->n_proto <= most;
}

static struct part *part_room(struct units *u)
{
	u->part = array_room(u->part, u->n_parts, sizeof(*u->part));
	return memset(&u->part[u->n_parts++], 0, sizeof(*u->part));
}

static void add_parts(struct units *u, const struct cut *c, uint32_t row, uint32_t entry, bool needs_ports)
{
	int n = c->saddr.n * c->daddr.n * c->n_sport * c->n_dport * c->n_proto, width = c->family == 4 ? 32 : 128;

	for (int i = 0; i < n; i++) {
		int at = i, s = at % c->saddr.n, d = (at /= c->saddr.n) % c->daddr.n, sp = (at /= c->daddr.n) % c->n_sport;
		int dp = (at /= c->n_sport) % c->n_dport, proto = c->proto[at / c->n_dport];
		struct part *p = part_room(u);

		p->row = row;
		p->family = c->family;
		set_address(p->saddr, c->saddr.v[s].value, width);
		set_address(p->daddr, c->daddr.v[d].value, width);
		p->slength = c->saddr.v[s].length;
		p->dlength = c->daddr.v[d].length;
		p->sport[0] = c->sport[sp].lo;
		p->sport[1] = c->sport[sp].hi;
		p->dport[0] = c->dport[dp].lo;
		p->dport[1] = c->dport[dp].hi;
		p->needs_ports = needs_ports;
		p->proto = proto < 0 ? 0 : proto;
		p->proto_mask = proto < 0 ? 0 : 0xff;
		p->entry = entry;
	}
}

bool units_cut(struct units *u, const struct row *r, uint32_t index, int family, uint32_t entry, int most)
{
	const struct constraints *k = &r->k;
	static struct cut c;

	if (!asks_family(k, family))
		return true;
	if (!cut_rule(&c, k, family, most))
		return false;
	add_parts(u, &c, index, entry, k->used & (FIELD_BIT(FIELD_SPORT) | FIELD_BIT(FIELD_DPORT)));
	return true;
}

/* Cut a row into parts for the groups of each family it may match. False: it must stay by itself. */
static bool row_parts(struct units *u, const struct row *r, uint32_t index)
{
	bool is_ip = r->k.used & ~FIELD_BIT(FIELD_FAMILY);
	uint32_t had = u->n_parts;

	if (r->entry & (RULE_CONTINUE_BIT | RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT) || r->k.used & FIELDS_EXTRA || !is_ip)
		return false;
	if (units_cut(u, r, index, 4, r->entry, MAX_PARTS) && units_cut(u, r, index, 6, r->entry, MAX_PARTS))
		return true;
	u->n_parts = had;
	return false;
}

/* ---- shapes */

static uint64_t mask_of(int length)
{
	return length <= 0 ? 0 : length >= 64 ? ~0ull : ~0ull << (64 - length);
}

static int rounded(int length, int family)
{
	const uint8_t *v = family == 4 ? lengths4 : lengths6;
	int n = family == 4 ? sizeof(lengths4) : sizeof(lengths6);

	while (n > 1 && v[n - 1] > length)
		n--;
	return v[n - 1];
}

static void set_masks(__u64 mask[2], int length)
{
	mask[0] = mask_of(length);
	mask[1] = mask_of(length - 64);
}

/* The shape of a part; `exact`: with its own lengths. */
static struct filter_group shape_of(const struct part *p, bool exact)
{
	struct filter_group g = { .family = p->family, .proto = p->proto_mask };

	set_masks(g.smask, exact ? p->slength : rounded(p->slength, p->family));
	set_masks(g.dmask, exact ? p->dlength : rounded(p->dlength, p->family));
	if (p->sport[0] == p->sport[1])
		g.ports |= 0xffff0000;
	if (p->dport[0] == p->dport[1])
		g.ports |= 0xffff;
	return g;
}

struct building {		/* a group while it fills */
	struct group group;
	uint32_t *keys;		/* hash set of key hash → count, open addressing */
	uint16_t *counts;
	uint32_t size, used, capacity;
};

static int group_find(struct building **list, int *n, const struct filter_group *shape)
{
	for (int i = 0; i < *n; i++)
		if (!memcmp(&(*list)[i].group.masks, shape, sizeof(*shape)))
			return i;
	*list = must(realloc(*list, (*n + 1) * sizeof(**list)));
	memset(&(*list)[*n], 0, sizeof(**list));
	(*list)[*n].group.masks = *shape;
	return (*n)++;
}

uint32_t part_hash(const struct filter_group *g, const struct part *p)
{
	return filter_hash(g, p->saddr, p->daddr, (uint32_t)p->sport[0] << 16 | p->dport[0], p->proto);
}

static uint32_t part_key(const struct filter_group *shape, const struct part *p)
{
	struct filter_group g = *shape;

	g.mask = ~0u;
	return part_hash(&g, p) | 1;
}

static uint16_t *key_count(struct building *b, uint32_t key)
{
	uint32_t i;

	if (2 * b->used >= b->size) {
		uint32_t *keys = b->keys, size = b->size;
		uint16_t *counts = b->counts;

		b->size = size ? size * 2 : 64;
		b->keys = must(calloc(b->size, sizeof(*b->keys)));
		b->counts = must(calloc(b->size, sizeof(*b->counts)));
		b->used = 0;
		for (uint32_t n = 0; n < size; n++)
			if (keys[n])
				*key_count(b, keys[n]) = counts[n];
		free(keys);
		free(counts);
	}
	for (i = key * 0x9e3779b1u & (b->size - 1); b->keys[i] && b->keys[i] != key; i = (i + 1) & (b->size - 1))
		;
	b->used += !b->keys[i];
	b->keys[i] = key;
	return &b->counts[i];
}

static bool group_take(struct building *b, const struct part *p, uint32_t index)
{
	uint16_t *count = key_count(b, part_key(&b->group.masks, p));

	if (*count == MAX_SAME_KEY)
		return false;
	++*count;
	if (b->group.n_parts == b->capacity) {
		b->capacity = b->capacity ? b->capacity * 2 : 64;
		b->group.parts = must(realloc(b->group.parts, b->capacity * sizeof(*b->group.parts)));
	}
	b->group.parts[b->group.n_parts++] = index;
	return true;
}

/* The group that takes a part, or -1. */
static int place_part(struct building **groups, int *n, const struct part *p, uint32_t index)
{
	for (int exact = 0; exact < 2; exact++) {
		struct filter_group shape = shape_of(p, exact);
		int g = group_find(groups, n, &shape);

		if (group_take(&(*groups)[g], p, index))
			return g;
	}
	return -1;
}

/* All parts of one rule, from `first` on, or none of them. */
static bool place_parts(struct units *u, struct building **groups, int *n, uint32_t first)
{
	int at[2 * MAX_PARTS], g = 0;
	uint32_t i;

	for (i = first; i < u->n_parts; i++) {
		g = place_part(groups, n, &u->part[i], i);
		if (g < 0)
			break;
		at[i - first] = g;
	}
	if (i == u->n_parts)
		return true;
	while (i-- > first) {
		struct building *b = &(*groups)[at[i - first]];

		b->group.n_parts--;
		--*key_count(b, part_key(&b->group.masks, &u->part[i]));
	}
	u->n_parts = first;
	return false;
}

/* ---- units */

static int by_position(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;

	return x->position < y->position ? -1 : x->position > y->position;
}

static void single(struct units *u, uint32_t row)
{
	u->unit[u->n_units++] = (struct unit){ .position = row, .row = row, .group = -1 };
}

static void finish(struct units *u, struct building *groups, int n)
{
	u->group = must(calloc(n + 1, sizeof(*u->group)));
	u->unit = must(realloc(u->unit, (u->n_units + n + 1) * sizeof(*u->unit)));
	for (int g = 0; g < n; g++) {
		struct building *b = &groups[g];

		free(b->keys);
		free(b->counts);
		if (!b->group.n_parts) {
			free(b->group.parts);
			continue;
		}
		u->group[u->n_groups] = b->group;
		u->unit[u->n_units++] = (struct unit){ .position = u->part[b->group.parts[0]].row, .group = u->n_groups++ };
	}
	free(groups);
	qsort(u->unit, u->n_units, sizeof(*u->unit), by_position);
	for (uint32_t i = 0; i < u->n_units; i++) {
		const struct unit *unit = &u->unit[i];

		if (unit->group < 0)
			u->unit_of[unit->row] = i;
		else
			for (uint32_t p = 0; p < u->group[unit->group].n_parts; p++)
				u->part[u->group[unit->group].parts[p]].unit = i;
	}
}

int units_make(struct units *u, const struct rows *rows, bool grouped)
{
	struct building *groups = NULL;
	int n = 0;

	memset(u, 0, sizeof(*u));
	u->unit = must(calloc(rows->n + 1, sizeof(*u->unit)));
	u->unit_of = must(malloc((rows->n + 1) * sizeof(*u->unit_of)));
	memset(u->unit_of, 0xff, (rows->n + 1) * sizeof(*u->unit_of));
	for (int r = 0; r < rows->n; r++) {
		uint32_t first = u->n_parts;

		if (!grouped || !row_parts(u, &rows->v[r], r) || !place_parts(u, &groups, &n, first))
			single(u, r);
	}
	finish(u, groups, n);
	if (u->n_units <= FILTER_MAX_UNITS)
		return 0;
	return fail(EXIT_FAILED, "%u rules cannot share hash tables (they look at more than addresses, ports and protocol, or are much alike), the limit is "
		    "%d: use sets in place of single rules", u->n_units, FILTER_MAX_UNITS);
}

void units_free(struct units *u)
{
	for (uint32_t i = 0; i < u->n_groups; i++)
		free(u->group[i].parts);
	free(u->group);
	free(u->unit);
	free(u->part);
	free(u->unit_of);
	memset(u, 0, sizeof(*u));
}
