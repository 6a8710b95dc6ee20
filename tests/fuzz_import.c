/* SPDX-License-Identifier: GPL-2.0-only */
/* fuzz_import: any bytes as rules of other tools, for clang -fsanitize=fuzzer. What comes out must be text that parses to the same text. */
#include <stdlib.h>
#include <string.h>
#include "../ctl/import.h"

static char *printed(const struct config *c)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	config_print(f, c);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import im = { .file = "fuzz" };
	struct config again;
	char *text, *a, *b;

	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (data[0] & 1)
		import_nft(&im, text);
	else
		import_iptables(&im, text, data[0] & 2);
	if (fail_message())
		abort();
	a = printed(&im.config);
	if (config_parse(&again, "again", a))
		abort();
	b = printed(&again);
	if (strcmp(a, b))
		abort();
	free(a);
	free(b);
	free(text);
	config_free(&again);
	import_free(&im);
	return 0;
}
