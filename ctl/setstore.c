/* SPDX-License-Identifier: GPL-2.0-only */
/* setstore: see setstore.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include "../lib/run.h"
#include "setstore.h"

#define NAME(name, bits) #name,
static const char *const class_map[SET_CLASSES] = { SET_SIZES(NAME) };
#undef NAME

/* ---- slots */

static int slot_word(uint32_t slot, uint64_t *word)
{
	int fd = run_map("set_slots", false), err = 0;

	if (fd < 0)
		return EXIT_FAILED;
	if (bpf_map_lookup_elem(fd, &slot, word))
		err = fail(EXIT_FAILED, "map set_slots: %s", strerror(errno));
	close(fd);
	return err;
}

static int put_word(uint32_t slot, uint64_t word)
{
	size_t size;
	uint64_t *words = run_map_memory("set_slots", true, &size);

	if (!words)
		return EXIT_FAILED;
	__atomic_store_n(&words[slot], word, __ATOMIC_SEQ_CST);
	munmap(words, size);
	return 0;
}

static int map_inner(int fd, struct settable *t)
{
	if (!settable_map(t, fd))
		return 0;
	return fail(EXIT_FAILED, "mapping a set's table of %u KiB: %s", t->size >> 10, strerror(errno));
}

static int open_word(uint32_t slot, uint64_t word, struct settable *t)
{
	int class = SET_SLOT_CLASS(word), outer = run_map(class_map[class], false), inner, err;
	__u32 key = slot << 1 | SET_SLOT_COPY(word), id;

	if (outer < 0)
		return EXIT_FAILED;
	inner = bpf_map_lookup_elem(outer, &key, &id) ? -1 : bpf_map_get_fd_by_id(id);
	close(outer);
	if (inner < 0)
		return fail(EXIT_FAILED, "the table of set slot %u: %s", slot, strerror(errno));
	t->size = settable_size(class);
	err = map_inner(inner, t);
	close(inner);
	return err;
}

int setstore_open(uint32_t slot, struct settable *t)
{
	uint64_t word;
	int err = slot_word(slot, &word);

	*t = (struct settable){ 0 };
	return err || !word ? err : open_word(slot, word, t);
}

void setstore_close(struct settable *t)
{
	if (t->m)
		settable_unmap(t);
	t->m = NULL;
}

int setstore_find(const char *name, uint32_t *slot, struct settable *t)
{
	size_t size;
	uint64_t *words = run_map_memory("set_slots", false, &size);
	int err = words ? 0 : EXIT_FAILED;

	*t = (struct settable){ 0 };
	for (*slot = 0; words && !err && *slot < MAX_SETS; ++*slot) {
		if (!words[*slot])
			continue;
		err = open_word(*slot, words[*slot], t);
		if (!err && !strcmp(settable_head(t)->name, name))
			break;
		setstore_close(t);
	}
	if (words)
		munmap(words, size);
	return err;
}

/* ---- tables */

static int fill(struct settable *t, int inner, const struct set *s, int more)
{
	uint64_t seed;
	int err = map_inner(inner, t);

	if (err)
		return err;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return fail(EXIT_FAILED, "no random numbers: %s", strerror(errno));
	settable_init(t, s, more, seed);
	if (settable_fill(t, s, settable_now()))
		return fail(EXIT_FAILED, "set %s: its elements are prefixes of more than %d lengths, or do not fit: a file of all of them can be applied", s->name,
			    SET_LENGTHS);
	return 0;
}

/* fd of a fresh inner map, or -1. */
static int make(const struct set *s, int class, int more)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct settable t = { .size = settable_size(class) };
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "set_table", sizeof(__u32), t.size, 1, &opts), err;

	if (fd < 0) {
		fail(EXIT_FAILED, "a table of %u KiB for set %s: %s", t.size >> 10, s->name, strerror(errno));
		return -1;
	}
	err = fill(&t, fd, s, more);
	setstore_close(&t);
	if (!err)
		return fd;
	close(fd);
	return -1;
}

/* By chance there may be no room in a table of the right size, of a million elements one time in nine: then by another seed, in one of twice the size if
 * there is. */
