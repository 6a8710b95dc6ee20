/* SPDX-License-Identifier: GPL-2.0-only */
/* log: show packets that rules with `log` have met, and dropped ones, as they come. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../lib/out.h"
#include "../loader/object.h"
#include "dissect.h"
#include "follow.h"
#include "generation.h"
#include "interfaces.h"
#include "judge.h"
#include "pcapng.h"
#include "verb.h"

enum { FRAME_ROOM = LOG_BYTES + 4 };

static const char *write_path;
static bool drops;
static unsigned long only_rule, duration;

static const struct opt follow_opts[] = {
	{ "write", 'w', OPT_TEXT, &write_path, "FILE", "write them to a pcapng file, rule and reason as comments (-: standard output)" },
	{ "drops", 0, OPT_FLAG, &drops, NULL, "all dropped packets too, for whatever reason" },
	{ "rule", 0, OPT_NUMBER, &only_rule, "ID", "only those of this rule" },
	{ "duration", 0, OPT_NUMBER, &duration, "N", "end after N seconds" },
	{}
};

struct show {
	struct config config;
	uint64_t generation;
	const struct interface_slot *slots;
	int64_t epoch_ns;		/* CLOCK_REALTIME - CLOCK_MONOTONIC */
	struct pcapng file;
	uint32_t number[MAX_INTERFACES];	/* in the file, + 1; 0: not described yet */
	uint64_t shown;
};

/* What a record is about, in words. */
struct told {
	const struct rule *rule;	/* NULL: none, or it is gone */
	const char *chain, *verdict, *reason, *prefix, *interface;
	uint64_t time_ns;
	unsigned char frame[FRAME_ROOM];
	unsigned int captured, n;
	char packet[256];
};

static int64_t epoch_offset(void)
{
	struct timespec real, mono;

	clock_gettime(CLOCK_REALTIME, &real);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return (real.tv_sec - mono.tv_sec) * 1000000000ll + real.tv_nsec - mono.tv_nsec;
}

static const struct rule *find_rule(const struct config *c, uint32_t id, const char **chain)
{
	for (int k = 0; id && k < config_n_chains(c); k++)
		for (int i = 0; i < config_chain(c, k)->n_rules; i++)
			if (config_chain(c, k)->rules[i].id == id) {
				*chain = config_chain_name(c, k);
				return &config_chain(c, k)->rules[i];
			}
	return NULL;
}

/* A tag that stood beside the bytes goes back to where it was on the wire. */
static void tell_frame(struct told *t, const struct log_record *r)
{
	uint16_t tag[2] = { r->tag_proto, htobe16(r->tci) };
	unsigned int captured = r->captured < LOG_BYTES ? r->captured : LOG_BYTES, front = r->tagged && captured >= 12 ? 12 : captured;

	memcpy(t->frame, r->bytes, front);
	t->captured = captured;
	t->n = r->frame_len;
	if (front < captured) {
		memcpy(t->frame + front, tag, sizeof(tag));
		memcpy(t->frame + front + sizeof(tag), r->bytes + front, captured - front);
		t->captured += sizeof(tag);
		t->n += sizeof(tag);
	}
	dissect(t->packet, sizeof(t->packet), t->frame, t->captured, t->n);
}

static void tell(struct told *t, const struct show *s, const struct log_record *r)
{
	static const char *const verdicts[] = { "continue", "accept", "drop", "accept", "drop" };

	*t = (struct told){ .time_ns = r->time_ns + s->epoch_ns, .interface = s->slots[r->slot % MAX_INTERFACES].name };
	t->verdict = verdicts[r->verdict <= LOG_REJECT ? r->verdict : LOG_NEXT];
	if (r->rule >= RULE_FIRST)
		t->rule = find_rule(&s->config, r->rule, &t->chain);
	if (r->kind == LOG_DROPPED)
		t->reason = reason_name[r->reason < REASON_DROP_END ? r->reason : 0];
	else if (r->verdict == LOG_DROP || r->verdict == LOG_REJECT)
		t->reason = reason_name[r->verdict == LOG_DROP ? DROP_RULE : DROP_REJECT];
	if (t->rule && t->rule->log)
		t->prefix = t->rule->log_prefix;
	tell_frame(t, r);
}

static void put_time(uint64_t ns)
{
	time_t second = ns / 1000000000;
	char text[32], all[48];
	struct tm tm;

	strftime(text, sizeof(text), "%H:%M:%S", localtime_r(&second, &tm));
	snprintf(all, sizeof(all), "%s.%06u", text, (unsigned int)(ns % 1000000000 / 1000));
	out_text("time", all);
}

static void put_rule(const struct log_record *r, const struct told *t)
{
	char *text = t->rule ? rule_text(t->rule) : NULL;

	if (r->rule >= RULE_FIRST)
		out_number("rule", r->rule);
	else
		out_text("rule", NULL);
	if (out_is_json()) {
		out_text("chain", t->chain);
		out_text("text", text);
	}
	free(text);
}

