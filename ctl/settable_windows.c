/* SPDX-License-Identifier: GPL-2.0-only */
/* settable_windows: set tables that are mapped as they are asked for. The kernel enters each page of a BPF map into the page table when it is mapped: 16 MiB take longer
 * than all else that one element's change does. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "settable.h"

enum { WINDOW = 1 << 12, SINGLE = 256 };		/* bytes; how many before all the rest is mapped at once */

struct windows {
	int fd;
	uint32_t n;
	uint64_t have[];	/* bitmap */
};

static uint32_t window_bytes(const struct settable *t)
{
	return t->size < WINDOW ? t->size : WINDOW;
}

static int map_at(const struct settable *t, uint64_t from, uint64_t bytes)
{
	return mmap((char *)t->m + from, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, t->windows->fd, from) == MAP_FAILED ? -1 : 0;
}

/* There is no going on without the memory. */
static void map_or_die(const struct settable *t, uint64_t from, uint64_t bytes)
{
	must(map_at(t, from, bytes) ? NULL : t->m);
}

void settable_whole(const struct settable *t)
{
	if (!t->windows || t->windows->n > SINGLE)
		return;
	t->windows->n = SINGLE + 1;
	map_or_die(t, 0, t->size);
}

static void reach(const struct settable *t, uint32_t window)
{
	struct windows *w = t->windows;

	if (w->n > SINGLE || w->have[window >> 6] >> (window & 63) & 1)
		return;
	if (w->n == SINGLE) {
		settable_whole(t);
		return;
	}
	w->n++;
	w->have[window >> 6] |= 1ull << (window & 63);
	map_or_die(t, (uint64_t)window * WINDOW, window_bytes(t));
}

void *settable_words(const struct settable *t, uint64_t place, uint32_t n)
{
	if (t->windows)
		for (uint64_t i = place * 8 / WINDOW; i <= (place + n - 1) * 8 / WINDOW; i++)
			reach(t, i);
	return (uint64_t *)t->m + place;
}

int settable_map(struct settable *t, int fd)
{
	t->m = mmap(NULL, t->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->m == MAP_FAILED) {
		t->m = NULL;
		return -1;
	}
	t->windows = must(calloc(1, sizeof(*t->windows) + (t->size / WINDOW / 64 + 1) * sizeof(uint64_t)));
	t->windows->fd = dup(fd);
	if (t->windows->fd >= 0 && !map_at(t, 0, window_bytes(t))) {
		t->windows->n = t->windows->have[0] = 1;
		return 0;
	}
	settable_unmap(t);
	return -1;
}

void settable_unmap(struct settable *t)
{
	munmap(t->m, t->size);
	if (t->windows && t->windows->fd >= 0)
		close(t->windows->fd);
	free(t->windows);
	*t = (struct settable){ .size = t->size };
}
