/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_set: the tables of sets against what they are to hold, under random additions and deletions: addresses against a map with a bit for each address of
 * a few networks, elements against a list. The lookups are those of the datapath. WEIR_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../ctl/settable.h"	/* before cmocka.h, whose macro fail() hides ours */
#include "random.h"
#include <cmocka.h>

static struct settable table(const struct set *s, int more)
{
	int class = settable_class(s, more);
	struct settable t = { .size = settable_size(class) };

	assert_true(class >= 0);
	t.m = aligned_alloc(4096, t.size);
	assert_non_null(t.m);
	memset(t.m, 0, t.size);
	settable_init(&t, s, more, rnd());
	return t;
}

/* ---- IPv4 addresses: two /16, and what stands at their sides */

enum { NET = 10 << 24, SPACE = 1 << 17, CHANGES = 20000, LOOKS = 40 };

static struct set addresses4(void)
{
	return (struct set){ .name = (char *)"s", .type = TYPE_IPV4_ADDR, .types = { TYPE_IPV4_ADDR }, .n_types = 1, .interval = true };
}

static int has4(const struct settable *t, uint32_t a)
{
	return set4_has(t->m, a, t->size);
}

static void random_range(uint32_t *lo, uint32_t *hi)
{
	static const uint32_t sizes[] = { 1, 1, 1, 2, 16, 17, 200, 256, 512, 1000, 5000 };
	uint32_t size = sizes[rnd() % 11], spread = rnd() % 4 ? SPACE : 1024;

	*lo = rnd() % spread;
	if (rnd() % 2)
		*lo &= -(size & -size);
	*hi = *lo + size - 1 < SPACE ? *lo + size - 1 : SPACE - 1;
}

static void listed4(const struct settable *t, const uint8_t *in)
{
	struct spans s = {};
	uint32_t next = 0;

	settable_list4(t, &s);
	for (int i = 0; i < s.n; i++) {
		uint32_t lo = s.v[i].lo - NET, hi = s.v[i].hi - NET;

		assert_true(hi < SPACE && lo <= hi && (!i || lo > next));
		for (; next < lo; next++)
			assert_false(in[next]);
		for (; next <= hi; next++)
			assert_true(in[next]);
	}
	for (; next < SPACE; next++)
		assert_false(in[next]);
	spans_free(&s);
}

static void addresses(void **unused)
{
	struct set s = addresses4();
	struct settable t = table(&s, 1);
	uint8_t *in = calloc(SPACE, 1);

	(void)unused;
	for (int i = 0; i < CHANGES; i++) {
		bool add = rnd() % 5 < 3;
		uint32_t lo, hi;

		random_range(&lo, &hi);
		memset(in + lo, add, hi - lo + 1);
		assert_int_equal((add ? settable_add4 : settable_del4)(&t, NET + lo, NET + hi), 0);
		for (int n = 0; n < LOOKS; n++) {
			uint32_t a = n < LOOKS / 2 ? rnd() % SPACE : (lo + rnd() % (hi - lo + 3) - 1) % SPACE;

			assert_int_equal(has4(&t, NET + a), in[a]);
		}
		if (i % 2000 == 0)
			listed4(&t, in);
	}
	assert_false(has4(&t, NET - 1));
	assert_false(has4(&t, NET + SPACE));
	settable_del4(&t, 0, ~0u);
	for (uint32_t i = 0; i < SPACE; i++)
		assert_false(has4(&t, NET + i));
	settable_add4(&t, 0, ~0u);
	assert_true(has4(&t, 0) && has4(&t, ~0u) && has4(&t, NET));
	free(in);
	free(t.m);
}

/* As many addresses as the table is sized for, in no order: all fit, all are found, what is beside them is not. */
static void many_addresses(void **unused)
{
	enum { N = 1000000 };
	struct set s = addresses4();
	struct settable t;
	uint64_t odd = rnd() | 1;

	(void)unused;
	for (int i = 0; i < N; i++) {
		uint32_t a = (uint32_t)(i * odd * 2);

		spans_add(&s.elements, a, a);
	}
	spans_normalise(&s.elements);
	t = table(&s, 1);
	assert_int_equal(settable_fill(&t, &s, 0), 0);
	for (int i = 0; i < s.elements.n; i++) {
		assert_true(has4(&t, s.elements.v[i].lo));
		assert_false(has4(&t, s.elements.v[i].lo + 1));
	}
	spans_free(&s.elements);
	free(t.m);
}

