/* SPDX-License-Identifier: GPL-2.0-only */
/* build_set: the grammar's actions for sets and verdict maps. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"
#include "settable.h"

int build_set(struct parse *p, struct slice name, struct loc at)
{
	struct config *c = p->config;

	if (build_named(p, name, "set", at))
		return -1;
	c->sets = array_room(c->sets, c->n_sets, sizeof(*c->sets));
	p->set = &c->sets[c->n_sets++];
	*p->set = (struct set){ .name = must(strndup(name.s, name.n)), .at = place_of(p, at) };
	p->has_type = p->has_verdict = false;
	p->interval_at.line = 0;
	return 0;
}

static const char *what_is(const struct set *s)
{
	return s->map ? "map" : "set";
}

static int take_type(struct parse *p, struct slice type, struct loc at)
{
	struct set *s = p->set;

	if (s->n_types == KEYS_MOST)
		return refuse(p, at, "a concatenation has at most %d parts", KEYS_MOST);
	for (int i = 0; i < TYPE_COUNT; i++) {
		if (!config_type_text[i] || !slice_is(type, config_type_text[i]))
			continue;
		s->types[s->n_types++] = i;
		s->type = s->types[0];
		p->has_type = true;
		return 0;
	}
	if (slice_is(type, "filter") || slice_is(type, "nat") || slice_is(type, "route"))
		return refuse(p, at, "type %s is not supported: a chain is bound by its name", SHOW(type));
	return refuse(p, at, "unknown type \"%s\", expected ipv4_addr, ipv6_addr, inet_service, inet_proto, icmp_type, icmpv6_type, "
		      "ether_addr, ether_type, ifname, vlan_id, tcp_flag, dscp, ecn or mark", SHOW(type));
}

int build_set_type(struct parse *p, struct slice type, struct loc at)
{
	if (p->has_type)
		return refuse(p, at, "%s %s has a type already", what_is(p->set), p->set->name);
	return take_type(p, type, at);
}

int build_set_more(struct parse *p, struct slice type, struct loc at)
{
	return take_type(p, type, at);
}

int build_map_type(struct parse *p, struct slice what, struct loc at)
{
	if (!p->set->map)
		return refuse(p, at, "a set has no values: write map %s", p->set->name);
	if (!slice_is(what, "verdict"))
		return refuse(p, at, "a map leads to \"%s\", expected verdict", SHOW(what));
	p->has_verdict = true;
	return 0;
}

int build_set_flag(struct parse *p, struct slice flag, struct loc at)
{
	struct set *s = p->set;

	if (slice_is(flag, "interval"))
		s->interval = true;
	else if (slice_is(flag, "constant"))
		s->constant = true;
	else if (slice_is(flag, "dynamic"))
		s->dynamic = s->noted = true;
	else if (slice_is(flag, "timeout"))
		s->timed = s->noted = true;
	else
		return refuse(p, at, "unknown flag \"%s\", expected interval, dynamic, timeout or constant", SHOW(flag));
	return 0;
}

int build_set_timeout(struct parse *p, struct slice time, struct loc at)
{
	p->set->timed = p->set->noted = true;
	return build_time(p, time, at, &p->set->timeout_ms);
}

int build_set_size(struct parse *p, struct slice number, struct loc at)
{
	struct trouble why;
	unsigned long v;

	if (number_parse(number, "size", SET_SIZE_MOST, &v, &why))
		return refuse_trouble(p, at, &why);
	if (!v)
		return refuse(p, at, "a set of size 0 holds nothing");
	p->set->size = v;
	return 0;
}

int build_set_counter(struct parse *p)
{
	p->set->counter = p->set->noted = true;
	return 0;
}

int build_set_comment(struct parse *p, struct slice text, struct loc at)
{
	if (p->set->comment)
		return refuse(p, at, "set %s has a comment already", p->set->name);
	if (build_check_text(p, "comment", text, at))
		return -1;
	p->set->comment = must(strndup(text.s, text.n));
	return 0;
}

int build_elements(struct parse *p, struct loc at)
{
	struct set *s = p->set;

	if (!p->has_type)
		return refuse(p, at, "the %s's type must stand before its elements: write type ipv4_addr%s", what_is(s), s->map ? " : verdict" : "");
	p->has_verdict = false;
	p->tuples_to = set_is_tupled(s) ? &s->tuples : NULL;
	p->values_to = &s->elements;
	p->verdicts = s->map;
	memcpy(p->types, s->types, sizeof(p->types));
	p->n_types = s->n_types;
	p->n_parts = 0;
	p->type = s->type;
	p->notes = !s->map;
	return 0;
}

static int check_flags(struct parse *p, struct loc at)
{
	struct set *s = p->set;

	if (s->map && s->noted)
		return refuse(p, at, "map %s: verdicts do not change by themselves: no flags dynamic or timeout, no counter", s->name);
	if (s->dynamic && s->interval)
		return refuse(p, at, "set %s: what rules add are single values: flags dynamic goes without interval", s->name);
	if (s->constant && (s->dynamic || s->timed))
		return refuse(p, at, "set %s: flags constant says that nothing changes", s->name);
	if (s->noted && s->interval && (s->n_types > 1 || !value_is_address(s->type)))
		return refuse(p, at, "set %s: with times, counters or comments only sets of addresses may have flags interval", s->name);
	if (s->noted && set_layout(s->types, s->n_types, (struct set_part_of_key[KEYS_MOST]){}))
		return refuse(p, at, "set %s: the parts have more than %d bits together", s->name, SET_KEY_WORDS * 64);
	return 0;
}

int build_set_end(struct parse *p, struct loc at)
{
	if (!p->has_type)
		return refuse(p, at, "%s %s has no type: write type ipv4_addr%s", what_is(p->set), p->set->name, p->set->map ? " : verdict" : "");
	if (p->interval_at.line && !p->set->interval)
		return refuse(p, p->interval_at, "a range or prefix in a set without flags interval: write flags interval");
	if (check_flags(p, at))
		return -1;
	if (p->set->noted)
		set_note(p->set);
	spans_normalise(&p->set->elements);
	tuples_normalise(&p->set->tuples, p->set->n_types);
	if (p->set->map && build_check_verdicts(p, &p->set->tuples, p->set->n_types))
		return -1;
	p->set = NULL;
	p->notes = false;
	return 0;
}
