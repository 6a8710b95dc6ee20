/* SPDX-License-Identifier: GPL-2.0-only */
/* marks: XDP can only hand a mark on to tc ingress; where that is not attached, who applies such rules is told. */
#include "../lib/err.h"
#include "interfaces.h"
#include "marks.h"

static bool ingress_marks(const struct config *c)
{
	for (int k = 0; k < config_n_chains(c); k++)
		for (int i = 0; k != CHAIN_EGRESS && i < config_chain(c, k)->n_rules; i++)
			if (config_chain(c, k)->rules[i].mark.set)
				return true;
	return false;
}

void marks_note(const struct config *c)
{
	const struct interface_slot *s = ingress_marks(c) ? interfaces_read() : NULL;

	for (int i = 1; s && i < MAX_INTERFACES; i++)
		if (s[i].attached && s[i].features & FEATURE_XDP_BELOW && !(s[i].features & FEATURE_TC_ABOVE))
			note("%s: the host does not see the marks that rules set at XDP: attach it with tc-ingress among its --hooks", s[i].name);
}
