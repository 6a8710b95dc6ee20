/* SPDX-License-Identifier: GPL-2.0-only */
/* status: which interfaces carry which programs. */
#include <stdio.h>
#include <stdlib.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "../lib/run.h"
#include "attach.h"
#include "instance.h"
#include "netns.h"
#include "object.h"
#include "status.h"

static int compare_hooks(const void *a, const void *b)
{
	return (int)((const struct hook_state *)a)->hook - (int)((const struct hook_state *)b)->hook;
}

static int emit(const struct attached *a, void *data)
{
	const struct datapath *d = data;
	struct hook_state hooks[HOOK_COUNT];
	char name[256];

	for (int i = 0; i < a->n_hooks; i++)
		hooks[i] = a->hooks[i];
	qsort(hooks, a->n_hooks, sizeof(hooks[0]), compare_hooks);
	out_row();
	out_text("name", a->interface.name);
	out_number("ifindex", a->interface.ifindex);
	out_text("netns", netns_name(a->interface.netns, name, sizeof(name)));
	out_number("generation", instance_generation());
	out_number("schema", d->schema);
	out_list("hooks");
	for (int i = 0; i < a->n_hooks; i++) {
		out_row();
		out_text("hook", hook_name[hooks[i].hook]);
		out_text("mode", hooks[i].ifindex ? mode_name[hooks[i].mode] : "gone");
		out_number("prog_id", hooks[i].prog_id);
		if (hooks[i].link_id)
			out_number("link_id", hooks[i].link_id);
		else
			out_text("link_id", NULL);
	}
	out_list_end();
	return 0;
}

int status(void)
{
	struct datapath d;
	int err;

	if (!instance_mounted())
		return fail(EXIT_NOTHING, "nothing is attached under %s (weir-loader attach IFACE)", run_dir_get());
	err = instance_read(&d);
	if (err)
		return err;
	out_list("interfaces");
	err = attached_each(emit, &d);
	out_list_end();
	return err;
}