/* ---- elements */

enum { KEYS = 3000, SIZE = 2000 };

static struct set pairs(void)
{
	return (struct set){ .name = (char *)"s", .type = TYPE_IPV6_ADDR, .types = { TYPE_IPV6_ADDR, TYPE_INET_SERVICE, TYPE_IPV4_ADDR },
			     .n_types = 3, .dynamic = true, .noted = true, .size = SIZE };
}

static struct value_tuple pair(uint32_t i)
{
	struct value_tuple e = {};
	u128 a = (u128)(i * 0x9e3779b97f4a7c15ull) << 64 | i;

	e.part[0] = (struct span){ a, a };
	e.part[1] = (struct span){ i & 0xffff, i & 0xffff };
	e.part[2] = (struct span){ ~i, ~i };
	return e;
}

static void elements(void **unused)
{
	struct set s = pairs();
	struct settable t = table(&s, 1);
	uint32_t *until = calloc(KEYS, sizeof(*until)), now = ~0u - 5000, n = 0;	/* the clock wraps */
	struct value_tuples list = {};

	(void)unused;
	for (int i = 0; i < 100000; i++, now += rnd() % 8 == 0) {
		uint32_t k = rnd() % KEYS;
		struct value_tuple e = pair(k);
		bool in = until[k] && (int32_t)(until[k] - now) > 0;

		if (now < 2)
			continue;
		assert_int_equal(settable_has(&t, &e, now), in);
		e.timeout_ms = ms_of_ticks(1 + rnd() % 400);
		if (rnd() % 3 == 0) {
			settable_del(&t, &e, now);
			until[k] = 0;
		} else if (!settable_put(&t, &e, now)) {
			until[k] = set_until(now, ticks_of_ms(e.timeout_ms));
		}
	}
	settable_list(&t, &list, now);
	for (uint32_t k = 0; k < KEYS; k++)
		n += until[k] && (int32_t)(until[k] - now) > 0;
	assert_int_equal(list.n, n);
	assert_true(settable_head(&t)->used <= SIZE);
	tuples_free(&list);
	free(until);
	free(t.m);
}

/* A set takes `size` elements, not one more, and again when one has gone. */
static void full(void **unused)
{
	struct set s = pairs();
	struct settable t = table(&s, 1);
	struct value_tuple e;

	(void)unused;
	for (uint32_t i = 0; i < SIZE; i++) {
		e = pair(i);
		assert_int_equal(settable_put(&t, &e, 10), 0);
	}
	e = pair(SIZE);
	assert_int_equal(settable_put(&t, &e, 10), -1);
	e = pair(7);
	settable_del(&t, &e, 10);
	assert_false(settable_has(&t, &e, 10));
	e = pair(SIZE);
	assert_int_equal(settable_put(&t, &e, 10), 0);
	free(t.m);
}

/* ---- IPv6 prefixes: the 16 bits above and the 12 at the end of an address differ, so that prefixes meet, hold and cut one another */

static u128 address6(uint32_t net, uint32_t host)
{
	return (u128)0x20010db8 << 96 | (u128)(net & 0xffff) << 72 | (host & 0xfff);
}

static struct span random_span6(void)
{
	static const int lengths[] = { 128, 128, 128, 127, 124, 120, 64, 56, 52, 48, 44, 128, 119 };
	int length = lengths[rnd() % 13];
	u128 open = length == 128 ? 0 : ((u128)1 << (128 - length)) - 1, a = address6(rnd() % 2 ? rnd() : rnd() % 64, rnd() % 4 ? rnd() : rnd() % 64);

	if (rnd() % 8 == 0)
		return (struct span){ a, a + rnd() % 64 };
	return (struct span){ a & ~open, a | open };
}

static int has6(const struct settable *t, u128 a)
{
	return settable_has_address6(t, a);
}

static void same_spans(const struct spans *a, const struct spans *b)
{
	assert_int_equal(a->n, b->n);
	for (int i = 0; i < a->n; i++)
		assert_true(a->v[i].lo == b->v[i].lo && a->v[i].hi == b->v[i].hi);
}

static struct set set6(void)
{
	return (struct set){ .name = (char *)"s", .type = TYPE_IPV6_ADDR, .types = { TYPE_IPV6_ADDR }, .n_types = 1, .interval = true };
}

