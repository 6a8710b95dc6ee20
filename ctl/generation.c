/* SPDX-License-Identifier: GPL-2.0-only */
/* generation: ids, tables of the slot not in force, the switch, the grace period. The text of generation N is config/N below the run
 * directory; its last lines, comments to the parser, keep the ids: "#ids rule ingress 3 4", "#ids backend web 1 2", "#ids ring web 0". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/run.h"
#include "../maps/datapath.h"
#include "../maps/flow.h"
#include "../maps/service.h"
#include "active.h"
#include "compile.h"
#include "filter_maps.h"
#include "fresh.h"
#include "generation.h"
#include "ids.h"
#include "ring.h"
#include "set_merge.h"
#include "setstore.h"

static int read_number(struct config *c, uint64_t number)
{
	int err;

	memset(c, 0, sizeof(*c));
	if (!number)
		return 0;
	if (access(active_text(number), R_OK))
		return fail(EXIT_FAILED, "%s: %s: the text of the generation in force is missing; apply a configuration file to mend it",
			    active_text(number), strerror(errno));
	err = config_parse_file(c, active_text(number));
	return err ? err : ids_read(c, active_text(number));
}

int generation_read(struct config *c, uint64_t *number)
{
	uint64_t active;
	int err = active_read(&active);

	memset(c, 0, sizeof(*c));
	if (err)
		return err;
	if (number)
		*number = active_generation(active);
	return read_number(c, active_generation(active));
}

int generation_number(uint64_t *number)
{
	uint64_t active;
	int err = active_read(&active);

	*number = err ? 0 : active_generation(active);
	return err;
}

int generation_edit(struct config *c)
{
	int err;

	memset(c, 0, sizeof(*c));
	err = active_lock();
	return err ? err : generation_read(c, NULL);
}

/* ---- text */

static int write_text(const struct config *c, uint64_t number)
{
	const char *path = active_fresh_text(number);
	FILE *f = fopen(path, "we");
	int err = 0;

	if (!f)
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	config_print(f, c);
	ids_print(f, c);
	if (fflush(f) || fsync(fileno(f)))
		err = fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (fclose(f) && !err)
		err = fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (err)
		unlink(path);
	return err;
}

/* ---- services */

struct service_tables {
	struct service_bucket *keys;
	uint16_t *rings;
	struct backend_entry *backends;
	size_t keys_size, rings_size, backends_size;
};

static int tables_open(struct service_tables *t)
{
	memset(t, 0, sizeof(*t));
	t->keys = run_map_memory("service_keys", true, &t->keys_size);
	t->rings = t->keys ? run_map_memory("rings", true, &t->rings_size) : NULL;
	t->backends = t->rings ? run_map_memory("backends", true, &t->backends_size) : NULL;
	return t->backends ? 0 : EXIT_FAILED;
}

static void tables_close(struct service_tables *t)
{
	if (t->keys)
		munmap(t->keys, t->keys_size);
	if (t->rings)
		munmap(t->rings, t->rings_size);
	if (t->backends)
		munmap(t->backends, t->backends_size);
}

static void wide_address(const struct address *a, __u64 w[2])
{
	uint8_t b[16] = { [10] = 0xff, [11] = 0xff };

	if (a->family == 4)
		memcpy(b + 12, a->bytes, 4);
	else
		memcpy(b, a->bytes, 16);
	memcpy(w, b, 16);
}

/* Put the key, whose ring is filled in, in its bucket or the neighbour's; a key that is there already stays. */
static int key_add(struct service_bucket *half, const struct address *a, __be16 port, uint8_t proto, struct service_key k)
{
	uint32_t b;

	k.port_proto = (__u32)port << 16 | proto << 8 | 1;
	wide_address(a, k.addr);
	b = service_hash(k.addr[0], k.addr[1], k.port_proto) & (SERVICE_BUCKETS - 1);
	for (int n = 0; n < 2 * SERVICE_WAYS; n++) {
		struct service_key *at = &half[b ^ n / SERVICE_WAYS].way[n % SERVICE_WAYS];

		if (at->port_proto == k.port_proto && !memcmp(at->addr, k.addr, sizeof(k.addr)))
			return 0;
		if (at->port_proto)
			continue;
		*at = k;
		return 0;
	}
	return fail(EXIT_FAILED, "too many services share a place in the service table (limit about %d listens)", SERVICE_BUCKETS);
}

static struct service_key write_ring(uint16_t *rings, const struct service *s, uint32_t chunk)
{
	uint32_t size = ring_size(s->n_backends);
	uint16_t *ring = must(malloc(size * sizeof(*ring)));
	int takers = ring_build(ring, size, s->backends, s->n_backends);

	for (uint32_t i = 0; i < size; i++)
		rings[chunk * RING_CHUNK + i] = takers ? s->backends[ring[i]].slot : 0;
	free(ring);
	return (struct service_key){ .ring = chunk * RING_CHUNK, .mask = size - 1 };
}

