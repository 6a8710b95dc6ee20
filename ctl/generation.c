/* SPDX-License-Identifier: GPL-2.0-only */
/* generation: ids, tables of the slot not in force, the switch, the grace period. The text of generation N is config/N below the run
 * directory; its last lines, comments to the parser, keep the ids: "#ids rule ingress 3 4", "#ids backend web 1 2", "#ids ring web 0". */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../lib/run.h"
#include "../maps/datapath.h"
#include "../maps/flow.h"
#include "../maps/limit.h"
#include "../maps/service.h"
#include "compile.h"
#include "generation.h"
#include "ids.h"
#include "ring.h"
#include "setstore.h"

static bool locked;

static const char *text_path(uint64_t number)
{
	return run_path("config/%llu", (unsigned long long)number);
}

static int read_active(uint64_t *active)
{
	int fd = run_map("control", false), err;
	struct control c;
	__u32 zero = 0;

	if (fd < 0)
		return EXIT_NOTHING;
	err = bpf_map_lookup_elem(fd, &zero, &c);
	close(fd);
	*active = c.active;
	return err ? fail(EXIT_FAILED, "map control: %s", strerror(errno)) : 0;
}

static int read_number(struct config *c, uint64_t number)
{
	int err;

	memset(c, 0, sizeof(*c));
	if (!number)
		return 0;
	if (access(text_path(number), R_OK))
		return fail(EXIT_FAILED, "%s: %s: the text of the generation in force is missing; apply a configuration file to mend it",
			    text_path(number), strerror(errno));
	err = config_parse_file(c, text_path(number));
	return err ? err : ids_read(c, text_path(number));
}

int generation_read(struct config *c, uint64_t *number)
{
	uint64_t active;
	int err = read_active(&active);

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
	int err = read_active(&active);

	*number = err ? 0 : active_generation(active);
	return err;
}

static int lock(void)
{
	int err = locked ? 0 : run_lock();

	locked |= !err;
	return err;
}

int generation_edit(struct config *c)
{
	int err;

	memset(c, 0, sizeof(*c));
	err = lock();
	return err ? err : generation_read(c, NULL);
}

/* ---- text */

static int write_text(const struct config *c, uint64_t number)
{
	const char *path = text_path(number);
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

/* Texts of generations that are over. */
static void forget_texts(uint64_t keep)
{
	char dir[PATH_MAX], path[PATH_MAX + 32];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s", run_path("config"));
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strtoull(e->d_name, NULL, 10) == keep)
			continue;
		snprintf(path, sizeof(path), "%s/%.20s", dir, e->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
}

/* ---- filter */

static const struct { const char *name; uint32_t size; } filter_maps[] = {
	{ "filter_small", FILTER_SMALL }, { "filter_medium", FILTER_MEDIUM }, { "filter_large", FILTER_LARGE },
};

/* A fresh inner map with a chain's words. fd, or -1. */
static int make_inner(const struct memory *w)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	size_t size = memory_size(w);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "filter_words", sizeof(__u32), size, 1, &opts);
	void *p;

	if (fd < 0)
		return -1;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return -1;
	}
	memcpy(p, w->v, memory_bytes(w));
	munmap(p, size);
	return fd;
}

static int write_chain(const struct memory *w, __u32 key)
{
	uint32_t size = memory_size(w);
	int inner, outer, err = 0, i = 0;

	while (filter_maps[i].size != size)
		i++;
	outer = run_map(filter_maps[i].name, true);
	if (outer < 0)
		return EXIT_FAILED;
	inner = make_inner(w);
	if (inner < 0)
		err = fail(EXIT_FAILED, "a table of %u KiB for the rules: %s", size >> 10, strerror(errno));
	else if (bpf_map_update_elem(outer, &key, &inner, 0))
		err = fail(EXIT_FAILED, "writing the rules' tables: %s", strerror(errno));
	if (inner >= 0)
		close(inner);
	close(outer);
	return err;
}

static int write_filter(const struct compiled *c, __u32 slot)
{
	int err = 0;

	for (int i = 0; i < CHAIN_COUNT && !err; i++)
		err = write_chain(&c->chain[i], slot << 1 | i);
	return err;
}

/* Drop the inner maps of a slot. Deleting from a map of maps waits until no program runs that could have seen it, our grace period; it does so also where
 * nothing is to be deleted, so look first. */
