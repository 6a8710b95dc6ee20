/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_ids: what keeps its place from one generation to the next: a rule its id, and so its counter; a backend its slot, and so its flows;
 * and what never shares a place with something still in force: new ids, new slots, rings. Configurations are texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../ctl/ids.h"		/* before cmocka.h, whose macro fail() hides ours */
#include "../ctl/ring.h"
#include "../maps/rule.h"
#include "../maps/service.h"
#include <cmocka.h>

static struct config nothing;

/* The next generation after `old`; ids of the first one may be looked into by the caller. */
static struct config next(const struct config *old, const char *text, struct ids *out)
{
	struct config c;
	struct ids ids;

	if (config_parse(&c, "text", text))
		fail_msg("%s: %s", text, fail_message());
	assert_int_equal(ids_assign(out ? out : &ids, old, &c), 0);
	if (!out)
		ids_free(&ids);
	return c;
}

static uint32_t rule_id(const struct config *c, int i)
{
	assert_in_range(i, 0, c->chains[CHAIN_INGRESS].n_rules - 1);
	return c->chains[CHAIN_INGRESS].rules[i].id;
}

static uint32_t slot(const struct config *c, const char *service, int i)
{
	const struct service *s = config_service(c, service);

	assert_non_null(s);
	return s->backends[i].slot;
}

#define INGRESS(rules) "chain ingress {\n" rules "\n}\n"
#define WEB(forward, backends) "service web { listen 192.0.2.1:80/tcp\n forward " forward "\n" backends "\n}\n"
#define MAIL(backends) "service mail { listen 192.0.2.1:25/tcp\n forward l2\n" backends "\n}\n"

static void a_rule_keeps_its_id_while_others_come_and_go(void **unused)
{
	struct config a = next(&nothing, INGRESS("tcp dport 1 drop\ntcp dport 2 drop\ntcp dport 3 drop"), NULL);
	struct ids ids;
	struct config b = next(&a, INGRESS("udp dport 9 drop\ntcp dport 3 drop\npolicy drop\ntcp dport 1 drop"), &ids);

	(void)unused;
	assert_in_range(rule_id(&a, 0), RULE_FIRST, MAX_RULES - 1);
	assert_int_equal(rule_id(&b, 1), rule_id(&a, 2));
	assert_int_equal(rule_id(&b, 3 - 1), rule_id(&a, 0));
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(rule_id(&b, 0), rule_id(&a, i));	/* nor that of the one that left: it may still be counting */
	assert_int_equal(ids.n_new_rules, 1);
	assert_int_equal(ids.new_rules[0], rule_id(&b, 0));
	ids_free(&ids);
	config_free(&a);
	config_free(&b);
}

static void equal_rules_keep_their_order(void **unused)
{
	struct config a = next(&nothing, INGRESS("counter\ntcp dport 1 drop\ncounter\ncounter"), NULL);
	struct config b = next(&a, INGRESS("tcp dport 1 drop\ncounter\nudp dport 5 drop\ncounter"), NULL);
	struct config c = next(&b, INGRESS("counter\ncounter\ncounter"), NULL);

	(void)unused;
	assert_int_not_equal(rule_id(&a, 0), rule_id(&a, 2));
	assert_int_not_equal(rule_id(&a, 2), rule_id(&a, 3));
	assert_int_equal(rule_id(&b, 1), rule_id(&a, 0));
	assert_int_equal(rule_id(&b, 3), rule_id(&a, 2));
	assert_int_equal(rule_id(&c, 0), rule_id(&a, 0));
	assert_int_equal(rule_id(&c, 1), rule_id(&a, 2));
	assert_int_not_equal(rule_id(&c, 2), rule_id(&c, 1));
	config_free(&a);
	config_free(&b);
	config_free(&c);
}

