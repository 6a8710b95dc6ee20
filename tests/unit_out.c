/* SPDX-License-Identifier: GPL-2.0-only */
/* out: what verbs emit, as JSON (read back by json-c), as tables and as lines. */
#include <arpa/inet.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../lib/err.h"
#include "../lib/out.h"
#include <cmocka.h>	/* last: it defines a macro fail() */

static int stdout_fd, capture_fd;

static void begin(bool json)
{
	fflush(stdout);
	stdout_fd = dup(STDOUT_FILENO);
	capture_fd = memfd_create("out", 0);
	dup2(capture_fd, STDOUT_FILENO);
	out_start(json);
}

/* What is on standard output so far; the caller frees. */
static char *captured(void)
{
	off_t size = lseek(capture_fd, 0, SEEK_END);
	char *text = calloc(1, size + 1);

	assert_int_equal(pread(capture_fd, text, size, 0), size);
	return text;
}

static char *end(void)
{
	int code = out_finish();
	char *text = captured();

	dup2(stdout_fd, STDOUT_FILENO);
	close(stdout_fd);
	close(capture_fd);
	assert_int_equal(code, EXIT_DONE);
	return text;
}

static void ends_as(const char *expected)
{
	char *text = end();

	assert_string_equal(text, expected);
	free(text);
}

static void emit_services(void)
{
	out_list("services");
	out_row();
	out_text("name", "web");
	out_strings("listen", (const char *[]){ "192.0.2.1:80/tcp", "[2001:db8::1]:80/tcp" }, 2);
	out_hidden(true);
	out_number("id", 7);
	out_hidden(false);
	out_list("backends");
	out_row();
	out_address("addr", AF_INET, (unsigned char []){ 10, 0, 0, 255 });
	out_number("weight", 1);
	out_row();
	out_address("addr", AF_INET6, (unsigned char [16]){ 0x20, 1, 0xd, 0xb8, [15] = 2 });
	out_number("weight", 20);
	out_list_end();
	out_row();
	out_text("name", NULL);
	out_object("state");
	out_bool("up", true);
	out_signed("drift", -5);
	out_object_end();
	out_list("backends");
	out_list_end();
	out_list_end();
}

static void json_nests_lists_and_objects(void **state)
{
	(void)state;
	begin(true);
	out_number("generation", UINT64_MAX);
	emit_services();
	out_object("totals");
	out_ns("age", 1500000000);
	out_signed("least", INT64_MIN);
	out_object_end();
	out_list("none");
	out_list_end();
	ends_as("{\"generation\":18446744073709551615,\"services\":[{\"name\":\"web\",\"listen\":[\"192.0.2.1:80/tcp\",\"[2001:db8::1]:80/tcp\"],"
		"\"id\":7,\"backends\":[{\"addr\":\"10.0.0.255\",\"weight\":1},{\"addr\":\"2001:db8::2\",\"weight\":20}]},"
		"{\"name\":null,\"state\":{\"up\":true,\"drift\":-5},\"backends\":[]}],"
		"\"totals\":{\"age\":1500000000,\"least\":-9223372036854775808},\"none\":[]}\n");
}

static void json_of_nothing_is_an_empty_document(void **state)
{
	(void)state;
	begin(true);
	ends_as("{}\n");
}