static void write_backends(struct backend_entry *table, const struct service *s, uint32_t epoch)
{
	for (int i = 0; i < s->n_backends; i++) {
		const struct backend *b = &s->backends[i];
		struct backend_entry *e = &table[b->slot];

		if (e->state == BACKEND_NONE) {
			e->epoch = epoch;
			e->family = b->addr.family;
			e->forward = s->forward == FORWARD_IPIP ? BACKEND_IPIP : BACKEND_L2;
			memcpy(e->addr, b->addr.bytes, sizeof(e->addr));
			__atomic_thread_fence(__ATOMIC_RELEASE);
		}
		e->state = b->weight ? BACKEND_ACTIVE : BACKEND_DRAINING;
	}
}

static int write_services(struct service_tables *t, const struct config *c, const struct ids *ids, uint32_t slot, uint32_t epoch)
{
	struct service_bucket *half = t->keys + slot * SERVICE_BUCKETS;
	int err = 0;

	memset(half, 0, SERVICE_BUCKETS * sizeof(*half));
	for (int i = 0; i < c->n_services && !err; i++) {
		const struct service *s = &c->services[i];
		struct service_key k = write_ring(t->rings, s, ids->ring[i]);

		write_backends(t->backends, s, epoch);
		for (int l = 0; l < s->n_listens && !err; l++) {
			err = key_add(half, &s->listens[l].addr, htobe16(s->listens[l].port), s->listens[l].proto, k);
			if (!err)
				err = key_add(half, &s->listens[l].addr, 0, 0, k);
		}
	}
	return err;
}

/* Clear the tag of the decision in both directions. */
static void forget_tags(struct flow *f, const bool *unused)
{
	(void)unused;
	for (int i = 0; i < 2; i++)
		__atomic_fetch_and(&f->packets[i], FLOW_PACKETS_MASK, __ATOMIC_RELAXED);
}

