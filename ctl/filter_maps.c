/* SPDX-License-Identifier: GPL-2.0-only */
/* filter_maps: see filter_maps.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/run.h"
#include "../maps/rule.h"
#include "filter_maps.h"

enum { SIZES = 3 };
static const struct { const char *name; uint32_t size; } sizes[SIZES] = {
	{ "filter_small", FILTER_SMALL }, { "filter_medium", FILTER_MEDIUM }, { "filter_large", FILTER_LARGE },
};

/* The inner map of an outer one, as an fd; -1: there is none, -2: there is, and this process may not have it. */
static int inner_of(int outer, uint32_t key)
{
	uint32_t id;
	int fd;

	if (bpf_map_lookup_elem(outer, &key, &id))
		return -1;
	fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? -2 : fd;
}

/* Deleting from a map of maps waits until no program runs that could have seen what was there; it does so also where nothing was, so look first. */
static void drop(int outer, uint32_t key)
{
	uint32_t id;

	if (!bpf_map_lookup_elem(outer, &key, &id))
		bpf_map_delete_elem(outer, &key);
}

static void drop_from(uint32_t slot, int i)
{
	int outer = run_map(sizes[i].name, true);

	if (outer < 0)
		return;
	for (uint32_t chain = 0; chain < CHAIN_COUNT; chain++)
		drop(outer, slot << 1 | chain);
	close(outer);
}

void filter_maps_drop(uint32_t slot)
{
	for (int i = 0; i < SIZES; i++)
		drop_from(slot, i);
}

void filter_maps_drop_large(uint32_t slot)
{
	drop_from(slot, SIZES - 1);
}

/* ---- grace periods */

/* An entry is given the map it has: nothing changes, and the call returns as after any change. */
static void *wait_for_programs(void *context)
{
	struct grace *g = context;

	g->error = bpf_map_update_elem(g->outer, &g->key, &g->inner, 0) ? errno : 0;
	return NULL;
}

/* The first map found in the slot. Where there is none, it was dropped, and that has waited. */
static int find_map(struct grace *g, uint32_t slot)
{
	for (int i = 0; i < SIZES; i++) {
		g->outer = run_map(sizes[i].name, true);
		if (g->outer < 0)
			return EXIT_FAILED;
		for (uint32_t chain = 0; chain < CHAIN_COUNT; chain++) {
			g->key = slot << 1 | chain;
			g->inner = inner_of(g->outer, g->key);
			if (g->inner != -1)
				return 0;
		}
		close(g->outer);
	}
	return 0;
}

int grace_begin(struct grace *g, uint32_t slot)
{
	int err;

	*g = (struct grace){ .inner = -1 };
	err = find_map(g, slot);
	if (err || g->inner == -1)
		return err;
	if (g->inner == -2) {		/* without CAP_SYS_ADMIN */
		close(g->outer);
		filter_maps_drop(slot);
		return 0;
	}
	g->running = !pthread_create(&g->thread, NULL, wait_for_programs, g);
	if (g->running)
		return 0;
	wait_for_programs(g);
	return grace_end(g);
}

int grace_end(struct grace *g)
{
	int error = 0;

	if (g->running)
		pthread_join(g->thread, NULL);
	if (g->inner >= 0) {
		error = g->error;
		close(g->inner);
		close(g->outer);
	}
	*g = (struct grace){ .inner = -1 };
	return error ? fail(EXIT_FAILED, "waiting for packets under way: %s", strerror(error)) : 0;
}

/* ---- a chain's memory */

static int copy_words(int inner, const struct memory *w)
{
	size_t bytes = memory_bytes(w);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, inner, 0);

	if (p == MAP_FAILED)
		return -1;
	memcpy(p, w->v, bytes);
	return munmap(p, bytes);
}

static int make_inner(int outer, uint32_t key, const struct memory *w)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	uint32_t size = memory_size(w);
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "filter_words", sizeof(__u32), size, 1, &opts), err = 0;

	if (inner < 0 || copy_words(inner, w))
		err = fail(EXIT_FAILED, "a table of %u KiB for the rules: %s", size >> 10, strerror(errno));
	else if (bpf_map_update_elem(outer, &key, &inner, 0))
		err = fail(EXIT_FAILED, "writing the rules' tables: %s", strerror(errno));
	if (inner >= 0)
		close(inner);
	return err;
}

static int write_one(int outer, uint32_t key, const struct memory *w)
{
	int inner = inner_of(outer, key), err;

	if (inner < 0)
		return make_inner(outer, key, w);
	err = copy_words(inner, w) ? fail(EXIT_FAILED, "writing the rules' tables: %s", strerror(errno)) : 0;
	close(inner);
	return err;
}

int filter_maps_write(uint32_t slot, int chain, const struct memory *w)
{
	uint32_t key = slot << 1 | chain;
	int err = 0;

	for (int i = 0; i < SIZES && !err; i++) {
		int outer = run_map(sizes[i].name, true);

		if (outer < 0)
			return EXIT_FAILED;
		if (sizes[i].size == memory_size(w))
			err = write_one(outer, key, w);
		else
			drop(outer, key);
		close(outer);
	}
	return err;
}

static const uint64_t *read_one(int inner, size_t *size)
{
	const struct filter_chain *c = mmap(NULL, sizeof(*c), PROT_READ, MAP_SHARED, inner, 0);
	void *p;

	if (c == MAP_FAILED)
		return NULL;
	*size = c->bytes;
	munmap((void *)c, sizeof(*c));
	p = mmap(NULL, *size, PROT_READ, MAP_SHARED, inner, 0);
	return p == MAP_FAILED ? NULL : p;
}

const uint64_t *filter_maps_read(uint32_t slot, int chain, size_t *size)
{
	const uint64_t *words = NULL;

	for (int i = 0; i < SIZES && !words; i++) {
		int outer = run_map(sizes[i].name, true), inner = outer < 0 ? -1 : inner_of(outer, slot << 1 | chain);

		if (inner >= 0) {
			words = read_one(inner, size);
			close(inner);
		}
		if (outer >= 0)
			close(outer);
	}
	return words;
}
