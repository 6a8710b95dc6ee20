/* SPDX-License-Identifier: GPL-2.0-only */
/* backend: servers behind a service: add, delete, weigh, drain. */
#include <stdlib.h>
#include <string.h>
#include "generation.h"
#include "service.h"
#include "verb.h"

/* What each verb here does between reading the generation and applying it. b is NULL for add. */
typedef int edit(struct config *c, struct service *s, struct backend *b, const char *words);

static int find_backend(const struct service *s, const char *text, struct backend **b)
{
	struct address a;

	if (address_parse(&a, text))
		return fail(EXIT_USAGE, "%s: not an IPv4 or IPv6 address", text);
	for (int i = 0; i < s->n_backends; i++)
		if (address_equal(&s->backends[i].addr, &a))
			*b = &s->backends[i];
	return *b ? 0 : fail(EXIT_NOTHING, "service %s has no backend %s (service list shows them)", s->name, text);
}

static int change(int argc, char **argv, edit *what, bool exists)
{
	struct service *s = NULL;
	struct backend *b = NULL;
	struct config c;
	char *words = words_join(argc - (exists ? 2 : 1), argv + (exists ? 2 : 1));
	int err = generation_edit(&c);

	if (!err && !(s = config_service(&c, argv[0])))
		err = no_such_service(argv[0]);
	if (!err && exists)
		err = find_backend(s, argv[1], &b);
	if (!err)
		err = what(&c, s, b, words);
	if (!err)
		err = generation_apply(&c);
	free(words);
	config_free(&c);
	return err;
}

static int do_add(struct config *c, struct service *s, struct backend *b, const char *words)
{
	(void)b;
	return config_add_backend(c, s, words);
}

static int backend_add(int argc, char **argv)
{
	if (argc < 2)
		return fail(EXIT_USAGE, "takes a service and an address: backend add web 10.0.0.3 weight 2");
	return change(argc, argv, do_add, false);
}

static int do_del(struct config *c, struct service *s, struct backend *b, const char *words)
{
	(void)c;
	(void)words;
	if (s->n_backends == 1)
		return fail(EXIT_REFUSED, "it is the only backend of %s: add another first, or delete the service", s->name);
	memmove(b, b + 1, (s->backends + s->n_backends - b - 1) * sizeof(*b));
	s->n_backends--;
	return 0;
}

static int backend_del(int argc, char **argv)
{
	if (argc != 2)
		return fail(EXIT_USAGE, "takes a service and an address");
	return change(argc, argv, do_del, true);
}

static int do_weight(struct config *c, struct service *s, struct backend *b, const char *words)
{
	char *end;
	unsigned long w = strtoul(words, &end, 10);

	(void)c;
	(void)s;
	if (words[0] < '0' || words[0] > '9' || *end || w > 65535)
		return fail(EXIT_USAGE, "weight %s: a number from 0 to 65535", words);
	b->weight = w;
	return 0;
}

static int backend_weight(int argc, char **argv)
{
	if (argc != 3)
		return fail(EXIT_USAGE, "takes a service, an address and a number from 0 to 65535");
	return change(argc, argv, do_weight, true);
}

static int do_drain(struct config *c, struct service *s, struct backend *b, const char *words)
{
	(void)words;
	return do_weight(c, s, b, "0");
}

static int backend_drain(int argc, char **argv)
{
	if (argc != 2)
		return fail(EXIT_USAGE, "takes a service and an address");
	return change(argc, argv, do_drain, true);
}

static const struct verb verbs[] = {
	{ "add", "SERVICE ADDRESS [weight N]", "add a backend", backend_add, NULL },
	{ "del", "SERVICE ADDRESS", "remove a backend; its flows go to others", backend_del, NULL },
	{ "weight", "SERVICE ADDRESS N", "its share of new flows", backend_weight, NULL },
	{ "drain", "SERVICE ADDRESS", "no new flows; those it has go on", backend_drain, NULL },
	{}
};

const struct object backend_object = { "backend", "a server behind a service", verbs };
