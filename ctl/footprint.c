/* SPDX-License-Identifier: GPL-2.0-only */
/* footprint: see footprint.h. */
#include <sys/mman.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include "../lib/run.h"
#include "../maps/datapath.h"
#include "active.h"
#include "filter_maps.h"
#include "footprint.h"
#include "setstore.h"

static void emit(const char *kind, const char *name, bool in_force, uint64_t entries, uint64_t used, uint64_t size)
{
	out_row();
	out_text("kind", kind);
	out_text("name", name);
	out_bool("in_force", in_force);
	out_number("entries", entries);
	out_number("used", used);
	out_number("bytes", size);
}

static void emit_chain(uint32_t slot, int chain, bool in_force)
{
	size_t size;
	const uint64_t *v = filter_maps_read(slot, chain, &size);
	const struct filter_chain *c = (const struct filter_chain *)v;

	if (!v)
		return;
	emit("chain", chain_name[chain], in_force, c->rules, c->bytes, size);
	munmap((void *)v, size);
}

static int emit_sets(void)
{
	int err = 0;

	for (uint32_t slot = 0; slot < MAX_SETS && !err; slot++) {
		struct settable t;

		err = setstore_open(slot, &t);
		if (!err && t.m)
			emit("set", settable_head(&t)->name, true, settable_head(&t)->used, settable_head(&t)->bytes, t.size);
		setstore_close(&t);
	}
	return err;
}

int footprint_verb(int argc, char **argv)
{
	uint64_t active;
	int err;

	(void)argv;
	if (argc)
		return fail(EXIT_USAGE, "takes no words");
	err = active_read(&active);
	if (err)
		return err;
	out_list("memory");
	for (int chain = 0; chain < CHAIN_COUNT; chain++)
		for (uint32_t n = 0; n < 2; n++)
			emit_chain(active_slot(active) ^ n, chain, !n && active_generation(active));
	err = emit_sets();
	out_list_end();
	return err;
}