static void drop_filter(__u32 slot)
{
	for (int i = 0; i < 3; i++) {
		int fd = run_map(filter_maps[i].name, true);

		if (fd < 0)
			continue;
		for (__u32 chain = 0; chain < CHAIN_COUNT; chain++) {
			__u32 key = slot << 1 | chain, id;

			if (!bpf_map_lookup_elem(fd, &key, &id))
				bpf_map_delete_elem(fd, &key);
		}
		close(fd);
	}
}

/* ---- counters of ids that change hands */

static int zero_counter(const char *map, size_t size, const uint32_t *keys, int n)
{
	int cpus = libbpf_num_possible_cpus(), fd = n ? run_map(map, true) : -1, err = 0;
	void *zero;

	if (!n)
		return 0;
	if (fd < 0 || cpus < 1)
		return EXIT_FAILED;
	zero = must(calloc(cpus, size));
	for (int i = 0; i < n && !err; i++)
		if (bpf_map_update_elem(fd, &keys[i], zero, 0))
			err = fail(EXIT_FAILED, "map %s: %s", map, strerror(errno));
	free(zero);
	close(fd);
	return err;
}

/* Entries per source and the like that are of one of these ids. */
static int forget_keys(const uint32_t *ids, int n)
{
	bool *fresh = must(calloc(MAX_RULES, 1));
	size_t size;
	struct limit_entry *e = run_map_memory("limit_keys", true, &size);

	for (int i = 0; i < n; i++)
		fresh[ids[i]] = true;
	for (size_t i = 0; e && i < size / sizeof(*e); i++)
		if (e[i].key && fresh[e[i].key & RULE_ID_MASK & (MAX_RULES - 1)])
			e[i].key = e[i].full_at = 0;
	if (e)
		munmap(e, size);
	free(fresh);
	return e ? 0 : EXIT_FAILED;
}

/* The buckets of rules' limits: full again. */
static int zero_buckets(const uint32_t *keys, int n)
{
	int fd = n ? run_map("limit_rules", true) : -1, err = 0;
	uint64_t zero = 0;

	if (!n)
		return 0;
	if (fd < 0)
		return EXIT_FAILED;
	for (int i = 0; i < n && !err; i++)
		if (bpf_map_update_elem(fd, &keys[i], &zero, 0))
			err = fail(EXIT_FAILED, "map limit_rules: %s", strerror(errno));
	close(fd);
	return err ? err : forget_keys(keys, n);
}

/* ---- services */

struct service_tables {
	struct service_bucket *keys;
	struct service_entry *services;
	struct ring_chunk *rings;
	struct backend_entry *backends;
	size_t keys_size, services_size, rings_size, backends_size;
};

static int tables_open(struct service_tables *t)
{
	memset(t, 0, sizeof(*t));
	t->keys = run_map_memory("service_keys", true, &t->keys_size);
	t->services = t->keys ? run_map_memory("services", true, &t->services_size) : NULL;
	t->rings = t->services ? run_map_memory("rings", true, &t->rings_size) : NULL;
	t->backends = t->rings ? run_map_memory("backends", true, &t->backends_size) : NULL;
	return t->backends ? 0 : EXIT_FAILED;
}

