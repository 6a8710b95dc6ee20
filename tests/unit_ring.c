/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_ring: what a service's ring promises: exact shares, the same ring on every node whatever the order of the list, few moves when the pool
 * changes; and that ring_hash() spreads what clients really send. All counted, nothing random but what is printed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "../ctl/ring.h"	/* before cmocka.h, whose macro fail() hides ours */
#include "../maps/service.h"
#include <cmocka.h>

enum { MOVED_PERMILLE = 15 };	/* of all slots, needlessly; measured: up to 11 */

static struct backend at(uint32_t address, uint32_t weight)
{
	struct backend b = { .weight = weight, .addr = { .family = 4 } };

	address = htonl(address);
	memcpy(b.addr.bytes, &address, 4);
	return b;
}

/* n backends 10.0.0.1 … of equal weight. */
static struct backend *pool(int n)
{
	struct backend *v = must(calloc(n, sizeof(*v)));

	for (int i = 0; i < n; i++)
		v[i] = at(0x0a000001 + i, 1);
	return v;
}

static uint16_t *ring_of(const struct backend *v, int n, uint32_t size)
{
	uint16_t *ring = must(malloc(size * sizeof(*ring)));

	memset(ring, 0xff, size * sizeof(*ring));
	ring_build(ring, size, v, n);
	return ring;
}

static void count(const uint16_t *ring, uint32_t size, int n, uint32_t *slots)
{
	memset(slots, 0, n * sizeof(*slots));
	for (uint32_t i = 0; i < size; i++) {
		assert_in_range(ring[i], 0, n - 1);
		slots[ring[i]]++;
	}
}

struct tuple { uint32_t src, dst; uint16_t sport, dport; uint8_t proto; };

static uint32_t slot_of(const struct tuple *t, uint32_t mask)
{
	uint64_t s1 = 0xffffull << 16 | (uint64_t)htonl(t->src) << 32, d1 = 0xffffull << 16 | (uint64_t)htonl(t->dst) << 32;

	return ring_hash(0, s1, 0, d1, (uint32_t)htons(t->sport) << 16 | htons(t->dport), t->proto) & mask;
}

/* Every backend has the whole number below or above its exact share, and all slots are given. */
static void shares_are_exact(void **unused)
{
	static const struct { int n; uint32_t weights[8]; } cases[] = {
		{ 1, { 1 } }, { 1, { 65535 } }, { 2, { 1, 1 } }, { 3, { 1, 1, 1 } }, { 2, { 1, 65535 } }, { 3, { 10, 0, 30 } },
		{ 8, { 1, 2, 3, 4, 5, 6, 7, 8 } }, { 8, { 100, 100, 100, 100, 1, 1, 1, 1 } }, { 5, { 65535, 65534, 65533, 1, 0 } },
		{ 4, { 7, 11, 13, 17 } },
	};

	(void)unused;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		uint32_t size = ring_size(cases[c].n), slots[8];
		struct backend v[8];
		uint16_t *ring;
		double total = 0;
		int active = 0;

		for (int i = 0; i < cases[c].n; i++) {
			v[i] = at(0xc0000201 + i, cases[c].weights[i]);
			total += v[i].weight;
			active += v[i].weight > 0;
		}
		ring = must(malloc(size * sizeof(*ring)));
		assert_int_equal(ring_build(ring, size, v, cases[c].n), active);
		count(ring, size, cases[c].n, slots);
		for (int i = 0; i < cases[c].n; i++) {
			double share = size * v[i].weight / total;

			assert_in_range(slots[i], (uint32_t)floor(share), (uint32_t)ceil(share));
			assert_true(v[i].weight || !slots[i]);
		}
		free(ring);
	}
}

static void without_backends_the_ring_is_untouched(void **unused)
{
	struct backend v[2] = { at(1, 0), at(2, 0) };
	uint16_t ring[4] = { 7, 7, 7, 7 };

	(void)unused;
	assert_int_equal(ring_build(ring, 4, v, 2), 0);
	assert_int_equal(ring_build(ring, 4, v, 0), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ring[i], 7);
}

