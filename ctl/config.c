/* SPDX-License-Identifier: GPL-2.0-only */
/* config: the model's tables, its memory and its look-ups. The parser fills it, check.c judges it. */
#include <stdlib.h>
#include <string.h>
#include "config.h"

#define KEY_TEXT(sym, text, type, family, proto) text,
const char *const config_key_text[KEY_COUNT] = { CONFIG_KEYS(KEY_TEXT) };
#define KEY_TYPE(sym, text, type, family, proto) type,
const enum config_type config_key_type[KEY_COUNT] = { CONFIG_KEYS(KEY_TYPE) };
#define KEY_FAMILY(sym, text, type, family, proto) family,
const uint8_t config_key_family[KEY_COUNT] = { CONFIG_KEYS(KEY_FAMILY) };
#define KEY_PROTO(sym, text, type, family, proto) proto,
const uint8_t config_key_proto[KEY_COUNT] = { CONFIG_KEYS(KEY_PROTO) };
#define TYPE_TEXT(sym, text, bits) text,
const char *const config_type_text[TYPE_COUNT] = { CONFIG_TYPES(TYPE_TEXT) };
#define TYPE_BITS(sym, text, bits) bits,
const uint8_t config_type_bits[TYPE_COUNT] = { CONFIG_TYPES(TYPE_BITS) };

const char *const chain_name[CHAIN_COUNT] = { [CHAIN_INGRESS] = "ingress", [CHAIN_EGRESS] = "egress" };
const char *const forward_name[] = { [FORWARD_L2] = "l2", [FORWARD_IPIP] = "ipip" };

/* The capacity is the next power of two, so no field has to say it. */
void *array_room(void *v, int n, size_t size)
{
	if (n & (n - 1))
		return v;
	return must(realloc(v, (n ? 2 * (size_t)n : 1) * size));
}

u128 match_max(const struct match *m)
{
	int bits = m->key == KEY_RAW ? m->raw.length : config_type_bits[config_key_type[m->key]];

	return bits == 128 ? ~(u128)0 : ((u128)1 << bits) - 1;
}

void rule_free(struct rule *r)
{
	for (int i = 0; i < r->n_matches; i++) {
		spans_free(&r->matches[i].spans);
		free(r->matches[i].set);
	}
	free(r->matches);
	free(r->comment);
	memset(r, 0, sizeof(*r));
}

void service_free(struct service *s)
{
	free(s->name);
	free(s->listens);
	free(s->backends);
	memset(s, 0, sizeof(*s));
}

void set_free(struct set *s)
{
	free(s->name);
	free(s->comment);
	spans_free(&s->elements);
}

static void chain_free(struct chain *c)
{
	for (int i = 0; i < c->n_rules; i++)
		rule_free(&c->rules[i]);
	free(c->rules);
}

void config_free(struct config *c)
{
	for (int i = 0; i < c->n_interfaces; i++)
		free(c->interfaces[i].name);
	for (int i = 0; i < c->n_sets; i++)
		set_free(&c->sets[i]);
	for (int i = 0; i < CHAIN_COUNT; i++)
		chain_free(&c->chains[i]);
	for (int i = 0; i < c->n_services; i++)
		service_free(&c->services[i]);
	for (int i = 0; i < c->n_files; i++)
		free(c->files[i]);
	free(c->interfaces);
	free(c->sets);
	free(c->services);
	free(c->files);
	memset(c, 0, sizeof(*c));
}

struct set *config_set(const struct config *c, const char *name)
{
	for (int i = 0; i < c->n_sets; i++)
		if (!strcmp(c->sets[i].name, name))
			return &c->sets[i];
	return NULL;
}

struct service *config_service(const struct config *c, const char *name)
{
	for (int i = 0; i < c->n_services; i++)
		if (!strcmp(c->services[i].name, name))
			return &c->services[i];
	return NULL;
}