static int make_fitting(const struct set *s, int more, int *class)
{
	int fd = -1;

	for (int tries = 0; fd < 0 && tries < 4; tries++) {
		int larger = settable_class(s, more << tries);

		if (tries)
			fail_clear();
		fd = make(s, larger < 0 ? *class : larger, larger < 0 ? more : more << tries);
		*class = larger < 0 ? *class : larger;
	}
	return fd;
}

static void drop_copy(uint32_t slot, uint32_t copy, int class)
{
	int outer = run_map(class_map[class], true);
	__u32 key = slot << 1 | copy, id;

	if (outer >= 0 && !bpf_map_lookup_elem(outer, &key, &id))	/* deleting waits for a grace period */
		bpf_map_delete_elem(outer, &key);
	if (outer >= 0)
		close(outer);
}

int setstore_write(const struct set *s, uint32_t slot, int more)
{
	int class = settable_class(s, more), inner, outer, err;
	uint64_t had = 0, copy;
	__u32 key;

	if (class < 0)
		return fail(EXIT_FAILED, "set %s has more elements than the largest table (%u MiB) holds", s->name, settable_size(SET_CLASSES - 1) >> 20);
	err = slot_word(slot, &had);
	if (err)
		return err;
	inner = make_fitting(s, more, &class);
	if (inner < 0)
		return EXIT_FAILED;
	copy = had ? !SET_SLOT_COPY(had) : 0;
	key = slot << 1 | copy;
	outer = run_map(class_map[class], true);
	if (outer < 0 || bpf_map_update_elem(outer, &key, &inner, 0))
		err = fail(EXIT_FAILED, "writing the table of set %s: %s", s->name, strerror(errno));
	if (!err)
		err = put_word(slot, SET_SLOT(slot, copy, class, settable_kind(s)));
	if (!err && had) {	/* putting it there once more waits for the programs that still look for the other copy */
		bpf_map_update_elem(outer, &key, &inner, 0);
		drop_copy(slot, SET_SLOT_COPY(had), SET_SLOT_CLASS(had));
	}
	close(inner);
	if (outer >= 0)
		close(outer);
	return err;
}

void setstore_drop(uint32_t slot)
{
	uint64_t had = 0;

	if (slot_word(slot, &had) || !had)
		return;
	put_word(slot, 0);
	for (int class = 0; class < SET_CLASSES; class++)
		for (uint32_t copy = 0; copy < 2; copy++)
			drop_copy(slot, copy, class);
}

/* ---- elements */

struct set setstore_head(const struct settable *t)
{
	const struct set_table *h = t->m;
	struct set s = { .name = (char *)h->name, .n_types = h->n_types, .interval = h->interval, .slot = 1 };

	for (int i = 0; i < h->n_types; i++)
		s.types[i] = h->type[i];
	s.type = s.types[0];
	s.noted = h->flags & SET_NOTED;
	s.dynamic = h->flags & SET_DYNAMIC;
	s.counter = h->flags & SET_COUNTS;
	s.timed = h->flags & SET_TIMES;
	s.timeout_ms = ms_of_ticks(h->timeout);
	s.commented = h->flags & SET_COMMENTED;
	s.constant = h->flags & SET_CONSTANT;
	s.size = h->limit == ~0u ? 0 : h->limit;
	return s;
}

static int by_tuple(const void *a, const void *b)
{
	return tuple_compare(a, b);
}

static struct value_tuple *element_of(struct value_tuples *t, const struct value_tuple *e)
{
	return t->n ? bsearch(e, t->v, t->n, sizeof(*t->v), by_tuple) : NULL;
}

/* Comments are kept beside the table, in the text of the generation: one a line, later ones hold. */
static int read_comments(struct set *s)
{
	char *text = s->notes ? must(strdup(s->notes)) : NULL, *rest = text, *line;
	int err = 0;

	while (!err && (line = strsep(&rest, "\n")) && *line) {
		struct value_tuples one;

		err = config_parse_tuples(s, &one, NULL, line + 4);
		for (int i = 0; !err && i < one.n; i++) {
			struct value_tuple *e = element_of(&s->tuples, &one.v[i]);

			if (!e)
				continue;
			free(e->comment);
			e->comment = one.v[i].comment;
			one.v[i].comment = NULL;
		}
		tuples_free(&one);
	}
	free(text);
	return err;
}

