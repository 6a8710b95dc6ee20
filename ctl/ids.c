/* SPDX-License-Identifier: GPL-2.0-only */
/* ids: match new against old by content, hand out what is free, write and read them with the text of a generation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../maps/rule.h"
#include "../maps/service.h"
#include "ids.h"
#include "ring.h"

/* ---- rules: the nth rule of a chain with the same text is the same rule */

struct rule_ref {
	const char *text;	/* chain and rule */
	size_t length;
	uint64_t hash;
	struct rule *rule;
	int next;		/* of old ones: the next with the same text, -1: none */
	bool taken;		/* and was the last */
};

struct rule_refs {
	struct rule_ref *v;
	int n;
	char *text;		/* all of them */
};

/* FNV-1a's mixing, a word at a time */
static uint64_t text_hash(const char *s, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull, w;

	for (; n >= sizeof(w); s += sizeof(w), n -= sizeof(w)) {
		memcpy(&w, s, sizeof(w));
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	for (; n; s++, n--)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ull;
	return h ^ h >> 29;
}

static bool same_rule(const struct rule_ref *a, const struct rule_ref *b)
{
	return a->hash == b->hash && a->length == b->length && !memcmp(a->text, b->text, a->length);
}

static void print_refs(struct rule_refs *r, FILE *f, const struct config *c)
{
	for (int k = 0; k < config_n_chains(c); k++) {
		struct chain *chain = config_chain(c, k);

		for (int i = 0; i < chain->n_rules; i++) {
			fprintf(f, "%s ", config_chain_name(c, k));
			rule_print(f, &chain->rules[i]);
			fputc('\0', f);
			r->v = array_room(r->v, r->n, sizeof(*r->v));
			r->v[r->n++] = (struct rule_ref){ .rule = &chain->rules[i], .next = -1 };
		}
	}
}

static struct rule_refs rule_refs(const struct config *c)
{
	struct rule_refs r = {};
	size_t size;
	FILE *f = must(open_memstream(&r.text, &size));
	const char *text;

	print_refs(&r, f, c);
	fclose(f);
	text = r.text;
	for (int i = 0; i < r.n; i++, text += strlen(text) + 1) {
		r.v[i].text = text;
		r.v[i].length = strlen(text);
		r.v[i].hash = text_hash(text, r.v[i].length);
	}
	return r;
}

static void rule_refs_free(struct rule_refs *r)
{
	free(r->v);
	free(r->text);
}

/* Where the first of the old rules with this text stands, or room for it: 1 + its number. */
static int *old_slot(const struct rule_refs *was, int *slots, uint32_t size, const struct rule_ref *r)
{
	uint32_t i = r->hash & (size - 1);

	while (slots[i] && !same_rule(&was->v[slots[i] - 1], r))
		i = (i + 1) & (size - 1);
	return &slots[i];
}

/* The new rules take the ids of the old, those of one text in their order. */
static void inherit(const struct rule_refs *was, const struct rule_refs *is)
{
	uint32_t size = 64;
	int *slots;

	while (size < 2u * was->n)
		size *= 2;
	slots = must(calloc(size, sizeof(*slots)));
	for (int i = was->n; i--;) {	/* backwards: the first comes to stand in front */
		int *slot = old_slot(was, slots, size, &was->v[i]);

		was->v[i].next = *slot - 1;
		*slot = i + 1;
	}
	for (int i = 0; i < is->n; i++) {
		int *slot = old_slot(was, slots, size, &is->v[i]);

		is->v[i].rule->id = 0;
		if (!*slot || was->v[*slot - 1].taken)
			continue;
		is->v[i].rule->id = was->v[*slot - 1].rule->id;
		was->v[*slot - 1].taken = was->v[*slot - 1].next < 0;
		if (was->v[*slot - 1].next >= 0)
			*slot = was->v[*slot - 1].next + 1;
	}
	free(slots);
}

static int assign_rules(struct ids *ids, const struct config *old, struct config *c)
{
	struct rule_refs was = rule_refs(old), is = rule_refs(c);
	bool *used = must(calloc(MAX_RULES, 1));
	int err = 0, next = RULE_FIRST;

	for (int i = 0; i < was.n; i++)
		used[was.v[i].rule->id % MAX_RULES] = true;
	inherit(&was, &is);
	ids->new_rules = must(malloc((is.n + 1) * sizeof(*ids->new_rules)));
	for (int k = 0; k < config_n_chains(c) && !err; k++) {
		for (int i = 0; i < config_chain(c, k)->n_rules && !err; i++) {
			struct rule *r = &config_chain(c, k)->rules[i];

			if (r->id)
				continue;
			while (next < MAX_RULES && used[next])
				next++;
			if (next == MAX_RULES)
				err = fail(EXIT_FAILED, "more than %d rules in the old and the new generation together", MAX_RULES - RULE_FIRST);
			r->id = next++;
			ids->new_rules[ids->n_new_rules++] = r->id;
		}
	}
	free(used);
	rule_refs_free(&was);
	rule_refs_free(&is);
	return err;
}

/* ---- backends: same service, address and forwarding */

static uint32_t slot_in(const struct config *old, const struct service *s, const struct backend *b)
{
	const struct service *was = config_service(old, s->name);

	if (!was || was->forward != s->forward)
		return 0;
	for (int i = 0; i < was->n_backends; i++)
		if (address_equal(&was->backends[i].addr, &b->addr))
			return was->backends[i].slot;
	return 0;
}

/* Slots are handed out in a circle that goes on where the last generation stopped, so that a slot rests as long as possible. */
static int assign_backends(struct ids *ids, const struct config *old, struct config *c)
{
	bool *used = must(calloc(MAX_BACKENDS, 1));
	uint32_t next = old->last_slot, n = 0;
	int err = 0, left = MAX_BACKENDS - 1;

	for (int i = 0; i < old->n_services; i++) {
		for (int b = 0; b < old->services[i].n_backends; b++) {
			uint32_t slot = old->services[i].backends[b].slot;

			used[slot % MAX_BACKENDS] = true;
			left--;
		}
	}
	for (int i = 0; i < c->n_services; i++)
		n += c->services[i].n_backends;
	ids->new_backends = must(malloc((n + 1) * sizeof(*ids->new_backends)));
	for (int i = 0; i < c->n_services && !err; i++) {
		struct service *s = &c->services[i];

		for (int b = 0; b < s->n_backends && !err; b++) {
			s->backends[b].slot = slot_in(old, s, &s->backends[b]);
			if (s->backends[b].slot)
				continue;
			if (!left--) {
				err = fail(EXIT_FAILED, "more than %d backends in the old and the new generation together", MAX_BACKENDS - 1);
				break;
			}
			do
				next = next + 1 < MAX_BACKENDS ? next + 1 : 1;
			while (used[next]);
			used[next] = true;
			s->backends[b].slot = next;
			ids->new_backends[ids->n_new_backends++] = next;
		}
	}
	c->last_slot = next;
	free(used);
	return err;
}

/* ---- rings: never the chunks of a ring in force */

static uint32_t chunks_of(const struct service *s)
{
	return (ring_size(s->n_backends) + RING_CHUNK - 1) / RING_CHUNK;
}

static int assign_rings(struct ids *ids, const struct config *old, const struct config *c)
{
	bool *used = must(calloc(RING_CHUNKS, 1));
	int err = 0;

	for (int i = 0; i < old->n_services; i++)
		for (uint32_t k = 0; k < chunks_of(&old->services[i]); k++)
			used[(old->services[i].ring + k) % RING_CHUNKS] = true;
	ids->ring = must(calloc(c->n_services + 1, sizeof(*ids->ring)));
	for (int i = 0; i < c->n_services && !err; i++) {
		uint32_t need = chunks_of(&c->services[i]), run = 0, at = 0;

		for (; at < RING_CHUNKS && run < need; at++)
			run = used[at] ? 0 : run + 1;
		if (run < need) {
			err = fail(EXIT_FAILED, "no room for the rings of %d services next to those in force", c->n_services);
			break;
		}
		ids->ring[i] = c->services[i].ring = at - need;
		memset(used + at - need, 1, need);
	}
	free(used);
	return err;
}

int ids_assign(struct ids *ids, const struct config *old, struct config *c)
{
	int err = 0;

	memset(ids, 0, sizeof(*ids));
	if (c->n_services > MAX_SERVICES)
		err = fail(EXIT_FAILED, "%d services, the limit is %d", c->n_services, MAX_SERVICES);
	if (!err)
		err = assign_rules(ids, old, c);
	if (!err)
		err = assign_backends(ids, old, c);
	return err ? err : assign_rings(ids, old, c);
}

void ids_free(struct ids *ids)
{
	free(ids->ring);
	free(ids->new_rules);
	free(ids->new_backends);
	memset(ids, 0, sizeof(*ids));
}

/* ---- text */

static void set_ids_print(FILE *f, const struct set *s)
{
	const char *at = s->notes, *end;

	if (!s->slot)
		return;
	fprintf(f, "#ids set %s %u\n", s->name, s->slot);
	for (; at && (end = strchr(at, '\n')); at = end + 1)
		fprintf(f, "#note %s %.*s\n", s->name, (int)(end - at), at);
	if (s->noted)
		for (int i = 0; i < s->tuples.n; i++)
			if (s->tuples.v[i].comment)
				note_print(f, s, "add", &s->tuples.v[i]);
}

void note_print(FILE *f, const struct set *s, const char *how, const struct value_tuple *e)
{
	struct value_tuple only = { .target = NULL, .comment = e->comment };
	struct set one = { .n_types = s->n_types, .type = s->type, .noted = true, .tuples = { &only, 1 } };

	memcpy(one.types, s->types, sizeof(one.types));
	memcpy(only.part, e->part, sizeof(only.part));
	fprintf(f, "#note %s %s ", s->name, how);
	set_elements_print(f, &one, ", ");
	fputc('\n', f);
}

void ids_print(FILE *f, const struct config *c)
{
	for (int k = 0; k < config_n_chains(c); k++) {
		fprintf(f, "#ids rule %s", config_chain_name(c, k));
		for (int i = 0; i < config_chain(c, k)->n_rules; i++)
			fprintf(f, " %u", config_chain(c, k)->rules[i].id);
		fputc('\n', f);
	}
	fprintf(f, "#ids last-slot %u\n", c->last_slot);
	for (int i = 0; i < c->n_sets; i++)
		set_ids_print(f, &c->sets[i]);
	for (int i = 0; i < c->n_services; i++) {
		fprintf(f, "#ids backend %s", c->services[i].name);
		for (int b = 0; b < c->services[i].n_backends; b++)
			fprintf(f, " %u", c->services[i].backends[b].slot);
		fprintf(f, "\n#ids ring %s %u\n", c->services[i].name, c->services[i].ring);
	}
}

static void read_line(struct config *c, char *line)
{
	char *save, *kind = strtok_r(line + 4, " \n", &save), *name = strtok_r(NULL, " \n", &save), *word;
	struct service *s = name ? config_service(c, name) : NULL;
	struct set *set = name && !strcmp(kind, "set") ? config_set(c, name) : NULL;

	if (name && !strcmp(kind, "last-slot"))
		c->last_slot = strtoul(name, NULL, 10);
	for (int i = 0; name && (word = strtok_r(NULL, " \n", &save)); i++) {
		uint32_t id = strtoul(word, NULL, 10);

		if (!strcmp(kind, "rule")) {
			int at = config_find_chain(c, name);
			struct chain *k = at < 0 ? NULL : config_chain(c, at);

			if (k && i < k->n_rules)
				k->rules[i].id = id;
		} else if (set) {
			set->slot = id;
		} else if (s && !strcmp(kind, "backend") && i < s->n_backends) {
			s->backends[i].slot = id;
		} else if (s && !strcmp(kind, "ring")) {
			s->ring = id;
		}
	}
}

/* "NAME add ELEMENT …": without the name it waits in the set until somebody wants to see it. */
static void read_note(struct config *c, char *line)
{
	char *rest = strchr(line, ' ');
	struct set *s;
	size_t had;

	if (!rest)
		return;
	*rest++ = 0;
	s = config_set(c, line);
	if (!s)
		return;
	had = s->notes ? strlen(s->notes) : 0;
	s->notes = must(realloc(s->notes, had + strlen(rest) + 1));
	strcpy(s->notes + had, rest);
}

int ids_read(struct config *c, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (!f)
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	while (getline(&line, &size, f) > 0)
		if (!strncmp(line, "#ids ", 5))
			read_line(c, line);
		else if (!strncmp(line, "#note ", 6))
			read_note(c, line + 6);
	free(line);
	fclose(f);
	return 0;
}
