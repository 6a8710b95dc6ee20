/* SPDX-License-Identifier: GPL-2.0-only */
/* raw: bits of a packet by their place, @ll|@nh|@th,offset,length, and the names of header fields that are no more than that. The datapath
 * reads FILTER_RAWS different places a generation; who names more is told. */
#include <stdlib.h>
#include "../maps/rule.h"
#include "config.h"

static const struct raw named[KEY_COUNT] = {
	[KEY_IP_HDRLENGTH] = { RAW_NETWORK, 4, 4 },
	[KEY_IP_ID] = { RAW_NETWORK, 32, 16 },
	[KEY_IP6_FLOWLABEL] = { RAW_NETWORK, 12, 20 },
	[KEY_TCP_SEQUENCE] = { RAW_TRANSPORT, 32, 32 },
	[KEY_TCP_ACKSEQ] = { RAW_TRANSPORT, 64, 32 },
	[KEY_TCP_DOFF] = { RAW_TRANSPORT, 96, 4 },
	[KEY_TCP_WINDOW] = { RAW_TRANSPORT, 112, 16 },
	[KEY_TCP_URGPTR] = { RAW_TRANSPORT, 144, 16 },
	[KEY_UDP_LENGTH] = { RAW_TRANSPORT, 32, 16 },
	[KEY_SCTP_VTAG] = { RAW_TRANSPORT, 32, 32 },
};

struct raw raw_of_key(enum config_key key)
{
	return named[key];
}

bool raw_equal(const struct raw *a, const struct raw *b)
{
	return a->base == b->base && a->offset == b->offset && a->length == b->length;
}

static bool listed(const struct raw *list, int n, const struct raw *r)
{
	for (int i = 0; i < n; i++)
		if (raw_equal(&list[i], r))
			return true;
	return false;
}

static int take(struct raw *list, int n, int most, const struct match *m, const struct match **over)
{
	if (!m->raw.length || listed(list, n, &m->raw))
		return n;
	if (n == most) {
		*over = *over ? *over : m;
		return n;
	}
	list[n] = m->raw;
	return n + 1;
}

int raw_list(const struct config *c, struct raw *list, int most, const struct match **over)
{
	int n = 0;

	*over = NULL;
	for (int k = 0; k < config_n_chains(c); k++) {
		const struct chain *chain = config_chain(c, k);

		for (int i = 0; i < chain->n_rules; i++) {
			const struct rule *r = &chain->rules[i];

			for (int m = 0; m < r->n_matches; m++)
				n = take(list, n, most, &r->matches[m], over);
			if (r->vmap)
				n = take(list, n, most, r->vmap, over);
		}
	}
	return n;
}

void raw_print(FILE *f, const struct raw *r)
{
	static const char *const base[] = { [RAW_LINK] = "ll", [RAW_NETWORK] = "nh", [RAW_TRANSPORT] = "th" };

	fprintf(f, "@%s,%u,%u", base[r->base], r->offset, r->length);
}
