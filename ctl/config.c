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

void match_free(struct match *m)
{
	spans_free(&m->spans);
	tuples_free(&m->tuples);
	free(m->set);
	memset(m, 0, sizeof(*m));
}

void rule_free(struct rule *r)
{
	for (int i = 0; i < r->n_matches; i++)
		match_free(&r->matches[i]);
	if (r->vmap)
		match_free(r->vmap);
	free(r->vmap);
	free(r->matches);
	free(r->target);
	free(r->update.set);
	free(r->comment);
	free(r->log_prefix);
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
	free(s->notes);
	spans_free(&s->elements);
	tuples_free(&s->tuples);
}

void chain_free(struct chain *c)
{
	for (int i = 0; i < c->n_rules; i++)
		rule_free(&c->rules[i]);
	free(c->rules);
	free(c->name);
}

void config_free(struct config *c)
{
	for (int i = 0; i < c->n_interfaces; i++)
		free(c->interfaces[i].name);
	for (int i = 0; i < c->n_sets; i++)
		set_free(&c->sets[i]);
	for (int i = 0; i < config_n_chains(c); i++)
		chain_free(config_chain(c, i));
	free(c->user);
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

int config_n_chains(const struct config *c)
{
	return CHAIN_COUNT + c->n_user;
}

struct chain *config_chain(const struct config *c, int i)
{
	return i < CHAIN_COUNT ? (struct chain *)&c->chains[i] : &c->user[i - CHAIN_COUNT];
}

const char *config_chain_name(const struct config *c, int i)
{
	return i < CHAIN_COUNT ? chain_name[i] : c->user[i - CHAIN_COUNT].name;
}

int config_find_chain(const struct config *c, const char *name)
{
	for (int i = 0; i < config_n_chains(c); i++)
		if (!strcmp(config_chain_name(c, i), name))
			return i;
	return -1;
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
