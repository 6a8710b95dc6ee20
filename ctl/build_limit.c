/* SPDX-License-Identifier: GPL-2.0-only */
/* build_limit: the grammar's actions for limit statements, "rate over 10 mbytes/second burst 5 mbytes per ip saddr/24 . tcp dport". */
#include <stdlib.h>
#include <string.h>
#include "../maps/limit.h"
#include "parse.h"

enum { BURST_PACKETS = 5 };	/* as nft has it; bytes have none */

const struct limit_period limit_periods[] = {
	{ "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { "day", 86400 }, { "week", 604800 }, { 0 }
};

uint32_t limit_key_of(enum config_key key)
{
	switch (key) {
	case KEY_IP_SADDR: case KEY_IP6_SADDR: return LIMIT_SADDR;
	case KEY_IP_DADDR: case KEY_IP6_DADDR: return LIMIT_DADDR;
	case KEY_TCP_SPORT: case KEY_UDP_SPORT: case KEY_SCTP_SPORT: case KEY_TH_SPORT: return LIMIT_SPORT;
	case KEY_TCP_DPORT: case KEY_UDP_DPORT: case KEY_SCTP_DPORT: case KEY_TH_DPORT: return LIMIT_DPORT;
	case KEY_META_L4PROTO: return LIMIT_PROTO;
	default: return 0;
	}
}

static int parse_amount(struct parse *p, struct slice amount, struct loc at, uint64_t factor, uint64_t *out)
{
	struct trouble why;
	unsigned long v;

	if (number_parse(amount, "number", UINT32_MAX, &v, &why))
		return refuse_trouble(p, at, &why);
	if (!v)
		return refuse(p, at, "a rate and a burst are at least 1");
	*out = v * factor;
	return 0;
}

/* 0: packets; else the bytes of the unit. */
static int parse_unit(struct parse *p, struct slice unit, struct loc at, uint64_t *factor)
{
	static const struct { const char *name; uint64_t bytes; } units[] = {
		{ "packets", 0 }, { "bytes", 1 }, { "kbytes", 1 << 10 }, { "mbytes", 1 << 20 },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (slice_is(unit, units[i].name)) {
			*factor = units[i].bytes;
			return 0;
		}
	return refuse(p, at, "unknown unit \"%s\", expected packets, bytes, kbytes or mbytes", SHOW(unit));
}

int build_limit(struct parse *p, struct slice amount, struct slice unit, struct slice per, struct loc at, struct loc unit_at, struct loc per_at)
{
	struct limit *l = &p->rule.limit;
	uint64_t factor = 0;

	if (l->rate)
		return refuse(p, at, "the rule has a limit already");
	if (p->rule.mark.set)
		return refuse(p, at, "a limit stands before meta mark set, not behind it");
	l->at = place_of(p, at);
	if (unit.n && parse_unit(p, unit, unit_at, &factor))
		return -1;
	l->bytes = factor;
	for (const struct limit_period *t = limit_periods; t->name; t++)
		if (slice_is(per, t->name))
			l->per = t->seconds;
	if (!l->per)
		return refuse(p, per_at, "unknown time \"%s\", expected second, minute, hour, day or week", SHOW(per));
	return parse_amount(p, amount, at, factor ? factor : 1, &l->rate);
}

int build_burst(struct parse *p, struct slice amount, struct slice unit, struct loc at, struct loc unit_at)
{
	struct limit *l = &p->rule.limit;
	uint64_t factor;

	if (parse_unit(p, unit, unit_at, &factor))
		return -1;
	if (!factor == l->bytes)
		return refuse(p, unit_at, "a limit of %s has a burst of %s", l->bytes ? "bytes" : "packets", l->bytes ? "bytes" : "packets");
	return parse_amount(p, amount, at, factor ? factor : 1, &l->burst);
}

int build_per(struct parse *p, struct slice head, struct slice field, struct loc at)
{
	struct limit *l = &p->rule.limit;
	char text[96];

	snprintf(text, sizeof(text), "%.*s %.*s", head.n > 40 ? 40 : head.n, head.s, field.n > 40 ? 40 : field.n, field.s);
	for (int i = 0; i < KEY_COUNT; i++) {
		if (strcmp(text, config_key_text[i]) || !limit_key_of(i))
			continue;
		for (int n = 0; n < l->n_keys; n++)
			if (limit_key_of(l->keys[n]) == limit_key_of(i))
				return refuse(p, at, "%s stands twice", text);
		if (l->n_keys == KEYS_MOST)
			return refuse(p, at, "a limit is per %d fields at most", KEYS_MOST);
		l->keys[l->n_keys] = i;
		l->length[l->n_keys++] = config_type_bits[config_key_type[i]];
		return 0;
	}
	return refuse(p, at, "no limit per %s: expected an address (ip saddr, ip6 daddr/64 …), a port (tcp dport …) or meta l4proto", text);
}

int build_per_length(struct parse *p, struct slice length, struct loc at)
{
	struct limit *l = &p->rule.limit;
	enum config_type type = config_key_type[l->keys[l->n_keys - 1]];
	struct trouble why;
	unsigned long v;

	if (type != TYPE_IPV4_ADDR && type != TYPE_IPV6_ADDR)
		return refuse(p, at, "only addresses have prefixes");
	if (number_parse(length, "prefix length", config_type_bits[type], &v, &why))
		return refuse_trouble(p, at, &why);
	if (!v)
		return refuse(p, at, "a prefix of length 0 is everyone: leave it out");
	l->length[l->n_keys - 1] = v;
	return 0;
}

int build_limit_end(struct parse *p)
{
	struct limit *l = &p->rule.limit;

	if (!l->burst)
		l->burst = l->bytes ? 0 : BURST_PACKETS;
	return 0;
}
