/* SPDX-License-Identifier: GPL-2.0-only */
/* verdict: see verdict.h. JSON always has all; people get the matches with -v. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "../loader/object.h"
#include "verdict.h"

static const char *action_name(enum verdict v)
{
	return v == DROP ? "drop" : v == TX ? "tx" : v == REDIRECT ? "redirect" : "pass";
}

static void tell_place(const struct judge *j, const struct rule_place *p, const char *id)
{
	char *text = rule_text(p->rule);

	out_number(id, p->rule->id);
	out_text("chain", config_chain_name(&j->config, p->chain));
	out_number("position", p->position);
	out_text("text", text);
	free(text);
}

static bool asked(const struct judge *j, const struct judgement *r)
{
	return !r->seen.malformed && (j->generation || !j->probe);
}

/* The policy is no rule, and neither is what came before any was asked. */
static void tell_no_rule(const struct judge *j, const struct judgement *r)
{
	bool drops = j->config.chains[j->chain].policy_drop;

	out_text("rule", NULL);
	out_text("chain", config_chain_name(&j->config, j->chain));
	out_text("position", NULL);
	out_text("text", r->seen.malformed ? NULL : !asked(j, r) ? "no configuration is in force" : drops ? "policy drop" : "policy accept");
}

static void tell_agreement(const struct judge *j, const struct judgement *r)
{
	if (!j->probe) {
		out_text("program", NULL);
		out_text("agree", NULL);
		return;
	}
	out_text("program", hook_name[probe_hook(j->probe)]);
	out_bool("agree", !r->differs[0]);
	if (r->differs[0])
		out_text("difference", r->differs);
}

static void tell_decision(const struct judge *j, const struct judgement *r)
{
	out_text("verdict", r->verdict == DROP ? "drop" : "accept");
	if (r->explained.winner.rule)
		tell_place(j, &r->explained.winner, "rule");
	else
		tell_no_rule(j, r);
	out_text("reason", r->verdict == DROP ? reason_name[r->reason] : NULL);
	out_hidden(true);
	out_text("action", action_name(r->verdict));
	out_hidden(!(r->explained.entry & RULE_AUDIT_BIT));
	out_bool("audit", r->explained.entry & RULE_AUDIT_BIT);
	out_hidden(r->explained.mark == (uint32_t)r->seen.values.lo[FIELD_MARK]);
	out_number("mark", r->explained.mark);
	out_hidden(false);
	out_text("interface", j->interface);
	tell_agreement(j, r);
	out_hidden(true);
	if (j->generation)
		out_number("generation", j->generation);
	else
		out_text("generation", NULL);
	out_number("frame_bytes", r->seen.pkt.len);
	out_hidden(false);
}

static void tell_places(const struct judge *j, const char *list, const struct rule_place *p, int n)
{
	out_list(list);
	for (int i = 0; i < n; i++) {
		out_row();
		tell_place(j, &p[i], "id");
	}
	out_list_end();
}

static void tell_match(const struct explained_match *m)
{
	out_text("match", m->text);
	out_bool("matched", m->matched);
	out_text("packet", m->values);
}

static void free_match(struct explained_match *m)
{
	free(m->text);
	free(m->values);
}

/* The packet as it came to the rule. */
static struct field_values values_at(const struct judgement *r, const struct rule_place *p)
{
	struct field_values v = r->seen.values;

	v.lo[FIELD_MARK] = p->mark;
	return v;
}

static void tell_matches(const struct judge *j, const struct judgement *r)
{
	const struct rule *rule = r->explained.winner.rule;
	struct field_values v = values_at(r, &r->explained.winner);
	struct explained_match m;

	out_list("matches");
	for (int i = 0; rule && explain_match(&m, &j->config, rule, i, &v); i++) {
		out_row();
		tell_match(&m);
		free_match(&m);
	}
	out_list_end();
}

/* The first match that did not hold. */
static void tell_lost(const struct judge *j, const struct judgement *r, const struct rule_place *p)
{
	struct field_values v = values_at(r, p);
	struct explained_match m;

	for (int i = 0; explain_match(&m, &j->config, p->rule, i, &v); i++) {
		if (!m.matched)
			tell_match(&m);
		free_match(&m);
		if (!m.matched)
			return;
	}
}

static void tell_losers(const struct judge *j, const struct judgement *r)
{
	const struct explained *e = &r->explained;

	out_list("losers");
	for (int i = 0; i < e->n_losers; i++) {
		out_row();
		tell_place(j, &e->losers[i], "id");
		tell_lost(j, r, &e->losers[i]);
	}
	out_list_end();
}

static void tell_json(const struct judge *j, const struct judgement *r)
{
	const struct explained *e = &r->explained;

	tell_places(j, "path", e->path, e->n_path);
	tell_places(j, "shadows", e->shadows, e->n_shadows);
	tell_matches(j, r);
	tell_losers(j, r);
	out_number("lost", e->lost);
}

/* ---- for people: one table, its first column says what the rule is to the packet */

static void tell_role(const struct judge *j, const char *role, const struct rule_place *p)
{
	out_row();
	out_text("is", role);
	tell_place(j, p, "id");
}

static void tell_people(const struct judge *j, const struct judgement *r)
{
	const struct explained *e = &r->explained;

	out_list("rules");
	for (int i = 0; i < e->n_path; i++)
		tell_role(j, "on the way", &e->path[i]);
	for (int i = 0; i < e->n_shadows; i++)
		tell_role(j, "shadowed", &e->shadows[i]);
	out_list_end();
	if (!verbose)
		return;
	tell_matches(j, r);
	tell_losers(j, r);
}

/* As --hex takes it. */
static void tell_frame(const unsigned char *frame, unsigned int n)
{
	char *text = must(malloc(2 * n + 1));

	for (unsigned int i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", frame[i]);
	out_hidden(true);
	out_text("frame", text);
	out_hidden(false);
	free(text);
}

void verdict_tell(const struct judge *j, const struct judgement *r, const void *frame, unsigned int n)
{
	tell_decision(j, r);
	tell_frame(frame, n);
	if (out_is_json())
		tell_json(j, r);
	else
		tell_people(j, r);
}

void verdict_lines(void)
{
	out_column("frame", 6);
	out_column("verdict", -7);
	out_column("rule", 6);
	out_column("reason", -15);
	out_column("agree", -5);
	out_column("text", -40);
	out_lines();
	out_list("frames");
}

void verdict_tell_line(const struct judge *j, const struct judgement *r, uint64_t frame)
{
	const struct explained *e = &r->explained;
	char *text = e->winner.rule ? rule_text(e->winner.rule) : NULL;

	out_row();
	out_number("frame", frame);
	if (out_is_json()) {
		tell_decision(j, r);
		tell_json(j, r);
	} else {
		out_text("verdict", r->verdict == DROP ? "drop" : "accept");
		if (e->winner.rule)
			out_number("rule", e->winner.rule->id);
		out_text("reason", r->verdict == DROP ? reason_name[r->reason] : NULL);
		if (j->probe)
			out_bool("agree", !r->differs[0]);
		out_text("text", text ? text : asked(j, r) ? "policy" : NULL);
	}
	free(text);
}
