/* SPDX-License-Identifier: GPL-2.0-only */
/* mark: `meta mark set`, in nft's forms: a value, or the mark under and, or, xor. All are (mark & keep) ^ flip. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"

static int parse_value(struct parse *p, struct slice value, struct loc at, uint32_t *v)
{
	struct trouble why;
	u128 wide;

	if (value_parse(TYPE_MARK, value, &wide, &why))
		return refuse_trouble(p, at, &why);
	*v = wide;
	return 0;
}

int build_mark(struct parse *p, struct slice head, struct loc at)
{
	struct mark *m = &p->rule.mark;

	if (!slice_is(head, "meta"))
		return refuse(p, at, "only meta mark can be set");
	if (m->set)
		return refuse(p, at, "the rule sets the mark already: give it the value that shall come out");
	*m = (struct mark){ .set = true, .keep = ~0u, .at = place_of(p, at) };
	return 0;
}

int build_mark_value(struct parse *p, struct slice value, struct loc at)
{
	if (slice_is(value, "mark"))
		return refuse(p, at, "the mark as it is: and, or, xor and a number follow it");
	p->rule.mark.keep = 0;
	return parse_value(p, value, at, &p->rule.mark.flip);
}

/* "mark", or "meta" and "mark": what the operators behind begin with. */
int build_mark_itself(struct parse *p, struct slice meta, struct slice mark, struct loc at)
{
	if (slice_is(mark, "mark") && (!meta.n || slice_is(meta, "meta")))
		return 0;
	return refuse(p, at, "a mark is made of a number, or of mark by and, or, xor");
}

int build_mark_operator(struct parse *p, char op, struct slice value, struct loc at)
{
	struct mark *m = &p->rule.mark;
	uint32_t v;

	if (parse_value(p, value, at, &v))
		return -1;
	if (op == '^') {
		m->flip ^= v;
		return 0;
	}
	m->keep &= op == '&' ? v : ~v;
	m->flip = op == '&' ? m->flip & v : m->flip | v;
	return 0;
}

void mark_print(FILE *f, const struct mark *m)
{
	static const char form[] = "meta mark set ";

	if (!m->keep)
		fprintf(f, "%s0x%x", form, m->flip);
	else if (m->keep == ~m->flip)
		fprintf(f, m->flip ? "%smark or 0x%x" : "%smark and 0xffffffff", form, m->flip);
	else if (m->keep == ~0u)
		fprintf(f, "%smark xor 0x%x", form, m->flip);
	else if (!m->flip)
		fprintf(f, "%smark and 0x%x", form, m->keep);
	else
		fprintf(f, "%smark and 0x%x %s 0x%x", form, m->keep, m->keep & m->flip ? "xor" : "or", m->flip);
}

uint32_t mark_apply(const struct mark *m, uint32_t mark)
{
	return (mark & m->keep) ^ m->flip;
}

bool config_marks(const struct config *c)
{
	for (int k = 0; k < config_n_chains(c); k++)
		for (int i = 0; i < config_chain(c, k)->n_rules; i++)
			if (config_chain(c, k)->rules[i].mark.set)
				return true;
	return false;
}