static void put_line(const struct log_record *r, const struct told *t)
{
	out_row();
	if (out_is_json())
		out_number("time_ns", t->time_ns);
	else
		put_time(t->time_ns);
	out_text("interface", t->interface);
	if (out_is_json()) {
		out_text("hook", hook_name[r->hook < HOOK_COUNT ? r->hook : 0]);
		out_text("event", r->kind == LOG_DROPPED ? "drop" : "log");
	}
	out_text("verdict", t->verdict);
	put_rule(r, t);
	out_text("reason", t->reason);
	out_text("prefix", t->prefix);
	out_text("packet", t->packet);
	if (out_is_json()) {
		out_bool("audit", r->verdict == LOG_AUDIT);
		out_number("frame_bytes", t->n);
		out_number("captured", t->captured);
		out_number("packets", r->packets);
	}
}

/* "rule 3 drop (rule): tcp dport 22 …" */
static int put_file(struct show *s, const struct log_record *r, const struct told *t)
{
	uint32_t *number = &s->number[r->slot % MAX_INTERFACES];
	char *text = t->rule ? rule_text(t->rule) : NULL, comment[1024], rule[24] = "";
	struct pcapng_packet k = { .time_ns = t->time_ns, .bytes = t->frame, .captured = t->captured, .n = t->n, .comment = comment };
	int err = *number ? 0 : pcapng_interface(&s->file, t->interface, &k.interface);

	if (!*number)
		*number = k.interface + 1;
	k.interface = *number - 1;
	if (r->rule >= RULE_FIRST)
		snprintf(rule, sizeof(rule), "rule %u ", r->rule);
	snprintf(comment, sizeof(comment), "%s%s%s%s%s%s%s", rule, t->verdict, t->reason ? " (" : "", t->reason ? t->reason : "", t->reason ? ")" : "",
		 text ? ": " : "", text ? text : "");
	free(text);
	return err ? err : pcapng_packet(&s->file, &k);
}

static int on_record(void *ctx, const struct log_record *r)
{
	struct show *s = ctx;
	struct told t;

	if (only_rule && r->rule != only_rule)
		return 0;
	tell(&t, s, r);
	s->shown++;
	if (s->file.file)
		return put_file(s, r, &t);
	put_line(r, &t);
	return 0;
}

/* Records behind a change of the configuration name its rules. */
static int look_at_rules(struct show *s)
{
	struct config c;
	uint64_t number;
	int err = generation_number(&number);

	if (err || number == s->generation)
		return err;
	err = generation_read(&c, &number);
	if (err)
		return err;
	config_free(&s->config);
	s->config = c;
	s->generation = number;
	s->slots = interfaces_read();
	return s->slots ? 0 : EXIT_FAILED;
}

static int on_batch(void *ctx)
{
	struct show *s = ctx;
	int err = look_at_rules(s);

	if (err)
		return err;
	return s->file.file ? pcapng_flush(&s->file) : out_flush();
}

static void columns(void)
{
	out_column("time", -15);
	out_column("interface", -10);
	out_column("verdict", -8);
	out_column("rule", 6);
	out_column("reason", -12);
	out_column("prefix", -12);
	out_column("packet", -40);
	out_lines();
	out_list("records");
}

static void tell_totals(const struct show *s, const struct follow_totals *t)
{
	if (out_is_json() && !s->file.file) {
		out_row();
		out_object("totals");
		out_number("shown", s->shown);
		out_number("sent", t->sent);
		out_number("suppressed", t->suppressed);
		out_number("lost", t->lost);
		out_object_end();
	}
	if (!out_is_json() && (t->suppressed || t->lost))
		note("%llu packets shown, %llu suppressed (more than %d a second and CPU), %llu lost (the ring was full)", (unsigned long long)s->shown,
		     (unsigned long long)t->suppressed, LOG_BUDGET * LOG_WINDOWS, (unsigned long long)t->lost);
}

static int show_all(struct show *s)
{
	struct follow_sink sink = { .record = on_record, .batch = on_batch, .ctx = s, .drops = drops, .duration_ns = duration * 1000000000ull };
	struct follow_totals totals = {};
	int err = write_path ? pcapng_open(&s->file, write_path) : 0, late;

	if (err)
		return err;
	if (!write_path)
		columns();
	err = follow(&sink, &totals);
	tell_totals(s, &totals);
	late = pcapng_close(&s->file);
	if (!write_path)
		out_list_end();
	return err ? err : late;
}

static int log_follow(int argc, char **argv)
{
	struct show s = { .epoch_ns = epoch_offset() };
	int err;

	(void)argv;
	if (argc)
		return fail(EXIT_USAGE, "takes no words");
	err = generation_read(&s.config, &s.generation);
	if (!err) {
		s.slots = interfaces_read();
		err = s.slots ? show_all(&s) : EXIT_FAILED;
	}
	config_free(&s.config);
	return err;
}

static const struct verb verbs[] = {
	{ "follow", "", "packets that met a rule with log, and with --drops all dropped ones, as they come", log_follow, follow_opts },
	{}
};

const struct object log_object = { "log", "packets that rules show", verbs };