/* Entries of flows that name a backend slot which now goes to another backend. */
static void forget_backends(struct flow *f, const bool *fresh)
{
	uint64_t had = __atomic_load_n(&f->decision, __ATOMIC_RELAXED);

	if (!fresh[(had >> FLOW_BACKEND_SHIFT) & (MAX_BACKENDS - 1)] || !(had >> FLOW_BACKEND_SHIFT))
		return;
	__atomic_compare_exchange_n(&f->decision, &had, had & ~(0xffffull << FLOW_BACKEND_SHIFT), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static int sweep_flows(void (*visit)(struct flow *f, const bool *fresh), const bool *fresh)
{
	size_t size4, size6;
	struct flow4 *v4 = run_map_memory("flow4", true, &size4);
	struct flow6 *v6 = v4 ? run_map_memory("flow6", true, &size6) : NULL;
	int err = v6 ? 0 : EXIT_FAILED;

	for (size_t i = 0; !err && i < size4 / sizeof(*v4); i++)
		visit(&v4[i].flow, fresh);
	for (size_t i = 0; !err && i < size6 / sizeof(*v6); i++)
		visit(&v6[i].flow, fresh);
	if (v4)
		munmap(v4, size4);
	if (v6)
		munmap(v6, size6);
	return err;
}

static int sweep_backends(const struct ids *ids)
{
	bool *fresh = must(calloc(MAX_BACKENDS, 1));
	int err;

	for (int i = 0; i < ids->n_new_backends; i++)
		fresh[ids->new_backends[i]] = true;
	err = sweep_flows(forget_backends, fresh);
	free(fresh);
	return err;
}

/* Backends that left: their flows choose anew. After the switch, so that the old generation never misses one. */
static void retire_backends(struct backend_entry *table, const struct config *c)
{
	bool *used = must(calloc(MAX_BACKENDS, 1));

	for (int i = 0; i < c->n_services; i++)
		for (int b = 0; b < c->services[i].n_backends; b++)
			used[c->services[i].backends[b].slot] = true;
	for (int b = 1; b < MAX_BACKENDS; b++)
		if (!used[b] && table[b].state != BACKEND_NONE)
			table[b].state = BACKEND_NONE;
	free(used);
}

/* ---- the whole */

/* Counters and buckets of ids that change hands. */
static int begin_ids(const struct config *c, const struct ids *ids)
{
	uint32_t *limited = must(malloc((ids->n_new_rules + 1) * sizeof(*limited)));
	bool *fresh = must(calloc(MAX_RULES, 1));
	int n = 0, err;

	for (int i = 0; i < ids->n_new_rules; i++)
		fresh[ids->new_rules[i]] = true;
	for (int k = 0; k < config_n_chains(c); k++)
		for (int i = 0; i < config_chain(c, k)->n_rules; i++)
			if (config_chain(c, k)->rules[i].limit.rate && fresh[config_chain(c, k)->rules[i].id])
				limited[n++] = config_chain(c, k)->rules[i].id;
	err = fresh_counter("rule_counts", sizeof(struct rule_count), ids->new_rules, ids->n_new_rules) || fresh_limits(limited, n) ||
	      fresh_counter("backend_counts", sizeof(struct backend_count), ids->new_backends, ids->n_new_backends);
	free(limited);
	free(fresh);
	return err ? EXIT_FAILED : 0;
}

static int write_filter(const struct compiled *c, uint32_t slot)
{
	int err = 0;

	for (int i = 0; i < CHAIN_COUNT && !err; i++)
		err = filter_maps_write(slot, i, &c->chain[i]);
	return err;
}

/* The slot, once nobody looks at it. */
static int write_slot(const struct config *c, const struct compiled *compiled, const struct ids *ids, struct service_tables *t, uint32_t slot,
		      uint64_t number)
{
	bool reused = false;
	int err;

	for (int i = 0; i < ids->n_new_backends; i++) {
		reused |= t->backends[ids->new_backends[i]].epoch != 0;
		t->backends[ids->new_backends[i]].state = BACKEND_NONE;	/* an apply that died may have left something */
	}
	err = write_filter(compiled, slot);
	if (!err)
		err = begin_ids(c, ids);
	if (!err && reused)
		err = sweep_backends(ids);
	return err ? err : write_services(t, c, ids, slot, number);
}

static int prepare(struct config *c, const struct config *old, const struct ids *ids, struct service_tables *t, struct grace *grace, uint32_t slot, uint64_t number,
		   bool *full)
{
	struct compiled compiled;
	int err = setstore_assign(c, old);

	if (!err)
		err = compile(&compiled, c);
	if (err)
		return err;
	err = write_text(c, number);
	if (!err)
		err = grace_end(grace);
	if (!err)
		err = write_slot(c, &compiled, ids, t, slot, number);
	*full = compiled_needs_full(&compiled);
	compiled_free(&compiled);
	return err;
}

static int come_into_force(const struct config *c, uint64_t number, uint32_t slot, bool full)
{
	struct merges m;
	int err = set_merge(c, &m);

	if (!err) {
		err = active_switch_rules(number, slot, full);
		if (err)
			set_merge_undo(&m);
	}
	set_merge_free(&m);
	return err;
}

/* What the old generation leaves. Its tables stay where they are for the next one, unless they are large; backends, tags of flows and tables of sets must wait until no
 * program runs that knows it. */
static void tidy(const struct config *c, const struct config *old, struct service_tables *t, uint32_t slot, uint64_t number)
{
	bool round = number % FLOW_GENERATIONS == 0;
	bool waits = round || c->n_services || old->n_services || setstore_has_unused(c);
	struct grace g = {};

	filter_maps_drop_large(slot);
	if (waits && (grace_begin(&g, slot) || grace_end(&g)))
		filter_maps_drop(slot);
	if (round)
		sweep_flows(forget_tags, NULL);
	retire_backends(t->backends, c);
	setstore_drop_unused(c);
	active_forget_texts(number);
}

int generation_replace(struct config *c, const struct config *old)
{
	struct service_tables t = {};
	struct grace grace = {};
	struct ids ids = {};
	uint64_t active, number;
	uint32_t slot;
	bool full;
	int err = active_read(&active);

	if (err)
		return err;
	number = active_generation(active) + 1;
	slot = !active_slot(active);
	err = grace_begin(&grace, slot);
	if (!err)
		err = ids_assign(&ids, old, c);
	if (!err)
		err = tables_open(&t);
	if (!err)
		err = prepare(c, old, &ids, &t, &grace, slot, number, &full);
	if (!err)
		err = come_into_force(c, number, slot, full);
	if (!err)
		tidy(c, old, &t, !slot, number);
	grace_end(&grace);
	tables_close(&t);
	ids_free(&ids);
	return err;
}

int generation_read_whole(struct config *c, uint64_t *number)
{
	int err = generation_read(c, number);

	return err ? err : setstore_load_all(c);
}

int generation_lock(void)
{
	return active_lock();
}

int generation_append(const char *lines)
{
	uint64_t number;
	FILE *f;
	int err = generation_number(&number);

	if (err || !*lines)
		return err;
	f = fopen(active_text(number), "ae");
	if (!f)
		return fail(EXIT_FAILED, "%s: %s", active_text(number), strerror(errno));
	fputs(lines, f);
	return fclose(f) ? fail(EXIT_FAILED, "%s: %s", active_text(number), strerror(errno)) : 0;
}

int generation_renew(void)
{
	char old[PATH_MAX];
	uint64_t active, number;
	struct grace g = {};
	int err = active_lock();

	if (!err)
		err = active_read(&active);
	if (err)
		return err;
	number = active_generation(active) + 1;
	snprintf(old, sizeof(old), "%s", active_text(number - 1));
	if (link(old, active_fresh_text(number)))
		return fail(EXIT_FAILED, "%s: %s", active_text(number), strerror(errno));
	err = active_switch(number, active_slot(active));
	if (!err && number % FLOW_GENERATIONS == 0) {
		err = grace_begin(&g, active_slot(active)) || grace_end(&g) ? EXIT_FAILED : 0;
		sweep_flows(forget_tags, NULL);
	}
	if (!err)
		unlink(old);
	return err;
}

int generation_apply(struct config *c)
{
	struct config old = {};
	uint64_t active;
	int err = active_lock();

	if (!err)
		err = active_read(&active);
	if (err)
		return err;
	if (read_number(&old, active_generation(active)))
		fail_clear();	/* its text is lost: ids start anew */
	err = generation_replace(c, &old);
	config_free(&old);
	return err;
}
