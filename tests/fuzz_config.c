/* SPDX-License-Identifier: GPL-2.0-only */
/* fuzz_config: any bytes as a configuration, for clang -fsanitize=fuzzer. What parses must print to a text that parses to the
 * same text without a difference; what does not parse must leave an empty model and a message. */
#include <stdlib.h>
#include <string.h>
#include "../ctl/diff.h"

static char *printed(const struct config *c)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	config_print(f, c);
	fclose(f);
	return text;
}

static void check(const char *text)
{
	struct config first, second;
	char *a, *b;

	if (config_parse(&first, "fuzz", text)) {
		if (!fail_message() || first.n_sets || first.n_services || first.n_files)
			abort();
		fail_clear();
		return;
	}
	a = printed(&first);
	if (config_parse(&second, "again", a))
		abort();
	b = printed(&second);
	if (strcmp(a, b) || config_diff(stderr, &first, &second))
		abort();
	free(a);
	free(b);
	config_free(&first);
	config_free(&second);
}

/* The first byte chooses what the rest is: a text, or words added to a small configuration. */
static void check_words(int what, const char *words)
{
	static const char base[] = "set s { type ipv4_addr; flags interval; }\nservice web { listen 192.0.2.1:80/tcp\n forward l2\n"
				   " backend 10.0.0.1 }\n";
	struct config c;
	struct spans out;

	if (config_parse(&c, "base", base))
		abort();
	if (what == 1)
		config_add_rule(&c, CHAIN_EGRESS, -1, words);
	else if (what == 2)
		config_add_service(&c, "more", words);
	else if (what == 3)
		config_add_backend(&c, &c.services[0], words);
	else if (what == 4)
		config_add_set(&c, "more", words);
	else if (!config_parse_elements(&c.sets[0], &out, NULL, words))
		spans_free(&out);
	fail_clear();
	config_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (data[0] >= 1 && data[0] <= 5)
		check_words(data[0], text);
	else
		check(text);
	free(text);
	return 0;
}