/* 300 equal rules and 300 different ones, then every other of both. */
static void keeps_order_among_many(void **unused)
{
	enum { N = 300 };
	char *text = must(malloc(1 << 16));
	struct config a, b;
	size_t n;

	(void)unused;
	for (int step = 1; step <= 2; step++) {
		n = sprintf(text, "chain ingress {\n");
		for (int i = 0; i < N; i += step)
			n += sprintf(text + n, "tcp dport %d drop\ncounter\n", i);
		sprintf(text + n, "}\n");
		if (step == 1)
			a = next(&nothing, text, NULL);
		else
			b = next(&a, text, NULL);
	}
	for (int i = 0; i < N / 2; i++) {
		assert_int_equal(rule_id(&b, 2 * i), rule_id(&a, 4 * i));
		assert_int_equal(rule_id(&b, 2 * i + 1), rule_id(&a, 2 * i + 1));
	}
	config_free(&a);
	config_free(&b);
	free(text);
}

static void the_same_rule_in_the_other_chain_is_another(void **unused)
{
	struct config a = next(&nothing, INGRESS("tcp dport 1 drop"), NULL);
	struct config b = next(&a, "chain egress {\ntcp dport 1 drop\n}\n", NULL);

	(void)unused;
	assert_int_not_equal(b.chains[CHAIN_EGRESS].rules[0].id, rule_id(&a, 0));
	config_free(&a);
	config_free(&b);
}

static void a_rule_of_another_comment_is_another(void **unused)
{
	struct config a = next(&nothing, INGRESS("tcp dport 1 drop comment \"one\""), NULL);
	struct config b = next(&a, INGRESS("tcp dport 1 drop comment \"two\""), NULL);

	(void)unused;
	assert_int_not_equal(rule_id(&b, 0), rule_id(&a, 0));
	config_free(&a);
	config_free(&b);
}

static void a_backend_keeps_its_slot_while_others_come_and_go(void **unused)
{
	struct config a = next(&nothing, WEB("l2", "backend 10.0.0.1\nbackend 10.0.0.2\nbackend 10.0.0.3"), NULL);
	struct ids ids;
	struct config b = next(&a, INGRESS("drop") MAIL("backend 10.0.0.1") WEB("l2", "backend 10.0.0.9\nbackend 10.0.0.3 weight 0\nbackend 10.0.0.1"),
			       &ids);

	(void)unused;
	assert_int_equal(slot(&b, "web", 1), slot(&a, "web", 2));
	assert_int_equal(slot(&b, "web", 2), slot(&a, "web", 0));
	assert_int_not_equal(slot(&b, "mail", 0), slot(&b, "web", 2));	/* counted by service */
	assert_int_equal(ids.n_new_backends, 2);
	ids_free(&ids);
	config_free(&a);
	config_free(&b);
}

static void a_backend_reached_otherwise_is_another(void **unused)
{
	struct config a = next(&nothing, WEB("l2", "backend 10.0.0.1"), NULL);
	struct config b = next(&a, WEB("ipip", "backend 10.0.0.1"), NULL);

	(void)unused;
	assert_int_not_equal(slot(&b, "web", 0), slot(&a, "web", 0));
	config_free(&a);
	config_free(&b);
}

/* A slot that was given up rests until the circle comes round: flows that name it are long gone then. */
static void a_slot_rests_before_it_is_used_again(void **unused)
{
	enum { CHANGES = 2000 };
	bool *seen = must(calloc(MAX_BACKENDS, 1));
	struct config old = next(&nothing, WEB("l2", "backend 10.9.9.9"), NULL);

	(void)unused;
	for (int i = 0; i < CHANGES; i++) {
		char text[256];
		struct config c;

		snprintf(text, sizeof(text), WEB("l2", "backend 10.0.%d.%d"), i >> 8, i & 255);
		c = next(&old, text, NULL);
		assert_in_range(slot(&c, "web", 0), 1, MAX_BACKENDS - 1);
		assert_false(seen[slot(&c, "web", 0)]);
		seen[slot(&c, "web", 0)] = true;
		config_free(&old);
		old = c;
	}
	config_free(&old);
	free(seen);
}