static void list(const struct settable *t, struct set *s)
{
	if (settable_head(t)->kind == SET_ADDRESS4)
		settable_list4(t, &s->elements);
	else if (settable_head(t)->kind == SET_ADDRESS6)
		settable_list6(t, &s->elements);
	else
		settable_list(t, &s->tuples, settable_now());
}

int setstore_load(struct set *s)
{
	struct settable t;
	int err;

	if (!s->slot)
		return 0;
	err = setstore_open(s->slot - 1, &t);
	if (!err && t.m)
		list(&t, s);
	setstore_close(&t);
	if (!err)
		err = read_comments(s);
	s->slot = 0;
	return err;
}

int setstore_load_all(struct config *c)
{
	int err = 0;

	for (int i = 0; i < c->n_sets && !err; i++)
		err = setstore_load(&c->sets[i]);
	return err;
}

/* ---- a new configuration */

static bool same_types(const struct set *a, const struct set *b)
{
	return a->n_types == b->n_types && !memcmp(a->types, b->types, a->n_types * sizeof(*a->types)) && a->interval == b->interval;
}

static bool same_table(const struct set *a, const struct set *b)
{
	return same_types(a, b) && a->dynamic == b->dynamic && a->timed == b->timed && a->counter == b->counter && a->size == b->size &&
	       a->timeout_ms == b->timeout_ms && a->noted == b->noted;
}

/* Counters of elements go on; elements that rules have added stay. */
static int carry_over(struct set *s, const struct set *was)
{
	struct set old = *was;
	int err, n = s->tuples.n;

	old.elements = (struct spans){ 0 };
	old.tuples = (struct value_tuples){ 0 };
	err = setstore_load(&old);
	for (int i = 0; i < old.tuples.n && !err; i++) {
		struct value_tuples sorted = { s->tuples.v, n };
		struct value_tuple *o = &old.tuples.v[i], *e = element_of(&sorted, o);

		if (e && !e->packets && !e->bytes) {
			e->packets = o->packets;
			e->bytes = o->bytes;
		} else if (!e && s->dynamic) {
			s->tuples.v = array_room(s->tuples.v, s->tuples.n, sizeof(*s->tuples.v));
			s->tuples.v[s->tuples.n++] = *o;
			o->comment = NULL;
		}
	}
	tuples_free(&old.tuples);
	spans_free(&old.elements);
	tuples_normalise(&s->tuples, s->n_types);
	return err;
}

static int assign(struct set *s, const struct set *was, bool *used)
{
	uint32_t slot = 0;
	int err = 0;

	if (was && was->slot && s->dynamic && same_table(s, was)) {
		s->slot = was->slot;
		s->kept = true;
		return 0;
	}
	if (was && was->slot && s->noted && was->noted && same_types(s, was))
		err = carry_over(s, was);
	while (slot < MAX_SETS && used[slot])
		slot++;
	if (slot == MAX_SETS)
		return fail(EXIT_FAILED, "more than %d sets that are large or change by themselves, in the old and the new generation together", MAX_SETS);
	used[slot] = true;
	setstore_drop(slot);	/* what an apply that died may have left */
	if (!err)
		err = setstore_write(s, slot, 1);
	s->slot = slot + 1;
	return err;
}

int setstore_assign(struct config *c, const struct config *old)
{
	bool used[MAX_SETS] = { false };
	int err = 0;

	for (int i = 0; i < old->n_sets; i++)
		if (old->sets[i].slot)
			used[old->sets[i].slot - 1] = true;
	for (int i = 0; i < c->n_sets && !err; i++) {
		set_measure(&c->sets[i]);
		if (set_is_live(&c->sets[i]) && !c->sets[i].slot)
			err = assign(&c->sets[i], config_set(old, c->sets[i].name), used);
	}
	return err;
}

static bool is_used(const struct config *c, uint32_t slot)
{
	for (int i = 0; i < c->n_sets; i++)
		if (c->sets[i].slot == slot + 1)
			return true;
	return false;
}

bool setstore_has_unused(const struct config *c)
{
	uint64_t word = 0;
	bool any = false;

	for (uint32_t slot = 0; slot < MAX_SETS && !any; slot++)
		any = !is_used(c, slot) && !slot_word(slot, &word) && word;
	return any;
}

void setstore_drop_unused(const struct config *c)
{
	for (uint32_t slot = 0; slot < MAX_SETS; slot++)
		if (!is_used(c, slot))
			setstore_drop(slot);
}