static void json_escapes_what_must_be(void **state)
{
	(void)state;
	begin(true);
	out_text("a", "\"\\/\b\f\n\r\t\x01\x1f\x7f");
	out_text("b", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	ends_as("{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\",\"b\":\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"}\n");
}

static void json_replaces_bytes_that_are_no_utf8(void **state)
{
	static const struct { const char *bytes, *json; } cases[] = {
		{ "\x80", "\\ufffd" }, { "a\xff" "b", "a\\ufffdb" }, { "\xc0\xaf", "\\ufffd\\ufffd" }, { "\xc3", "\\ufffd" },
		{ "\xc3(", "\\ufffd(" }, { "\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd" }, { "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
		{ "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" }, { "\xf0\x9f\x98", "\\ufffd\\ufffd\\ufffd" },
		{ "\xf5\x80", "\\ufffd\\ufffd" },
	};
	char expected[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(true);
		out_text("x", cases[i].bytes);
		snprintf(expected, sizeof(expected), "{\"x\":\"%s\"}\n", cases[i].json);
		ends_as(expected);
	}
}

/* Random bytes: json-c reads back every text that was valid, and always some text. */
static void json_is_read_back_by_another_parser(void **state)
{
	unsigned int seed = getpid();

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 2000; round++) {
		char text[32] = "", *document;
		struct json_object *object, *value;
		bool ascii = round % 2;

		for (int i = 0, n = rand() % 31; i < n; i++)
			text[i] = 1 + rand() % (ascii ? 127 : 255);
		begin(true);
		out_text("x", text);
		document = end();
		object = json_tokener_parse(document);
		assert_non_null(object);
		assert_true(json_object_object_get_ex(object, "x", &value));
		if (ascii)
			assert_string_equal(json_object_get_string(value), text);
		json_object_put(object);
		free(document);
	}
}

static void json_lines_are_one_object_each(void **state)
{
	char *text;

	(void)state;
	begin(true);
	out_column("pid", -7);
	out_lines();
	out_list("sessions");
	out_row();
	out_number("pid", 1);
	out_list("parts");
	out_row();
	out_number("x", 1);
	out_row();
	out_number("x", 2);
	out_list_end();
	assert_int_equal(out_flush(), EXIT_DONE);
	text = captured();
	assert_string_equal(text, "{\"pid\":1,\"parts\":[{\"x\":1},{\"x\":2}]}\n");
	free(text);
	out_row();
	out_number("pid", 2);
	out_list_end();
	ends_as("{\"pid\":1,\"parts\":[{\"x\":1},{\"x\":2}]}\n{\"pid\":2}\n");
}

static void table_aligns_numbers_right_and_draws_children(void **state)
{
	(void)state;
	begin(false);
	emit_services();
	ends_as("NAME LISTEN                                 ADDR        WEIGHT STATE.UP STATE.DRIFT\n"
		"web  192.0.2.1:80/tcp, [2001:db8::1]:80/tcp\n"
		"|-                                          10.0.0.255       1\n"
		"`-                                          2001:db8::2     20\n"
		"                                                               yes               -5\n");
}

static void table_cuts_nothing_off_a_terminal(void **state)
{
	char wide[600], *text;

	(void)state;
	memset(wide, 'w', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = 0;
	begin(false);
	out_list("rules");
	out_row();
	out_text("text", wide);
	out_number("packets", 1);
	out_list_end();
	text = end();
	assert_non_null(strstr(text, wide));
	assert_null(strchr(text, '\033'));
	free(text);
}

static void table_of_facts_and_lists_are_apart(void **state)
{
	(void)state;
	begin(false);
	out_text("verdict", "drop");
	out_object("totals");
	out_number("packets", 12);
	out_object_end();
	out_list("rules");
	out_row();
	out_number("id", 1);
	out_list_end();
	out_list("empty");
	out_list_end();
	out_list("sets");
	out_row();
	out_text("name", "bogons");
	out_list_end();
	ends_as("verdict        drop\ntotals.packets 12\n\nID\n 1\n\nNAME\nbogons\n");
}

static void table_shows_times_readably(void **state)
{
	static const struct { uint64_t ns; const char *text; } cases[] = {
		{ 0, "0ns" }, { 999, "999ns" }, { 1000, "1us" }, { 23999999, "23ms" }, { 1500000000, "1.5s" }, { 59999999999, "59.9s" },
		{ 200000000000, "3m20s" }, { 3661000000000, "1h1m" }, { 97200000000000, "1d3h" },
	};
	char expected[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(false);
		out_ns("age", cases[i].ns);
		snprintf(expected, sizeof(expected), "age %s\n", cases[i].text);
		ends_as(expected);
	}
}

static void lines_are_of_fixed_width_and_flushed(void **state)
{
	char *text;

	(void)state;
	begin(false);
	out_column("pid", -5);
	out_column("comm", -6);
	out_column("kb", 4);
	out_column("ms", -1);
	out_lines();
	text = captured();
	assert_string_equal(text, "PID   COMM     KB MS\n");
	free(text);
	out_list("sessions");
	out_row();
	out_number("pid", 12);
	out_text("comm", "a\n\x1b\xc3\xa9");
	out_number("uid", 0);		/* no column */
	out_number("kb", 7);
	out_text("ms", "\xe2\x89\xa5" "1.00");
	out_row();
	out_number("pid", 1234567);	/* too wide: nothing is cut */
	out_text("ms", "2");
	out_list_end();
	ends_as("PID   COMM     KB MS\n12    a??\xc3\xa9      7 \xe2\x89\xa5" "1.00\n1234567             2\n");
}

static void closed_output_is_an_error(void **state)
{
	int saved = dup(STDOUT_FILENO);

	(void)state;
	fflush(stdout);
	close(STDOUT_FILENO);
	out_start(true);
	assert_int_equal(out_finish(), EXIT_FAILED);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_non_null(strstr(fail_message(), "standard output"));
	fail_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_nests_lists_and_objects),
		cmocka_unit_test(json_of_nothing_is_an_empty_document),
		cmocka_unit_test(json_escapes_what_must_be),
		cmocka_unit_test(json_replaces_bytes_that_are_no_utf8),
		cmocka_unit_test(json_is_read_back_by_another_parser),
		cmocka_unit_test(json_lines_are_one_object_each),
		cmocka_unit_test(table_aligns_numbers_right_and_draws_children),
		cmocka_unit_test(table_cuts_nothing_off_a_terminal),
		cmocka_unit_test(table_of_facts_and_lists_are_apart),
		cmocka_unit_test(table_shows_times_readably),
		cmocka_unit_test(lines_are_of_fixed_width_and_flushed),
		cmocka_unit_test(closed_output_is_an_error),
	};

	setenv("LC_ALL", "C", 1);	/* the characters of trees */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
