/* SPDX-License-Identifier: GPL-2.0-only */
/* build_note: the grammar's actions for what is said of single elements (timeout, expires, counter, comment), and for rules that add elements. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"

enum { TIME_MOST_DAYS = 365 };

static const struct { const char *name; uint64_t ms; } units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "ms", 1 }, { "m", 60000 }, { "s", 1000 },
};

/* 1d2h3m4s5ms, or seconds. */
int build_time(struct parse *p, struct slice time, struct loc at, uint64_t *ms)
{
	uint64_t all = 0, n;
	int i = 0;

	while (i < time.n && all <= TIME_MOST_DAYS * units[0].ms) {
		int from = i;
		size_t u = 0;

		for (n = 0; i < time.n && time.s[i] >= '0' && time.s[i] <= '9' && n < 1ull << 40; i++)
			n = n * 10 + time.s[i] - '0';
		if (i == from)
			break;
		if (!from && i == time.n) {
			all = n * 1000;
			break;
		}
		while (u < sizeof(units) / sizeof(*units) && strncmp(time.s + i, units[u].name, strlen(units[u].name)))
			u++;
		if (u == sizeof(units) / sizeof(*units) || i + (int)strlen(units[u].name) > time.n)
			break;
		i += strlen(units[u].name);
		all += n * units[u].ms;
	}
	if (i < time.n || !time.n)
		return refuse(p, at, "\"%s\" is not a duration, expected 30s, 5m, 1h30m, 2d …", SHOW(time));
	if (!all || all > TIME_MOST_DAYS * units[0].ms)
		return refuse(p, at, "a duration is at least 1ms and at most %dd", TIME_MOST_DAYS);
	*ms = all;
	return 0;
}

void set_note(struct set *s)
{
	for (int i = 0; i < s->elements.n; i++) {
		s->tuples.v = array_room(s->tuples.v, s->tuples.n, sizeof(*s->tuples.v));
		s->tuples.v[s->tuples.n++] = (struct value_tuple){ .part[0] = s->elements.v[i] };
	}
	spans_free(&s->elements);
	s->noted = true;
}

/* The element at hand is the last one that was taken; from now on the set's have notes. */
static int take_note(struct parse *p, struct loc at)
{
	struct set *s = p->set;

	if (s)
		s->noted = true;
	if (p->tuples_to)
		return 0;
	if (!s || p->verdicts)
		return refuse(p, at, "the set holds values alone: times, counters and comments go with a set of flags timeout or counter");
	set_note(s);
	p->tuple = s->tuples.v[--s->tuples.n];
	p->n_parts = 1;
	p->tuples_to = &s->tuples;
	return 0;
}

int build_note_time(struct parse *p, struct slice time, bool left, struct loc at)
{
	if (take_note(p, at))
		return -1;
	if (p->set)
		p->set->timed = true;
	return build_time(p, time, at, left ? &p->tuple.expires_ms : &p->tuple.timeout_ms);
}

int build_note_counter(struct parse *p, struct slice packets, struct slice bytes, struct loc at)
{
	if (take_note(p, at) || build_number(p, packets, at) || build_number(p, bytes, at))
		return -1;
	if (p->set)
		p->set->counter = true;
	p->tuple.packets = strtoull(packets.s, NULL, 10);
	p->tuple.bytes = strtoull(bytes.s, NULL, 10);
	return 0;
}

int build_note_comment(struct parse *p, struct slice text, struct loc at)
{
	if (take_note(p, at) || build_check_text(p, "comment", text, at))
		return -1;
	if (p->tuple.comment)
		return refuse(p, at, "the element has a comment already");
	p->tuple.comment = must(strndup(text.s, text.n));
	return 0;
}

/* ---- rules that add elements */

int build_update(struct parse *p, enum update_how how, struct slice set, struct loc at)
{
	struct update *u = &p->rule.update;
	struct trouble why;

	if (u->set)
		return refuse(p, at, "the rule adds to a set already");
	if (name_check(set, "set", &why))
		return refuse_trouble(p, at, &why);
	u->how = how;
	u->set = must(strndup(set.s, set.n));
	u->at = place_of(p, at);
	return 0;
}

int build_update_time(struct parse *p, struct slice time, struct loc at)
{
	return build_time(p, time, at, &p->rule.update.timeout_ms);
}

int build_update_end(struct parse *p)
{
	struct update *u = &p->rule.update;

	memcpy(u->keys, p->match.keys, sizeof(u->keys));
	u->n_keys = p->match.n_keys;
	match_free(&p->match);
	return 0;
}
