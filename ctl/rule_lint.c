/* SPDX-License-Identifier: GPL-2.0-only */
/* rule_lint: `weirctl rule lint [FILE]`: rules that never match, of the generation in force or of a file. */
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "generation.h"
#include "lint.h"
#include "verb.h"

static void emit(const struct config *c, const struct lint_finding *f)
{
	static const char *const kinds[] = { "contradiction", "covered", "unreached" };
	const struct chain *chain = config_chain(c, f->at.chain);
	bool covered = f->kind == LINT_COVERED;
	char *text = f->at.rule < 0 ? NULL : rule_text(&chain->rules[f->at.rule]);
	char *by = covered ? rule_text(&config_chain(c, f->by.chain)->rules[f->by.rule]) : NULL;

	out_row();
	out_text("chain", config_chain_name(c, f->at.chain));
	out_number("rule", f->at.rule + 1);
	out_text("finding", kinds[f->kind]);
	out_text("text", text);
	out_text("by_chain", covered ? config_chain_name(c, f->by.chain) : NULL);
	if (covered)
		out_number("by_rule", f->by.rule + 1);
	else
		out_text("by_rule", NULL);
	out_text("by_text", by);
	free(text);
	free(by);
}

int rule_lint(int argc, char **argv)
{
	struct lint_findings found = { 0 };
	struct config c = { 0 };
	int err;

	if (argc > 1)
		return fail(EXIT_USAGE, "takes at most one file; without, the rules in force are looked at");
	err = argc ? config_parse_file(&c, argv[0]) : generation_read(&c, NULL);
	if (!err)
		err = lint(&found, &c);
	if (!err) {
		out_list("findings");
		for (int i = 0; i < found.n; i++)
			emit(&c, &found.v[i]);
		out_list_end();
	}
	if (!err && found.n && out_is_json())
		err = out_finish();	/* the document stands in for a message */
	if (!err && found.n)
		err = EXIT_FAILED;
	free(found.v);
	config_free(&c);
	return err;
}
