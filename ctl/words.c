/* SPDX-License-Identifier: GPL-2.0-only */
/* words: command line words back into text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config.h"
#include "verb.h"

char *words_join(int argc, char **argv)
{
	size_t size = 1;
	char *text, *p;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 3;
	p = text = must(malloc(size));
	*p = 0;
	for (int i = 0; i < argc; i++) {
		bool quote = i && (!strcmp(argv[i - 1], "comment") || !strcmp(argv[i - 1], "prefix")) && argv[i][0] != '"';

		p += sprintf(p, "%s%s%s%s", i ? " " : "", quote ? "\"" : "", argv[i], quote ? "\"" : "");
	}
	return text;
}

int words_chain(const struct config *c, const char *word)
{
	char list[256] = "";
	int n = config_n_chains(c), at = config_find_chain(c, word);

	if (at >= 0)
		return at;
	for (int i = 0; i < n && strlen(list) < sizeof(list) - 40; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", !i ? "" : i == n - 1 ? " or " : ", ", config_chain_name(c, i));
	fail(EXIT_USAGE, "%s: no such chain; %s", word, list);
	return -1;
}
