/* SPDX-License-Identifier: GPL-2.0-only */
/* config_check FILE: the configuration as canonical text, or its error; the exit code is weirctl's. -j: the error as JSON.
 * config_check FILE OTHER: the differences. For tests of the language without the rest of weirctl. */
#include <stdlib.h>
#include <string.h>
#include "../ctl/diff.h"

int main(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "-j");
	struct config c = { 0 }, other = { 0 };
	int code = EXIT_USAGE;

	argv += json;
	argc -= json;
	if (argc < 2 || argc > 3)
		return fail_report(fail(EXIT_USAGE, "usage: config_check [-j] FILE [OTHER]"), "config_check", NULL, json);
	code = config_parse_file(&c, argv[1]);
	if (!code && argc == 3)
		code = config_parse_file(&other, argv[2]);
	if (!code && argc == 3)
		printf("%d\n", config_diff(stdout, &c, &other));
	else if (!code)
		config_print(stdout, &c);
	fail_report(code, "config_check", NULL, json);
	fail_clear();
	config_free(&c);
	config_free(&other);
	return code;
}
