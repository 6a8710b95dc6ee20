/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_lint: what lint says against every packet of a small universe, in which each address, port and protocol that the rules tell apart occurs, and
 * one of those they do not. What it calls dead no packet may meet; what one rule covers it must find. WEIR_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../ctl/lint.h"	/* before cmocka.h, whose macro fail() hides ours */
#include "random.h"
#include <cmocka.h>

enum { RUNS = 3000, VALUES = 6, MOST = 16, USERS = 3 };

struct packet {
	int family, proto;	/* 0: not IP */
	uint32_t saddr, dport;
	bool ports;
	uint32_t mark;
};

enum { MARKS = 4 };		/* 0 to 3, whatever rules make of them */

static struct packet packets[4096];
static int n_packets;

static void make_universe(void)
{
	for (int family = 0; family <= 6; family += family ? 2 : 4)
		for (int proto = 0; proto < (family ? 3 : 1); proto++)
			for (uint32_t a = 0; a <= VALUES; a++)
				for (uint32_t p = 0; p <= VALUES + 1; p++)
					packets[n_packets++] = (struct packet){ family, (int[]){ 47, 6, 17 }[proto], 0x0a000000 + a + (a == VALUES) * 77,
										p + (p == VALUES) * 77, family && proto && p <= VALUES, 0 };
}

/* ---- the naive reading */

static bool match_holds(const struct match *m, const struct packet *p)
{
	u128 v;

	if (m->key == KEY_IP_SADDR) {
		if (p->family != 4)
			return false;
		v = p->saddr;
	} else if (m->key == KEY_META_MARK) {
		v = p->mark;
	} else if (m->key == KEY_META_NFPROTO) {
		if (!p->family)
			return false;
		v = p->family;
	} else {
		if (!p->ports || p->proto != (m->key == KEY_TCP_DPORT ? 6 : 17))
			return false;
		v = p->dport;
	}
	return spans_have(&m->spans, v) != m->negate;
}

static bool concatenation_holds(const struct match *m, const struct packet *p)
{
	bool in = false;

	if (p->family != 4 || !p->ports || p->proto != 6)
		return false;
	for (int i = 0; i < m->tuples.n; i++)
		in |= p->saddr >= m->tuples.v[i].part[0].lo && p->saddr <= m->tuples.v[i].part[0].hi && p->dport >= m->tuples.v[i].part[1].lo &&
		      p->dport <= m->tuples.v[i].part[1].hi;
	return in != m->negate;
}

static bool rule_holds(const struct rule *r, const struct packet *p)
{
	for (int i = 0; i < r->n_matches; i++)
		if (!(r->matches[i].n_keys > 1 ? concatenation_holds : match_holds)(&r->matches[i], p))
			return false;
	return true;
}

enum { DECIDED, FELL_OUT, RETURNED };

/* Marks in `met` each rule that the packet comes to and matches. */
static int walk(const struct config *c, int chain, struct packet *p, bool met[][MOST])
{
	const struct chain *k = config_chain(c, chain);

	for (int i = 0; i < k->n_rules; i++) {
		const struct rule *r = &k->rules[i];
		int end = FELL_OUT;

		if (!rule_holds(r, p))
			continue;
		met[chain][i] = true;
		if (r->mark.set)
			p->mark = mark_apply(&r->mark, p->mark);
		if (r->verdict == RULE_ACCEPT || r->verdict == RULE_DROP || r->verdict == RULE_REJECT)
			return DECIDED;
		if (r->verdict == RULE_RETURN)
			return RETURNED;
		if (r->target)
			end = walk(c, config_find_chain(c, r->target), p, met);
		if (end == DECIDED)
			return DECIDED;
		if (r->verdict == RULE_GOTO)
			return RETURNED;
	}
	return FELL_OUT;
}

/* ---- random rules */

static int add(char *text, const char *fmt, uint32_t a, uint32_t b)
{
	return sprintf(text, fmt, a < b ? a : b, a < b ? b : a);
}

static void random_rule(char *text, int chain, bool flat)
{
	static const char *const verdicts[] = { "accept", "drop", "reject", "counter", "counter", "return", "jump u%d", "goto u%d" };
	static const char *const marks[] = { "meta mark set 1 ", "meta mark set 2 ", "meta mark set mark xor 3 ", "meta mark set mark or 2 " };
	const char *verdict = verdicts[below(flat ? 4 : chain == USERS - 1 ? 6 : 8)];

	if (below(2))
		text += sprintf(text, "ip saddr%s ", below(5) ? "" : " !="), text += add(text, "10.0.0.%u-10.0.0.%u ", below(VALUES), below(VALUES));
	if (below(2))
		text += sprintf(text, "%s dport%s ", below(2) ? "tcp" : "udp", below(5) ? "" : " !="), text += add(text, "%u-%u ", below(VALUES), below(VALUES));
	if (!below(6))
		text += sprintf(text, "meta nfproto %s ", below(2) ? "ipv4" : "ipv6");
	if (!flat && !below(3))
		text += sprintf(text, "meta mark %u ", below(MARKS));
	if (!flat && !below(4)) {
		text += sprintf(text, "ip saddr . tcp dport %s{ ", below(3) ? "" : "!= ");
		for (int i = below(3); i >= 0; i--) {
			text += add(text, "10.0.0.%u-10.0.0.%u . ", below(VALUES), below(VALUES));
			text += add(text, i ? "%u-%u, " : "%u-%u } ", below(VALUES), below(VALUES));
		}
	}
	if (!flat && !below(4))
		text += sprintf(text, "%s", marks[below(4)]);
	sprintf(text, verdict, chain + 1 + (int)below(USERS - 1 - chain ? USERS - 1 - chain : 1));
}