/* Too many lengths, or no room: made anew, as ctl does; with nothing in it where that does not help. */
static void remake6(struct settable *t, struct spans *in)
{
	struct set s = set6();

	free(t->m);
	s.elements = *in;
	*t = table(&s, 2);
	if (!settable_fill(t, &s, 0))
		return;
	memset(t->m, 0, t->size);
	spans_free(in);
	s.elements = *in;
	settable_init(t, &s, 2, rnd());
}

static void change6(struct settable *t, struct spans *in, const struct span *x, bool add)
{
	struct spans one = { (struct span *)x, 1, 1 }, left;
	int err = (add ? settable_add6 : settable_del6)(t, x);

	if (add) {
		spans_add(in, x->lo, x->hi);
		spans_normalise(in);
	} else {
		spans_subtract(&left, in, &one);
		spans_free(in);
		*in = left;
	}
	if (err)
		remake6(t, in);
}

static void addresses6(void **unused)
{
	struct spans in = {}, listed = {};
	struct set s = set6();
	struct settable t = table(&s, 1);

	(void)unused;
	for (int i = 0; i < 6000; i++) {
		struct span x = random_span6();

		change6(&t, &in, &x, rnd() % 5 < 3);
		for (int n = 0; n < 12; n++) {
			u128 a = n < 4 ? address6(rnd() % 64, rnd() % 64) : n < 8 ? x.lo - 1 + rnd() % 3 : x.hi - 1 + rnd() % 3;

			assert_int_equal(has6(&t, a), spans_have(&in, a));
		}
		if (i % 500)
			continue;
		settable_list6(&t, &listed);
		same_spans(&listed, &in);
		spans_free(&listed);
	}
	spans_free(&in);
	free(t.m);
}

/* As many as the table is sized for. */
static void many_addresses6(void **unused)
{
	enum { N = 500000 };
	struct set s = set6();
	struct settable t;

	(void)unused;
	for (int i = 0; i < N; i++) {
		u128 host = (u128)0x20010db8 << 96 | (u128)(rnd() >> 32) << 64 | rnd(), net = (u128)0x2a00 << 112 | (u128)(rnd() >> 16) << 64;

		spans_add(&s.elements, host, host);
		spans_add(&s.elements, net, net | ~0ull);
	}
	spans_normalise(&s.elements);
	t = table(&s, 1);
	assert_int_equal(settable_fill(&t, &s, 0), 0);
	for (int i = 0; i < s.elements.n; i++)
		assert_true(has6(&t, s.elements.v[i].lo) && has6(&t, s.elements.v[i].hi));
	spans_free(&s.elements);
	free(t.m);
}

static void ends_of_the_address_space(void **unused)
{
	struct set s = set6();
	struct settable t = table(&s, 1);
	const u128 last = ~(u128)0;
	struct spans listed = {};

	(void)unused;
	settable_add6(&t, &(struct span){ 0, 0 });
	settable_add6(&t, &(struct span){ last, last });
	assert_true(has6(&t, 0) && has6(&t, last) && !has6(&t, 1) && !has6(&t, last - 1));
	settable_del6(&t, &(struct span){ 0, 0 });
	settable_del6(&t, &(struct span){ last, last });
	assert_false(has6(&t, 0) || has6(&t, last));
	settable_add6(&t, &(struct span){ last - 1, last });		/* looks as what is deleted does */
	assert_true(has6(&t, last) && has6(&t, last - 1) && !has6(&t, last - 2));
	settable_list6(&t, &listed);
	assert_true(listed.n == 1 && listed.v[0].lo == last - 1 && listed.v[0].hi == last);
	spans_free(&listed);
	settable_del6(&t, &(struct span){ last, last });
	assert_true(has6(&t, last - 1) && !has6(&t, last));
	settable_del6(&t, &(struct span){ last - 1, last - 1 });
	settable_add6(&t, &(struct span){ 0, last });
	assert_true(has6(&t, 0) && has6(&t, last) && has6(&t, last / 2));
	free(t.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses), cmocka_unit_test(many_addresses), cmocka_unit_test(elements), cmocka_unit_test(full), cmocka_unit_test(addresses6), cmocka_unit_test(many_addresses6),
		cmocka_unit_test(ends_of_the_address_space),
	};

	random_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
