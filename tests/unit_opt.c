/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_opt: options by table, and the one message of a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../lib/err.h"		/* before cmocka.h, whose macro fail() hides ours */
#include "../lib/opt.h"

static int fail_here(int code, struct where at, const char *line, const char *message)
{
	return at.line ? fail_at(code, at, line, "%s", message) : fail(code, "%s", message);
}

#include <cmocka.h>

static bool json, quiet;
static const char *name;
static unsigned long count;

static const struct opt here[] = {
	{ "name", 'n', OPT_TEXT, &name, "NAME", "whose" },
	{ "count", 'c', OPT_NUMBER, &count, "N", "how many" },
	{ 0 }
};

static const struct opt everywhere[] = {
	{ "json", 'j', OPT_FLAG, &json, NULL, "print JSON" },
	{ "quiet", 0, OPT_FLAG, &quiet, NULL, "print nothing" },
	{ 0 }
};

enum { WORDS_MOST = 16 };

static int parse(const char *line, bool stop, bool *help, char **words, char *copy)
{
	int n = 0;

	json = quiet = false;
	name = NULL;
	count = 0;
	strcpy(copy, line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		words[n++] = w;
	return opt_parse(n, words, here, everywhere, stop, help);
}

/* left: the words that are no options; NULL: the message instead. */
static const struct vector {
	const char *test, *line, *left, *name;
	unsigned long count;
	bool json, quiet, stop, help;
	const char *message;
} vectors[] = {
	{ "takes_no_words", "", "", NULL, 0, 0, 0, 0, 0, NULL },
	{ "takes_options_among_words", "a -j b --name x c", "a b c", "x", 0, 1, 0, 0, 0, NULL },
	{ "takes_values_in_one_word", "--name=x -c7 a", "a", "x", 7, 0, 0, 0, 0, NULL },
	{ "takes_an_empty_value", "--name= a", "a", "", 0, 0, 0, 0, 0, NULL },
	{ "takes_joined_letters", "-jc 0x10", "", NULL, 16, 1, 0, 0, 0, NULL },
	{ "ends_at_two_dashes", "-j -- -n a --quiet", "-n a --quiet", NULL, 0, 1, 0, 0, 0, NULL },
	{ "stops_at_the_first_word", "-j a -n -1", "a -n -1", NULL, 0, 1, 0, 1, 0, NULL },
	{ "takes_a_dash_as_word", "- --quiet", "-", NULL, 0, 0, 1, 0, 0, NULL },
	{ "asks_for_help", "a -h", "a", NULL, 0, 0, 0, 0, 1, NULL },
	{ "asks_for_help_in_full", "--help", "", NULL, 0, 0, 0, 0, 1, NULL },
	{ "refuses_an_unknown_name", "--nam x", NULL, NULL, 0, 0, 0, 0, 0, "unknown option --nam; --help lists them" },
	{ "refuses_an_unknown_letter", "-jx", NULL, NULL, 0, 0, 0, 0, 0, "unknown option -x; --help lists them" },
	{ "refuses_a_missing_value", "a --name", NULL, NULL, 0, 0, 0, 0, 0, "--name needs a value: --name NAME" },
	{ "refuses_a_value_of_a_flag", "--json=yes", NULL, NULL, 0, 0, 0, 0, 0, "--json takes no value" },
	{ "refuses_what_is_no_number", "-c 7x", NULL, NULL, 0, 0, 0, 0, 0, "--count: \"7x\" is not a number" },
	{ "refuses_a_negative_number", "-c -7", NULL, NULL, 0, 0, 0, 0, 0, "--count: \"-7\" is not a number" },
	{ "refuses_a_number_too_large", "-c 99999999999999999999", NULL, NULL, 0, 0, 0, 0, 0,
	  "--count: \"99999999999999999999\" is not a number" },
};

static void check_vector(void **state)
{
	const struct vector *v = *state;
	char *words[WORDS_MOST], copy[128], left[128] = "";
	bool help = false;
	int n = parse(v->line, v->stop, &help, words, copy);

	if (v->message) {
		assert_int_equal(n, -1);
		assert_string_equal(fail_message(), v->message);
		fail_clear();
		return;
	}
	for (int i = 0; i < n; i++)
		strcat(strcat(left, i ? " " : ""), words[i]);
	assert_string_equal(left, v->left);
	assert_true(v->name ? name && !strcmp(name, v->name) : !name);
	assert_int_equal(count, v->count);
	assert_true(json == v->json && quiet == v->quiet && help == v->help);
}

static void prints_help_from_the_table(void **state)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	opt_help(f, here);
	opt_help(f, everywhere);
	fclose(f);
	assert_string_equal(text, "  -n, --name NAME           whose\n"
				  "  -c, --count N             how many\n"
				  "  -j, --json                print JSON\n"
				  "      --quiet               print nothing\n");
	free(text);
}