static void random_config(struct config *c, bool flat)
{
	int n = 1 + below(flat ? 10 : 8);
	char text[512];

	assert_int_equal(config_parse(c, "random", "chain ingress { }\nchain u0 { }\nchain u1 { }\nchain u2 { }\n"), 0);
	for (int chain = -1; chain < (flat ? 0 : USERS); chain++) {
		for (int i = 0; i < n; i++) {
			random_rule(text, chain, flat);
			if (config_add_rule(c, chain < 0 ? CHAIN_INGRESS : CHAIN_COUNT + chain, -1, text))
				fail_clear();
		}
	}
}

/* ---- tests */

static void fail_with(const struct config *c, struct lint_place at, const char *why)
{
	config_print(stderr, c);
	fail_msg("chain %d rule %d: %s", at.chain, at.rule + 1, why);
}

static void calls_dead_what_no_packet_meets(void **unused)
{
	int found = 0;

	(void)unused;
	for (int run = 0; run < RUNS; run++) {
		bool met[CHAIN_COUNT + USERS][MOST] = { { false } };
		struct lint_findings f;
		struct config c;

		random_config(&c, run % 2);
		for (int i = 0; i < n_packets * (run % 2 ? 1 : MARKS); i++) {
			struct packet p = packets[i % n_packets];

			p.mark = i / n_packets;
			walk(&c, CHAIN_INGRESS, &p, met);
		}
		assert_int_equal(lint(&f, &c), 0);
		for (int i = 0; i < f.n; i++) {
			for (int r = 0; f.v[i].at.rule < 0 && r < MOST; r++)
				if (met[f.v[i].at.chain][r])
					fail_with(&c, (struct lint_place){ f.v[i].at.chain, r }, "unreached, but met");
			if (f.v[i].at.rule >= 0 && met[f.v[i].at.chain][f.v[i].at.rule])
				fail_with(&c, f.v[i].at, "dead, but met");
		}
		found += f.n;
		free(f.v);
		config_free(&c);
	}
	print_message("%d findings\n", found);
	assert_true(found > RUNS);
}

/* The rule that takes every packet the other one holds for; -1: none. */
static int single_coverer(const struct chain *k, int i)
{
	for (int j = 0; j < i; j++) {
		bool all = k->rules[j].verdict != RULE_CONTINUE;

		for (int p = 0; p < n_packets && all; p++)
			all = !rule_holds(&k->rules[i], &packets[p]) || rule_holds(&k->rules[j], &packets[p]);
		if (all)
			return j;
	}
	return -1;
}

static bool contradicts(const struct rule *r)
{
	for (int p = 0; p < n_packets; p++)
		if (rule_holds(r, &packets[p]))
			return false;
	return true;
}

static void finds_what_one_rule_covers(void **unused)
{
	int covered = 0;

	(void)unused;
	for (int run = 0; run < RUNS; run++) {
		struct lint_findings f;
		struct config c;
		int at = 0;

		random_config(&c, true);
		assert_int_equal(lint(&f, &c), 0);
		for (int i = 0; i < c.chains[CHAIN_INGRESS].n_rules; i++) {
			bool never = contradicts(&c.chains[CHAIN_INGRESS].rules[i]);
			int by = never ? -1 : single_coverer(&c.chains[CHAIN_INGRESS], i);
			const struct lint_finding *v = at < f.n && f.v[at].at.chain == CHAIN_INGRESS && f.v[at].at.rule == i ? &f.v[at++] : NULL;

			if (!v != !(never || by >= 0))
				fail_with(&c, (struct lint_place){ CHAIN_INGRESS, i }, v ? "found, but alive" : "dead, but not found");
			if (v && (v->kind != (never ? LINT_CONTRADICTS : LINT_COVERED) || (!never && v->by.rule != by)))
				fail_with(&c, v->at, "another reason");
			covered += by >= 0;
		}
		free(f.v);
		config_free(&c);
	}
	print_message("%d covered\n", covered);
	assert_true(covered > RUNS / 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_dead_what_no_packet_meets),
		cmocka_unit_test(finds_what_one_rule_covers),
	};
	random_begin();
	make_universe();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
