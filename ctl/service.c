/* SPDX-License-Identifier: GPL-2.0-only */
/* service: virtual addresses and the backends behind them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "../lib/out.h"
#include "../maps/service.h"
#include "counts.h"
#include "generation.h"
#include "service.h"
#include "verb.h"

static char *listen_text(const struct listen *l)
{
	char *text = NULL;
	size_t size;
	FILE *f = must(open_memstream(&text, &size));

	listen_print(f, l);
	fclose(f);
	return text;
}

static void emit_backends(const struct service *s, const struct counts *counts)
{
	out_list("backends");
	for (int i = 0; i < s->n_backends; i++) {
		const struct backend *b = &s->backends[i];
		struct backend_count n = {};

		counts_read(counts, b->slot, &n);
		out_row();
		out_address("addr", b->addr.family == 4 ? AF_INET : AF_INET6, b->addr.bytes);
		out_number("weight", b->weight);
		out_text("state", b->weight ? "active" : "draining");
		out_number("flows", n.flows);
		out_number("packets", n.packets);
		out_number("bytes", n.bytes);
	}
	out_list_end();
}

static void emit(const struct service *s, const struct counts *counts)
{
	const char **listens = must(calloc(s->n_listens + 1, sizeof(*listens)));

	for (int i = 0; i < s->n_listens; i++)
		listens[i] = listen_text(&s->listens[i]);
	out_row();
	out_text("name", s->name);
	out_strings("listen", listens, s->n_listens);
	out_text("forward", forward_name[s->forward]);
	emit_backends(s, counts);
	for (int i = 0; i < s->n_listens; i++)
		free((char *)listens[i]);
	free(listens);
}

int no_such_service(const char *name)
{
	return fail(EXIT_NOTHING, "no service is named %s (service list shows them)", name);
}

static int service_list(int argc, char **argv)
{
	struct counts counts;
	struct config c;
	int err;

	if (argc > 1)
		return fail(EXIT_USAGE, "takes at most one name");
	err = generation_read(&c, NULL);
	if (!err && argc && !config_service(&c, argv[0]))
		err = no_such_service(argv[0]);
	if (!err)
		err = counts_open(&counts, "backend_counts", sizeof(struct backend_count));
	if (err) {
		config_free(&c);
		return err;
	}
	out_list("services");
	for (int i = 0; i < c.n_services; i++)
		if (!argc || !strcmp(c.services[i].name, argv[0]))
			emit(&c.services[i], &counts);
	out_list_end();
	counts_close(&counts);
	config_free(&c);
	return 0;
}

static int service_add(int argc, char **argv)
{
	struct config c;
	char *text;
	int err;

	if (argc < 2)
		return fail(EXIT_USAGE, "takes a name and a body: service add web listen 192.0.2.1:80/tcp forward l2 backend 10.0.0.1");
	err = generation_edit(&c);
	text = words_join(argc - 1, argv + 1);
	if (!err)
		err = config_add_service(&c, argv[0], text);
	if (!err)
		err = generation_apply(&c);
	free(text);
	config_free(&c);
	return err;
}

static int service_del(int argc, char **argv)
{
	struct service *s;
	struct config c;
	int err;

	if (argc != 1)
		return fail(EXIT_USAGE, "takes one name");
	err = generation_edit(&c);
	s = err ? NULL : config_service(&c, argv[0]);
	if (!err && !s)
		err = no_such_service(argv[0]);
	if (!err) {
		service_free(s);
		memmove(s, s + 1, (c.services + c.n_services - s - 1) * sizeof(*s));
		c.n_services--;
		err = generation_apply(&c);
	}
	config_free(&c);
	return err;
}

static const struct verb verbs[] = {
	{ "list", "[NAME]", "services, their backends and what each got", service_list, NULL },
	{ "add", "NAME listen A:P/PROTO … forward l2|ipip backend A …", "make a service", service_add, NULL },
	{ "del", "NAME", "remove a service", service_del, NULL },
	{}
};

const struct object service_object = { "service", "a virtual address, protocol and port, and the backends behind it", verbs };
