/* SPDX-License-Identifier: GPL-2.0-only */
/* judge: see judge.h. */
#include <stdio.h>
#include <string.h>
#include "../maps/datapath.h"
#include "generation.h"
#include "judge.h"

enum { TRIES = 5 };		/* while generations change under us */
enum { DECISION = RULE_ID_MASK | RULE_DROP_BIT | RULE_AUDIT_BIT | RULE_REJECT_MOST << RULE_REJECT_SHIFT };

#define NAME(sym, name, text) name,
const char *const reason_name[] = { "none", PARSE_REASONS(NAME) DROP_REASONS(NAME) };
#undef NAME

/* What the program alone knows: its answers are taken. */
#define FIELDS_OF_THE_MOMENT (FIELD_BIT(FIELD_RANDOM) | FIELD_BIT(FIELD_CT_STATE))

static void take_moment(struct field_values *v, const struct filter_key *k)
{
	for (int f = 0; f < FIELD_COUNT; f++) {
		if (!(FIELDS_OF_THE_MOMENT & k->present & FIELD_BIT(f)))
			continue;
		v->hi[f] = k->hi[f];
		v->lo[f] = k->lo[f];
		v->present |= FIELD_BIT(f);
	}
}

static void ask_model(struct judge *j, const void *frame, unsigned int n, struct judgement *out)
{
	fields_read(&out->seen, &j->config, frame, n, &(struct beside_frame){ j->interface });
	if (out->seen.malformed)
		return;
	if (j->probe && j->probed->classified)
		take_moment(&out->seen.values, &j->probed->key);
	if (j->generation || !j->probe)
		explain(&out->explained, &j->config, j->chain, &out->seen.values);
}

static enum reason reason_of(uint32_t entry)
{
	return (entry & RULE_ID_MASK) < RULE_FIRST ? DROP_POLICY : entry >> RULE_REJECT_SHIFT & RULE_REJECT_MOST ? DROP_REJECT : DROP_RULE;
}

static void by_model(struct judgement *out)
{
	uint32_t entry = out->explained.entry;

	out->verdict = out->seen.malformed || entry & RULE_DROP_BIT ? DROP : PASS;
	if (out->verdict == DROP)
		out->reason = out->seen.malformed ? out->seen.malformed : reason_of(entry);
}

static const char *entry_text(uint32_t entry, char *to, size_t size)
{
	snprintf(to, size, "%s%u %s", (entry & RULE_ID_MASK) < RULE_FIRST ? "policy " : "rule ", entry & RULE_ID_MASK,
		 entry & RULE_DROP_BIT && entry >> RULE_REJECT_SHIFT & RULE_REJECT_MOST ? "reject" : entry & RULE_DROP_BIT ? "drop" : entry & RULE_AUDIT_BIT ? "audit" : "accept");
	return to;
}

static void compare(struct judgement *out, const struct probed *p)
{
	char live[64], model[64];

	out->differs[0] = 0;
	if (p->verdict == DROP && p->reason == PARSE_NONLINEAR)	/* how much of a frame a program can read is the driver's */
		return;
	if (out->seen.malformed || (!p->classified && p->verdict == DROP && p->reason < DROP_RULE)) {
		if (out->seen.malformed != (p->verdict == DROP ? p->reason : 0))
			snprintf(out->differs, sizeof(out->differs), "the program says %s, the model %s", p->verdict == DROP ? reason_name[p->reason] : "well formed",
				 out->seen.malformed ? reason_name[out->seen.malformed] : "well formed");
		return;
	}
	if ((out->live ^ out->explained.entry) & DECISION || (out->live & RULE_DROP_BIT && p->verdict != DROP))
		snprintf(out->differs, sizeof(out->differs), "the program says %s, the model %s", entry_text(out->live, live, sizeof(live)),
			 entry_text(out->explained.entry, model, sizeof(model)));
	else if (p->classified && out->live_mark != out->explained.mark)
		snprintf(out->differs, sizeof(out->differs), "the program says mark 0x%x, the model 0x%x", out->live_mark, out->explained.mark);
}

static int ask_program(struct judge *j, const void *frame, unsigned int n, struct judgement *out)
{
	int err = probe_run(j->probe, frame, n, j->probed);

	if (err)
		return err;
	out->verdict = j->probed->verdict;
	out->reason = j->probed->reason;
	out->live = j->probed->classified ? j->probed->key.found : 0;
	out->live_mark = j->probed->classified && j->probed->key.marked ? j->probed->key.lo[FIELD_MARK] : 0;	/* test runs begin without one */
	return 0;
}

/* The rules that the answer was made with may have gone meanwhile: *again. */
static int look_again(struct judge *j, bool *again)
{
	uint64_t number;
	int err = generation_number(&number);

	*again = !err && number != j->generation;
	if (!*again)
		return err;
	config_free(&j->config);
	return generation_read_whole(&j->config, &j->generation);
}

int judge(struct judge *j, const void *frame, unsigned int n, struct judgement *out)
{
	bool again = true;
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (!j->probe) {
		ask_model(j, frame, n, out);
		by_model(out);
		return 0;
	}
	for (int i = 0; i < TRIES && again && !err; i++) {
		err = ask_program(j, frame, n, out);
		if (err)
			return err;
		/* where the outer header is taken off, rules see what was inside: the frame as the program left it */
		if (probe_interface(j->probe)->features & FEATURE_DECAP && j->probed->n < n)
			ask_model(j, j->probed->frame, j->probed->n, out);
		else
			ask_model(j, frame, n, out);
		compare(out, j->probed);
		if (!out->differs[0])
			return 0;
		err = look_again(j, &again);
	}
	return err;
}