/* Where old and new generation are in force side by side, they share no slot and no ring chunk but those that mean the same. */
static void generations_do_not_share_what_differs(void **unused)
{
	char *text = must(malloc(1 << 16));
	struct config old = nothing;

	(void)unused;
	for (int g = 0; g < 200; g++) {
		bool *used = must(calloc(RING_CHUNKS, 1));
		struct config c;
		size_t n = 0;

		for (int s = 0; s < 1 + g % 5; s++) {
			n += sprintf(text + n, "service s%d { listen 192.0.2.1:%d/tcp\n forward l2\n", s, s + 1);
			for (int b = 0; b < 1 + (g * 7 + s) % 80; b++)
				n += sprintf(text + n, "backend 10.0.%d.%d\n", s, b + 1);
			n += sprintf(text + n, "}\n");
		}
		c = next(&old, text, NULL);
		for (int which = 0; which < 2; which++) {
			const struct config *k = which ? &c : &old;

			for (int s = 0; s < k->n_services; s++) {
				uint32_t chunks = (ring_size(k->services[s].n_backends) + RING_CHUNK - 1) / RING_CHUNK;

				for (uint32_t i = 0; i < chunks; i++) {
					assert_in_range(k->services[s].ring + i, 0, RING_CHUNKS - 1);
					assert_false(used[k->services[s].ring + i]);
					used[k->services[s].ring + i] = true;
				}
			}
		}
		if (g)
			config_free(&old);
		old = c;
		free(used);
	}
	config_free(&old);
	free(text);
}

static void text_brings_all_ids_back(void **unused)
{
	char path[] = "/tmp/weir-unit-ids-XXXXXX";
	struct config a = next(&nothing, INGRESS("tcp dport 1 drop\ncounter") WEB("l2", "backend 10.0.0.1\nbackend 10.0.0.2"), NULL);
	struct config b = next(&a, INGRESS("counter\nudp dport 2 drop") MAIL("backend 10.0.0.1") WEB("l2", "backend 10.0.0.2"), NULL), again;
	FILE *f;
	int fd = mkstemp(path);

	(void)unused;
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	config_print(f, &b);
	ids_print(f, &b);
	fclose(f);
	assert_int_equal(config_parse_file(&again, path), 0);
	assert_int_equal(ids_read(&again, path), 0);
	unlink(path);
	for (int i = 0; i < 2; i++)
		assert_int_equal(rule_id(&again, i), rule_id(&b, i));
	assert_int_equal(slot(&again, "web", 0), slot(&b, "web", 0));
	assert_int_equal(slot(&again, "mail", 0), slot(&b, "mail", 0));
	assert_int_equal(config_service(&again, "mail")->ring, config_service(&b, "mail")->ring);
	config_free(&a);
	config_free(&b);
	config_free(&again);
}

static void refuses_more_backends_than_there_are_slots(void **unused)
{
	enum { EACH = 4096, SERVICES = 4 };
	struct config c;
	struct ids ids;
	char *text = must(malloc(SERVICES * EACH * 32)), *p = text;

	(void)unused;
	for (int s = 0; s < SERVICES; s++) {
		p += sprintf(p, "service s%d { listen 192.0.2.1:%d/tcp\n forward l2\n", s, s + 1);
		for (int b = 0; b < EACH; b++)
			p += sprintf(p, "backend 10.%d.%d.%d\n", s, b >> 8, b & 255);
		p += sprintf(p, "}\n");
	}
	assert_int_equal(config_parse(&c, "many", text), 0);
	assert_int_equal(ids_assign(&ids, &nothing, &c), EXIT_FAILED);
	assert_non_null(strstr(fail_message(), "backends"));
	fail_clear();
	ids_free(&ids);
	config_free(&c);
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_keeps_its_id_while_others_come_and_go),
		cmocka_unit_test(equal_rules_keep_their_order),
		cmocka_unit_test(keeps_order_among_many),
		cmocka_unit_test(the_same_rule_in_the_other_chain_is_another),
		cmocka_unit_test(a_rule_of_another_comment_is_another),
		cmocka_unit_test(a_backend_keeps_its_slot_while_others_come_and_go),
		cmocka_unit_test(a_backend_reached_otherwise_is_another),
		cmocka_unit_test(a_slot_rests_before_it_is_used_again),
		cmocka_unit_test(generations_do_not_share_what_differs),
		cmocka_unit_test(text_brings_all_ids_back),
		cmocka_unit_test(refuses_more_backends_than_there_are_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