/* What fail_report() writes to a descriptor. */
static void reported(int fd, bool as_json, char *out, size_t size)
{
	FILE *f = tmpfile();
	int kept = dup(fd);
	ssize_t n;

	fflush(NULL);
	dup2(fileno(f), fd);
	assert_int_equal(fail_report(EXIT_USAGE, "weirctl", "rule add", as_json), EXIT_USAGE);
	fflush(NULL);
	dup2(kept, fd);
	close(kept);
	n = pread(fileno(f), out, size - 1, 0);
	out[n > 0 ? n : 0] = 0;
	fclose(f);
	fail_clear();
}

static const struct message {
	const char *test;
	struct where at;
	const char *line, *message;
	bool json;
	const char *out;
} messages[] = {
	{ "names_program_and_context", { 0 }, NULL, "no such chain", false, "weirctl: rule add: no such chain\n" },
	{ "points_at_the_place", { "a.conf", 3, 5 }, "a b c", "bad", false, "a.conf:3:5: bad\n    a b c\n        ^\n" },
	{ "repeats_tabs_before_the_caret", { "a", 1, 3 }, "\t\tx", "bad", false, "a:1:3: bad\n    \t\tx\n    \t\t^\n" },
	{ "counts_characters_not_bytes", { "a", 1, 3 }, "äöx", "bad", false, "a:1:3: bad\n    äöx\n      ^\n" },
	{ "points_behind_the_line", { "a", 1, 3 }, "ab", "bad", false, "a:1:3: bad\n    ab\n      ^\n" },
	{ "hides_control_characters", { "a", 1, 1 }, "\x1b[31m", "a\x1bz", false, "a:1:1: a?z\n    ?[31m\n    ^\n" },
	{ "does_without_the_line", { "a", 1, 1 }, NULL, "bad", false, "a:1:1: bad\n" },
	{ "writes_json", { "a.conf", 3, 5 }, "a b c", "say \"b\"", true,
	  "{\"error\":{\"message\":\"say \\\"b\\\"\",\"file\":\"a.conf\",\"line\":3,\"column\":5,\"code\":2}}\n" },
	{ "writes_json_without_a_place", { 0 }, NULL, "bad", true,
	  "{\"error\":{\"message\":\"bad\",\"file\":null,\"line\":null,\"column\":null,\"code\":2}}\n" },
};

static void check_message(void **state)
{
	const struct message *m = *state;
	char out[512];

	assert_int_equal(fail_here(EXIT_USAGE, m->at, m->line, m->message), EXIT_USAGE);
	assert_int_equal(fail_here(EXIT_FAILED, m->at, m->line, "later"), EXIT_FAILED);	/* the first one wins */
	reported(m->json ? STDOUT_FILENO : STDERR_FILENO, m->json, out, sizeof(out));
	assert_string_equal(out, m->out);
}

static void cuts_a_long_line_around_the_caret(void **state)
{
	char line[2001], out[1024], *caret;

	(void)state;
	memset(line, 'a', 2000);
	line[2000] = 0;
	line[1499] = 'X';
	fail_here(EXIT_USAGE, (struct where){ "a", 1, 1500 }, line, "bad");
	reported(STDERR_FILENO, false, out, sizeof(out));
	caret = strchr(out, '^');
	assert_non_null(caret);
	assert_true(strlen(out) < 400);
	assert_int_equal(caret - strrchr(out, 'a') > 0, 1);
	assert_int_equal(strchr(out, 'X') - (strchr(out, '\n') + 1), caret - (strstr(out, "...\n") + 4));
}

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

int main(void)
{
	struct CMUnitTest tests[COUNT(vectors) + COUNT(messages) + 2], *t = tests;

	for (size_t i = 0; i < COUNT(vectors); i++)
		*t++ = (struct CMUnitTest){ vectors[i].test, check_vector, NULL, NULL, (void *)&vectors[i] };
	for (size_t i = 0; i < COUNT(messages); i++)
		*t++ = (struct CMUnitTest){ messages[i].test, check_message, NULL, NULL, (void *)&messages[i] };
	*t++ = (struct CMUnitTest)cmocka_unit_test(prints_help_from_the_table);
	*t++ = (struct CMUnitTest)cmocka_unit_test(cuts_a_long_line_around_the_caret);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