static void has_a_size_that_fits_its_place(void **unused)
{
	(void)unused;
	for (int n = 0; n < MAX_BACKENDS; n++) {
		uint32_t size = ring_size(n);

		assert_true(size && !(size & (size - 1)) && size <= RING_MAX && size % RING_CHUNK == 0);
		assert_true(size >= (uint32_t)n);
	}
	assert_true(ring_size(64) >= 100 * 64);
}

/* More backends than slots can give a share to: some get none, nobody gets two shares. */
static void shares_are_exact_beyond_a_thousand_backends(void **unused)
{
	int n = 3000;
	uint32_t size = ring_size(n), *slots = must(calloc(n, sizeof(*slots)));
	struct backend *v = pool(n);
	uint16_t *ring = ring_of(v, n, size);

	(void)unused;
	count(ring, size, n, slots);
	for (int i = 0; i < n; i++)
		assert_in_range(slots[i], size / n, size / n + 1);
	free(ring);
	free(v);
	free(slots);
}

static void is_the_same_each_time_and_in_any_order(void **unused)
{
	enum { N = 12 };
	uint32_t size = ring_size(N);
	struct backend v[N], turned[N];
	uint16_t *a, *b;

	(void)unused;
	for (int equal = 0; equal < 2; equal++) {
		for (int i = 0; i < N; i++)
			v[i] = at(0x0a000001 + i, equal ? 1 : 1 + i * 7 % 5);
		a = ring_of(v, N, size);
		for (int shift = 0; shift < N; shift++) {
			for (int i = 0; i < N; i++)
				turned[i] = v[(i * 5 + shift) % N];
			b = ring_of(turned, N, size);
			for (uint32_t s = 0; s < size; s++)
				assert_true(address_equal(&v[a[s]].addr, &turned[b[s]].addr));
			free(b);
		}
		free(a);
	}
}

/* One slot's backend on nodes of any version must not change by accident: that would break every connection of a cluster being upgraded. */
static void is_the_ring_it_always_was(void **unused)
{
	struct backend *v = pool(5);
	uint32_t size = ring_size(5);
	uint16_t *ring = ring_of(v, 5, size);
	uint64_t h = 0xcbf29ce484222325ull;	/* FNV-1a */
	struct tuple t = { 0x0a000001, 0xc6336401, 40000, 443, 6 };

	(void)unused;
	for (uint32_t i = 0; i < size; i++)
		h = (h ^ ring[i]) * 0x100000001b3ull;
	assert_int_equal(h, 0x9d317034a9f21cbc);
	assert_int_equal(slot_of(&t, ~0u), 0xf8b78a15);
	free(ring);
	free(v);
}

/* Slots that changed hands between two pools though both their backends are in both, by address. */
static uint32_t needless(const struct backend *a, const uint16_t *ra, const struct backend *b, int nb, const uint16_t *rb, uint32_t size)
{
	uint32_t moved = 0;

	for (uint32_t s = 0; s < size; s++) {
		bool stays = false;

		for (int i = 0; i < nb; i++)
			stays |= b[i].weight && address_equal(&a[ra[s]].addr, &b[i].addr);
		moved += stays && !address_equal(&a[ra[s]].addr, &b[rb[s]].addr);
	}
	return moved;
}

/* A backend leaves (weight 0): its own slots move, and of the others' at most MOVED_PERMILLE of the ring. When it joins again the same slots
 * move back. */
static void few_slots_move_when_one_backend_leaves_or_joins(void **unused)
{
	static const int pools[] = { 2, 3, 5, 10, 32, 64, 100, 500 };

	(void)unused;
	for (size_t p = 0; p < sizeof(pools) / sizeof(pools[0]); p++) {
		int n = pools[p];
		struct backend *v = pool(n), *less = pool(n);
		uint32_t size = ring_size(n), worst = 0;
		uint16_t *full = ring_of(v, n, size);

		for (int out = 0; out < n; out += 1 + n / 8) {
			uint16_t *rest;
			uint32_t moved;

			less[out].weight = 0;
			rest = ring_of(less, n, size);
			moved = needless(v, full, less, n, rest, size);
			worst = moved > worst ? moved : worst;
			free(rest);
			less[out].weight = 1;
		}
		print_message("%d backends: at most %u of %u slots move needlessly (%.2f %%)\n", n, worst, size, 100.0 * worst / size);
		assert_true(worst * 1000ull <= MOVED_PERMILLE * size);
		free(full);
		free(v);
		free(less);
	}
}

