/* SPDX-License-Identifier: GPL-2.0-only */
/* stats: the totals of each hook, by verdict and reason. */
#include "../lib/err.h"
#include "../lib/out.h"
#include "../maps/mark.h"
#include "../maps/reject.h"
#include "../maps/total.h"
#include "counts.h"
#include "footprint.h"
#include "interfaces.h"
#include "verb.h"

#define NAME(sym, name, text) name,
static const char *const drop_names[REASON_DROP_END] = { "none", PARSE_REASONS(NAME) DROP_REASONS(NAME) };
static const char *const pass_names[PASS_COUNT] = { PASS_REASONS(NAME) };
#undef NAME
#define TEXT(sym, name, text) text,
static const char *const drop_texts[REASON_DROP_END] = { "", PARSE_REASONS(TEXT) DROP_REASONS(TEXT) };
static const char *const pass_texts[PASS_COUNT] = { PASS_REASONS(TEXT) };
#undef TEXT

static const char *const hooks[HOOK_COUNT] = { "xdp", "tc-ingress", "tc-egress" };
static const char *const verdicts[] = { "pass", "tx", "redirect" };

static void emit(const char *interface, int hook, int row, const struct total *t)
{
	bool drop = row < TOTAL_PASS;
	int pass = row - TOTAL_PASS;

	out_row();
	out_text("interface", interface);
	out_text("direction", hook == HOOK_TC_EGRESS ? "egress" : "ingress");
	out_text("hook", hooks[hook]);
	out_text("verdict", drop ? "drop" : verdicts[pass / PASS_COUNT]);
	out_text("reason", drop ? drop_names[row] : pass_names[pass % PASS_COUNT]);
	out_number("packets", t->packets);
	out_number("bytes", t->bytes);
	out_hidden(true);
	out_number("ip_bytes", t->ip_bytes);
	out_hidden(false);
}

/* Sources whose bucket was given away because the table of limits was full. */
static int emit_limits(void)
{
	struct counts counts;
	uint64_t forgotten = 0;
	int err = counts_open(&counts, "limit_lost", sizeof(forgotten));

	if (err)
		return err;
	counts_read(&counts, 0, &forgotten);
	counts_close(&counts);
	if (out_is_json()) {
		out_object("limits");
		out_number("forgotten", forgotten);
		out_object_end();
	} else if (forgotten) {
		note("limits forgot %llu sources: more at once than the table holds", (unsigned long long)forgotten);
	}
	return 0;
}

/* What became of the answers to rejected packets. */
static int emit_rejects(void)
{
	struct reject_counts n = {};
	struct counts counts;
	int err = counts_open(&counts, "reject_counts", sizeof(n));

	if (err)
		return err;
	counts_read(&counts, 0, &n);
	counts_close(&counts);
	if (out_is_json()) {
		out_object("rejects");
		out_number("tcp_resets", n.resets);
		out_number("icmp_errors", n.errors);
		out_number("suppressed", n.suppressed);
		out_number("unanswered", n.unanswered);
		out_object_end();
	} else if (n.suppressed) {
		note("%llu rejected packets got no ICMP error: more than %d a second", (unsigned long long)n.suppressed, REJECT_RATE);
	}
	return 0;
}

/* Marks that XDP could not hand on. */
static int emit_marks(void)
{
	struct counts counts;
	uint64_t lost = 0;
	int err = counts_open(&counts, "mark_lost", sizeof(lost));

	if (err)
		return err;
	counts_read(&counts, 0, &lost);
	counts_close(&counts);
	if (out_is_json()) {
		out_object("marks");
		out_number("lost", lost);
		out_object_end();
	} else if (lost) {
		note("%llu packets lost the mark that a rule gave them at XDP: the host sees it where tc-ingress is attached too and the driver has XDP metadata",
		     (unsigned long long)lost);
	}
	return 0;
}

static int stats(int argc, char **argv)
{
	const struct interface_slot *slots = interfaces_read();
	struct counts counts;
	struct total t;
	int err;

	(void)argv;
	if (argc)
		return fail(EXIT_USAGE, "takes no words");
	err = slots ? counts_open(&counts, "totals", sizeof(t)) : EXIT_NOTHING;
	if (err)
		return err;
	out_list("totals");
	for (int s = 1; s < MAX_INTERFACES; s++) {
		if (!slots[s].name[0])
			continue;
		for (int h = 0; h < HOOK_COUNT; h++)
			for (int r = 0; r < TOTAL_ROWS; r++)
				if (!counts_read(&counts, total_index(s, h, r), &t) && t.packets)
					emit(slots[s].name, h, r, &t);
	}
	out_list_end();
	counts_close(&counts);
	err = emit_limits();
	if (!err)
		err = emit_rejects();
	return err ? err : emit_marks();
}

static void explain(const char *verdict, const char *name, const char *text)
{
	out_row();
	out_text("verdict", verdict);
	out_text("reason", name);
	out_text("meaning", text);
}

static int reasons(int argc, char **argv)
{
	(void)argv;
	if (argc)
		return fail(EXIT_USAGE, "takes no words");
	out_list("reasons");
	for (int i = 1; i < REASON_DROP_END; i++)
		explain("drop", drop_names[i], drop_texts[i]);
	for (int i = 0; i < PASS_COUNT; i++)
		explain("pass", pass_names[i], pass_texts[i]);
	out_list_end();
	return 0;
}

static const struct verb verbs[] = {
	{ "stats", "", "what happened to every packet, by interface, hook, verdict and reason", stats, NULL },
	{ "memory", "", "what the tables of chains and sets take", footprint_verb, NULL },
	{ "reasons", "", "what the reasons of stats mean", reasons, NULL },
	{}
};

const struct object stats_object = { 0, "totals: the truth that flows are checked against", verbs };
