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
		bool quote = i && !strcmp(argv[i - 1], "comment") && argv[i][0] != '"';

		p += sprintf(p, "%s%s%s%s", i ? " " : "", quote ? "\"" : "", argv[i], quote ? "\"" : "");
	}
	return text;
}

int words_chain(const char *word)
{
	for (int i = 0; i < CHAIN_COUNT; i++)
		if (!strcmp(word, chain_name[i]))
			return i;
	fail(EXIT_USAGE, "%s: no such chain; ingress or egress", word);
	return -1;
}
