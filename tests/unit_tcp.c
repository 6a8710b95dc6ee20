/* SPDX-License-Identifier: GPL-2.0-only */
/* Options of `weirctl tcp` into the filter of the programs, columns, and values separated by commas. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../ctl/tcp.h"
#include "../lib/err.h"
#include "../lib/out.h"
#include "../lib/stream.h"

bool json;

static int clean(void **state)
{
	(void)state;
	memset(&tcp_opt, 0, sizeof(tcp_opt));
	fail_clear();
	return 0;
}

static void ports_and_ranges(void **state)
{
	struct session_filter f = {};

	(void)state;
	assert_int_equal(tcp_filter_ports(&f, "lport", "22,8000-8100", SESSION_LOCAL), 0);
	assert_int_equal(f.n_ports, 2);
	assert_int_equal(f.need_ports, 1 << SESSION_LOCAL);
	assert_int_equal(f.ports[0].first, 22);
	assert_int_equal(f.ports[0].last, 22);
	assert_int_equal(f.ports[1].first, 8000);
	assert_int_equal(f.ports[1].last, 8100);
}

static void wrong_ports(void **state)
{
	static const char *const words[] = { "65536", "x", "-1", "2-1", "1-", "1-x", "1--2", " 1", "1,2,3,4,5,6,7,8,9" };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct session_filter f = {};

		fail_clear();
		assert_int_equal(tcp_filter_ports(&f, "port", words[i], SESSION_EITHER), EXIT_USAGE);
		assert_non_null(strstr(fail_message(), "--port"));
	}
}

static void prefixes_are_masked(void **state)
{
	struct session_filter f = {};
	uint32_t want;

	(void)state;
	assert_int_equal(tcp_filter_prefixes(&f, "addr", "10.1.2.3/8,2001:db8::1/33,192.0.2.1,0.0.0.0/0", SESSION_EITHER), 0);
	assert_int_equal(f.n_prefixes, 4);
	inet_pton(AF_INET, "10.0.0.0", &want);
	assert_int_equal(f.prefixes[0].addr[0], want);
	assert_int_equal(f.prefixes[0].mask[0], htonl(0xff000000));
	assert_int_equal(f.prefixes[1].family, AF_INET6);
	assert_int_equal(f.prefixes[1].mask[0], ~0u);
	assert_int_equal(f.prefixes[1].mask[1], htonl(0x80000000));
	assert_int_equal(f.prefixes[1].addr[3], 0);
	assert_int_equal(f.prefixes[2].mask[0], ~0u);
	assert_int_equal(f.prefixes[3].mask[0], 0);
}

static void wrong_prefixes(void **state)
{
	static const char *const words[] = { "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/x", "name", "::1/-1" };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct session_filter f = {};

		fail_clear();
		assert_int_equal(tcp_filter_prefixes(&f, "raddr", words[i], SESSION_REMOTE), EXIT_USAGE);
	}
}

static void places_become_a_power_of_two(void **state)
{
	static const struct {
		unsigned long sockets, bits;
	} cases[] = { { 0, 0 }, { 1, 1 }, { 16, 1 }, { 17, 2 }, { 131072, 14 }, { 131073, 15 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct session_filter f = {};

		tcp_opt.sockets = cases[i].sockets;
		assert_int_equal(tcp_filter(&f), 0);
		assert_int_equal(f.bucket_bits, cases[i].bits);
	}
}

static void histogram_keys(void **state)
{
	struct session_filter f = {};

	(void)state;
	assert_int_equal(tcp_hist_parse(&f, "rtt", "raddr/24"), 0);
	assert_int_equal(f.hist, HIST_RTT);
	assert_int_equal(f.hist_by, HIST_BY_RADDR);
	assert_int_equal(f.hist_bits, 24);
	assert_int_equal(tcp_hist_parse(&f, "bytes", NULL), 0);
	assert_int_equal(tcp_hist_parse(&f, "", NULL), EXIT_USAGE);
	assert_int_equal(tcp_hist_parse(&f, "rtt", "comm/8"), EXIT_USAGE);
	assert_int_equal(tcp_hist_parse(&f, "rtt", "raddr/"), EXIT_USAGE);
}

/* What one session looks like in these columns. */
static void printed(const char *columns, bool csv, const struct session *s, char *text, size_t size)
{
	const struct tcp_clock clock = { .start_ns = 1000 };
	int to[2], out = dup(STDOUT_FILENO);
	ssize_t n;

	assert_int_equal(pipe(to), 0);
	fflush(stdout);
	dup2(to[1], STDOUT_FILENO);
	out_start(false);
	tcp_opt.csv = csv;
	tcp_opt.columns = columns;
	assert_int_equal(tcp_columns("", 0), 0);
	tcp_columns_start();
	tcp_row(&clock, s);
	out_list_end();
	out_finish();
	dup2(out, STDOUT_FILENO);
	close(out);
	close(to[1]);
	n = read(to[0], text, size - 1);
	close(to[0]);
	assert_true(n > 0);
	text[n] = 0;
}

static void columns_as_lines_and_as_csv(void **state)
{
	struct session s = { .time_ns = 5001000, .family = AF_INET, .laddr = { 192, 0, 2, 1 }, .tx_bytes = 1536 };
	char text[512];

	(void)state;
	s.state.process.pid = 7;
	strcpy(s.state.process.comm, "a,\"b");
	printed("pid,comm,laddr,tx_kb,ms", false, &s, text, sizeof(text));
	assert_string_equal(text, "PID     COMM       LADDR           TX_KB  MS\n7       a,\"b       192.0.2.1       1.50   ≥5.00\n");
	printed("comm,tx_bytes,pid", true, &s, text, sizeof(text));
	assert_string_equal(text, "COMM,TX_BYTES,PID\n\"a,\"\"b\",1536,7\n");
}

static void unknown_columns(void **state)
{
	(void)state;
	out_start(false);
	tcp_opt.columns = "pid,moon";
	assert_int_equal(tcp_columns("", 0), EXIT_USAGE);
	assert_non_null(strstr(fail_message(), "moon"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ports_and_ranges, clean), cmocka_unit_test_setup(wrong_ports, clean),
		cmocka_unit_test_setup(prefixes_are_masked, clean), cmocka_unit_test_setup(wrong_prefixes, clean),
		cmocka_unit_test_setup(places_become_a_power_of_two, clean), cmocka_unit_test_setup(histogram_keys, clean),
		cmocka_unit_test_setup(columns_as_lines_and_as_csv, clean), cmocka_unit_test_setup(unknown_columns, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
