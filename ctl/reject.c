/* SPDX-License-Identifier: GPL-2.0-only */
/* reject: what a rule may tell the sender of a packet that it drops: words, and what they ask of the packet. */
#include <string.h>
#include "../maps/reject.h"
#include "check.h"
#include "parse.h"
#include "reject.h"

#define WORDS(sym, protocol, name, code4, code6) { protocol, name },
static const struct { const char *protocol, *name; } words[REJECT_COUNT] = { { "", "" }, REJECTS(WORDS) };
#undef WORDS

static bool speaks(uint8_t kind, const char *protocol)
{
	return !strcmp(words[kind].protocol, protocol);
}

uint8_t reject_family(uint8_t kind)
{
	return speaks(kind, "icmp") ? 4 : speaks(kind, "icmpv6") ? 6 : 0;
}

uint8_t reject_proto(uint8_t kind)
{
	return kind == REJECT_TCP_RESET ? 6 : 0;
}

/* As nft lists it: icmp's port-unreachable for both families is what nobody has to write. */
void reject_print(FILE *f, uint8_t kind)
{
	fputs("reject", f);
	if (kind != REJECT_ICMPX_PORT)
		fprintf(f, " with %s %s", words[kind].protocol, words[kind].name);
}

/* ---- the grammar's action */

/* The names of a protocol, for the message about one it has not. */
static void list_names(struct slice protocol, char *out, size_t size)
{
	const char *last = NULL;
	size_t n = 0;

	*out = 0;
	for (int i = 1; i <= REJECT_COUNT && n < size; i++) {
		const char *name = i < REJECT_COUNT ? words[i].name : NULL;

		if (name && !slice_is(protocol, words[i].protocol))
			continue;
		if (last)
			n += snprintf(out + n, size - n, "%s%s", !n ? "" : name ? ", " : " or ", last);
		last = name;
	}
}

int build_reject(struct parse *p, struct slice protocol, struct slice name, struct loc at, struct loc name_at)
{
	char known[192];

	for (int i = 1; i < REJECT_COUNT; i++) {
		if (!slice_is(protocol, words[i].protocol) || !slice_is(name, words[i].name))
			continue;
		p->rule.verdict = RULE_REJECT;
		p->rule.reject = i;
		p->rule.reject_at = place_of(p, at);
		return 0;
	}
	list_names(protocol, known, sizeof(known));
	if (!known[0])
		return refuse(p, at, "nothing rejects with \"%s\", expected tcp, icmp, icmpv6 or icmpx", SHOW(protocol));
	return refuse(p, name_at, "%s has no \"%s\", expected %s", SHOW(protocol), SHOW(name), known);
}

/* ---- what cannot go together */

/* A match of the rule that no packet of the family, or of TCP, holds. */
static const struct match *excludes(const struct rule *r, const enum config_key *keys, int n, u128 value)
{
	for (int i = 0; i < r->n_matches; i++) {
		const struct match *m = &r->matches[i];

		for (int k = 0; k < n; k++)
			if (m->key == keys[k] && m->n_keys == 1 && !m->set && !m->masked && spans_have(&m->spans, value) == m->negate)
				return m;
	}
	return NULL;
}

int check_reject(struct checker *k, const struct rule *r, const enum config_key *family, const enum config_key *proto)
{
	static const enum config_key of_proto[] = { KEY_META_L4PROTO, KEY_IP_PROTOCOL }, of_family[] = { KEY_META_NFPROTO };
	uint8_t needs_family = reject_family(r->reject), needs_proto = reject_proto(r->reject);
	const struct match *other = needs_proto ? excludes(r, of_proto, 2, needs_proto) : needs_family ? excludes(r, of_family, 1, needs_family) : NULL;
	const char *text = other ? config_key_text[other->key] : NULL;

	if (needs_proto && proto && config_key_proto[*proto] != needs_proto)
		text = config_key_text[*proto];
	if (needs_family && family && config_key_family[*family] != needs_family)
		text = config_key_text[*family];
	if (!text)
		return 0;
	if (needs_proto)
		return checker_wrong(k, r->reject_at, "tcp reset answers TCP only, and this rule's %s asks for something else: write reject", text);
	return checker_wrong(k, r->reject_at, "%s answers IPv%d only, and this rule's %s asks for IPv%d: write reject, or with icmpx",
			     words[r->reject].protocol, needs_family, text, 10 - needs_family);
}