/* A change of one weight moves what the shares demand and little else. */
static void few_slots_move_when_a_weight_changes(void **unused)
{
	enum { N = 10 };
	uint32_t size = ring_size(N), before[N], after[N], moved = 0, due = 0;
	struct backend v[N], w[N];
	uint16_t *a, *b;

	(void)unused;
	for (int i = 0; i < N; i++)
		w[i] = v[i] = at(0x0a000001 + i, 10 + i % 2);
	w[3].weight = 5;
	a = ring_of(v, N, size);
	b = ring_of(w, N, size);
	count(a, size, N, before);
	count(b, size, N, after);
	for (int i = 0; i < N; i++)
		due += after[i] > before[i] ? after[i] - before[i] : 0;
	for (uint32_t s = 0; s < size; s++)
		moved += a[s] != b[s];
	print_message("weight 11 → 5 of 10 backends: %u of %u slots move, %u are due\n", moved, size, due);
	assert_true(moved >= due);
	assert_true((moved - due) * 1000 <= MOVED_PERMILLE * size);
	free(a);
	free(b);
}

/* ---- the hash of a flow onto the ring */

/* Pearson's statistic of n tuples over the ring's slots, in standard deviations from what chance gives. */
static double deviation(struct tuple (*nth)(uint32_t), uint32_t n, uint32_t slots)
{
	uint32_t *hits = must(calloc(slots, sizeof(*hits)));
	double expected = (double)n / slots, chi = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct tuple t = nth(i);

		hits[slot_of(&t, slots - 1)]++;
	}
	for (uint32_t s = 0; s < slots; s++)
		chi += (hits[s] - expected) * (hits[s] - expected) / expected;
	free(hits);
	return (chi - (slots - 1)) / sqrt(2.0 * (slots - 1));
}

static struct tuple sequential_ports(uint32_t i)
{
	return (struct tuple){ 0x0a000001, 0xc6336401, i & 0xffff, 80, 6 };
}

static struct tuple even_ports(uint32_t i)	/* Linux's connect() takes them first */
{
	return (struct tuple){ 0x0a000001 + (i >> 14), 0xc6336401, 32768 + (i & 0x3fff) * 2 % 32768, 443, 6 };
}

static struct tuple sequential_sources(uint32_t i)
{
	return (struct tuple){ 0x0a000000 + i, 0xc6336401, 40000, 53, 17 };
}

static struct tuple one_source_port_each_network(uint32_t i)
{
	return (struct tuple){ i << 8 | 7, 0xc6336401, 123, 123, 17 };
}

static struct tuple sequential_services(uint32_t i)
{
	return (struct tuple){ 0x0a000001, 0xc6336400 + (i >> 16), 40000, i & 0xffff, 6 };
}

static void spreads_what_clients_send(void **unused)
{
	static struct { const char *name; struct tuple (*nth)(uint32_t); uint32_t n; } series[] = {
		{ "sequential ports", sequential_ports, 65536 }, { "even ports", even_ports, 1 << 18 },
		{ "sequential sources", sequential_sources, 1 << 18 }, { "one host of each network", one_source_port_each_network, 1 << 18 },
		{ "sequential services", sequential_services, 1 << 18 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(series) / sizeof(series[0]); i++) {
		for (uint32_t slots = 8; slots <= RING_MAX; slots *= 8) {
			double d = deviation(series[i].nth, series[i].n, slots);

			if (fabs(d) > 5)
				fail_msg("%s over %u slots: %.1f standard deviations from chance", series[i].name, slots, d);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_exact),
		cmocka_unit_test(without_backends_the_ring_is_untouched),
		cmocka_unit_test(has_a_size_that_fits_its_place),
		cmocka_unit_test(shares_are_exact_beyond_a_thousand_backends),
		cmocka_unit_test(is_the_same_each_time_and_in_any_order),
		cmocka_unit_test(is_the_ring_it_always_was),
		cmocka_unit_test(few_slots_move_when_one_backend_leaves_or_joins),
		cmocka_unit_test(few_slots_move_when_a_weight_changes),
		cmocka_unit_test(spreads_what_clients_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