static void tables_close(struct service_tables *t)
{
	if (t->keys)
		munmap(t->keys, t->keys_size);
	if (t->services)
		munmap(t->services, t->services_size);
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

/* Put a key in its bucket or the neighbour's; a key that is there already stays. */
static int key_add(struct service_bucket *half, const struct address *a, __be16 port, uint8_t proto, uint32_t service)
{
	struct service_key k = { .port_proto = (__u32)port << 16 | proto << 8 | 1, .service = service };
	uint32_t b;

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

static void write_ring(struct ring_chunk *rings, struct service_entry *e, const struct service *s, uint32_t base)
{
	uint32_t size = ring_size(s->n_backends);
	uint16_t *ring = must(malloc(size * sizeof(*ring)));
	int takers = ring_build(ring, size, s->backends, s->n_backends);

	e->chunk = base;
	e->mask = size - 1;
	e->empty = !takers;
	for (uint32_t i = 0; takers && i < size; i++)
		rings[base + i / RING_CHUNK].slot[i % RING_CHUNK] = s->backends[ring[i]].slot;
	free(ring);
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

		write_ring(t->rings, &t->services[slot * MAX_SERVICES + i], s, ids->ring[i]);
		write_backends(t->backends, s, epoch);
		for (int l = 0; l < s->n_listens && !err; l++) {
			err = key_add(half, &s->listens[l].addr, htobe16(s->listens[l].port), s->listens[l].proto, i);
			if (!err)
				err = key_add(half, &s->listens[l].addr, 0, 0, i);
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

static int switch_to(uint64_t active)
{
	size_t size;
	struct control *c = run_map_memory("control", true, &size);

	if (!c)
		return EXIT_FAILED;
	__atomic_store_n(&c->active, active, __ATOMIC_SEQ_CST);
	munmap(c, size);
	return 0;
}

static int prepare(struct config *c, const struct config *old, const struct ids *ids, struct service_tables *t, uint32_t slot, uint64_t number)
{
	struct compiled compiled;
	bool reused = false;
	int err = setstore_assign(c, old);

	if (!err)
		err = compile(&compiled, c);

	if (err)
		return err;
	for (int i = 0; i < ids->n_new_backends; i++) {
		reused |= t->backends[ids->new_backends[i]].epoch != 0;
		t->backends[ids->new_backends[i]].state = BACKEND_NONE;	/* an apply that died may have left something */
	}
	drop_filter(slot);	/* what an apply that died may have left */
	err = write_filter(&compiled, slot);
	compiled_free(&compiled);
	if (!err)
		err = zero_counter("rule_counts", sizeof(struct rule_count), ids->new_rules, ids->n_new_rules) ||
		      zero_buckets(ids->new_rules, ids->n_new_rules);
	if (!err)
		err = zero_counter("backend_counts", sizeof(struct backend_count), ids->new_backends, ids->n_new_backends);
	if (!err && reused)
		err = sweep_backends(ids);
	if (!err)
		err = write_services(t, c, ids, slot, number);
	return err ? err : write_text(c, number);
}

int generation_read_whole(struct config *c, uint64_t *number)
{
	int err = generation_read(c, number);

	return err ? err : setstore_load_all(c);
}

int generation_lock(void)
{
	return lock();
}

int generation_append(const char *lines)
{
	uint64_t number;
	FILE *f;
	int err = generation_number(&number);

	if (err || !*lines)
		return err;
	f = fopen(text_path(number), "ae");
	if (!f)
		return fail(EXIT_FAILED, "%s: %s", text_path(number), strerror(errno));
	fputs(lines, f);
	return fclose(f) ? fail(EXIT_FAILED, "%s: %s", text_path(number), strerror(errno)) : 0;
}

int generation_renew(void)
{
	char old[PATH_MAX];
	uint64_t active, number;
	int err = lock();

	if (!err)
		err = read_active(&active);
	if (err)
		return err;
	number = active_generation(active) + 1;
	snprintf(old, sizeof(old), "%s", text_path(number - 1));
	if (link(old, text_path(number)) && errno != EEXIST)
		return fail(EXIT_FAILED, "%s: %s", text_path(number), strerror(errno));
	err = switch_to(number << 8 | active_slot(active));
	if (!err && number % FLOW_GENERATIONS == 0)
		sweep_flows(forget_tags, NULL);
	if (!err)
		unlink(old);
	return err;
}

int generation_apply(struct config *c)
{
	struct service_tables t = {};
	struct config old = {};
	struct ids ids = {};
	uint64_t active, number;
	uint32_t slot;
	int err = lock();

	if (!err)
		err = read_active(&active);
	if (err)
		return err;
	if (read_number(&old, active_generation(active)))
		fail_clear();	/* its text is lost: ids start anew */
	number = active_generation(active) + 1;
	slot = !active_slot(active);
	err = ids_assign(&ids, &old, c);
	if (!err)
		err = tables_open(&t);
	if (!err)
		err = prepare(c, &old, &ids, &t, slot, number);
	if (!err)
		err = switch_to(number << 8 | slot);
	if (!err) {
		drop_filter(!slot);
		setstore_drop_unused(c);
		if (number % FLOW_GENERATIONS == 0)
			sweep_flows(forget_tags, NULL);
		retire_backends(t.backends, c);
		forget_texts(number);
	}
	tables_close(&t);
	ids_free(&ids);
	config_free(&old);
	return err;
}
