/* SPDX-License-Identifier: GPL-2.0-only */
/* set_merge: see set_merge.h. */
#include <stdlib.h>
#include "set_merge.h"
#include "setstore.h"

static int merge(const struct set *s, struct settable *t, struct merges *m)
{
	uint32_t now = settable_now();

	for (int i = 0; i < s->tuples.n; i++) {
		const struct value_tuple *e = &s->tuples.v[i];

		if (settable_has(t, e, now))
			continue;
		m->v = array_room(m->v, m->n, sizeof(*m->v));
		m->v[m->n++] = (struct merge){ s->slot - 1, e };
		if (settable_put(t, e, now))
			return fail(EXIT_FAILED, "set %s is full: it holds %u elements", s->name, settable_head(t)->limit);
	}
	return 0;
}

int set_merge(const struct config *c, struct merges *m)
{
	int err = 0;

	*m = (struct merges){ 0 };
	for (int i = 0; i < c->n_sets && !err; i++) {
		const struct set *s = &c->sets[i];
		struct settable t = { 0 };

		if (!s->kept || !s->tuples.n)
			continue;
		err = setstore_open(s->slot - 1, &t);
		if (!err && t.m)
			err = merge(s, &t, m);
		setstore_close(&t);
	}
	if (err)
		set_merge_undo(m);
	return err;
}

void set_merge_undo(const struct merges *m)
{
	for (int i = 0; i < m->n; i++) {
		struct settable t;

		if (!setstore_open(m->v[i].slot, &t) && t.m)
			settable_del(&t, m->v[i].element, settable_now());
		setstore_close(&t);
	}
}

void set_merge_free(struct merges *m)
{
	free(m->v);
	*m = (struct merges){ 0 };
}
