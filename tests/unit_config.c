/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_config: the language. Vectors are data: a text and its canonical form, which must parse to itself. Then what comes as
 * words of a command line, spans against a naive model, and the differences of two configurations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../ctl/diff.h"	/* before cmocka.h, whose macro fail() hides ours */
#include <cmocka.h>

static char *printed(const struct config *c)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	config_print(f, c);
	fclose(f);
	return text;
}

static void parse_well(struct config *c, const char *text)
{
	int code = config_parse(c, "text", text);

	if (code)
		fail_msg("%s: %s", text, fail_message());
}

/* rules: the canonical rule is what stands in chain ingress. NULL: the text is canonical. */
static const struct vector {
	const char *name, *text, *canonical;
} rules[] = {
	{ "matches_one_address", "ip saddr 10.0.0.1 drop", NULL },
	{ "matches_a_prefix", "ip daddr 10.0.0.0/8 accept", NULL },
	{ "masks_host_bits_of_a_prefix", "ip saddr 10.1.2.3/8 drop", "ip saddr 10.0.0.0/8 drop" },
	{ "writes_a_full_prefix_as_address", "ip saddr 10.0.0.1/32 drop", "ip saddr 10.0.0.1 drop" },
	{ "takes_all_addresses", "ip saddr 1.2.3.4/0 drop", "ip saddr 0.0.0.0/0 drop" },
	{ "takes_all_v6_addresses", "ip6 saddr ::/0 drop", NULL },
	{ "keeps_a_range_of_addresses", "ip saddr 10.0.0.1-10.0.0.5 drop", NULL },
	{ "takes_blanks_around_the_dash", "ip saddr 10.0.0.1 - 10.0.0.5 drop", "ip saddr 10.0.0.1-10.0.0.5 drop" },
	{ "writes_a_range_that_is_a_prefix_as_prefix", "ip saddr 10.0.0.0-10.0.0.255 drop", "ip saddr 10.0.0.0/24 drop" },
	{ "writes_v6_addresses_short", "ip6 daddr 2001:0db8:0:0::1 drop", "ip6 daddr 2001:db8::1 drop" },
	{ "takes_v4_mapped_v6_addresses", "ip6 saddr ::ffff:1.2.3.4 drop", NULL },
	{ "sorts_and_merges_a_list", "tcp dport { 443, 80-90, 85-100, 22 } drop", "tcp dport { 22, 80-100, 443 } drop" },
	{ "merges_neighbours", "udp sport { 1, 2, 3 } drop", "udp sport 1-3 drop" },
	{ "writes_a_list_of_one_without_braces", "tcp dport { 22 } drop", "tcp dport 22 drop" },
	{ "takes_a_trailing_comma", "tcp dport { 22, 80, } drop", "tcp dport { 22, 80 } drop" },
	{ "takes_newlines_in_braces", "tcp dport {\n 22,\n 80 # web\n} drop", "tcp dport { 22, 80 } drop" },
	{ "takes_a_continued_line", "tcp dport 22 \\\n drop", "tcp dport 22 drop" },
	{ "takes_port_names", "tcp dport { ssh, https } drop", "tcp dport { 22, 443 } drop" },
	{ "takes_hexadecimal_numbers", "tcp dport 0x16 drop", "tcp dport 22 drop" },
	{ "takes_all_ports", "sctp dport 0-65535 drop", NULL },
	{ "negates_a_value", "tcp dport != 22 drop", NULL },
	{ "negates_a_list", "ip saddr != { 10.0.0.0/8, 192.0.2.1 } drop", NULL },
	{ "takes_the_operator_written_out", "tcp dport == 22 drop", "tcp dport 22 drop" },
	{ "takes_the_operator_before_a_list", "tcp dport == { 22, 80 } drop", "tcp dport { 22, 80 } drop" },
	{ "names_protocols", "meta l4proto { 6, 17, ipv6-icmp, 200 } accept", "meta l4proto { tcp, udp, icmpv6, 200 } accept" },
	{ "writes_a_range_of_protocols_by_number", "meta l4proto tcp-udp accept", "meta l4proto 6-17 accept" },
	{ "names_icmp_types", "icmp type { 8, echo-reply } accept", "icmp type { echo-reply, echo-request } accept" },
	{ "names_a_short_run_of_types", "icmp type 3-5 drop", "icmp type { destination-unreachable, source-quench, redirect } drop" },
	{ "cuts_a_range_of_names_where_it_makes_sense", "icmpv6 type nd-router-solicit-nd-redirect accept",
	  "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect } accept" },
	{ "knows_both_names_of_mld_done", "icmpv6 type mld-listener-reduction accept", "icmpv6 type mld-listener-done accept" },
	{ "writes_codes_as_numbers", "icmp code port-unreachable icmp type 3 drop", "icmp code 3 icmp type destination-unreachable drop" },
	{ "writes_v6_codes_as_numbers", "icmpv6 code admin-prohibited drop", "icmpv6 code 1 drop" },
	{ "takes_vlan_ids", "vlan id { 0, 4095 } drop", NULL },
	{ "names_ether_types", "ether type { vlan, 0x0806, 0x88cc } drop", "ether type { arp, 8021q, 0x88cc } drop" },
	{ "writes_mac_addresses_in_full", "ether saddr 2:0:5E:10:0:1 drop", "ether saddr 02:00:5e:10:00:01 drop" },
	{ "takes_mac_prefixes", "ether daddr 02:00:5e:10:00:01/24 drop", "ether daddr 02:00:5e:00:00:00/24 drop" },
	{ "quotes_interface_names", "iifname { eth1, \"br-lan\", eth0.100 } drop", "iifname { \"br-lan\", \"eth0.100\", \"eth1\" } drop" },
	{ "takes_meta_before_iifname", "meta iifname eth0 drop", "iifname \"eth0\" drop" },
	{ "takes_keywords_as_interface_names", "iifname drop drop", "iifname \"drop\" drop" },
	{ "asks_for_any_flag_by_default", "tcp flags syn drop", NULL },
	{ "asks_for_any_of_several_flags", "tcp flags syn | ack drop", "tcp flags syn,ack drop" },
	{ "takes_flags_as_a_number", "tcp flags 0x12 drop", "tcp flags syn,ack drop" },
	{ "compares_flags_whole", "tcp flags == syn,ack drop", NULL },
	{ "compares_flags_whole_negated", "tcp flags != syn | ack drop", "tcp flags != syn,ack drop" },
	{ "compares_with_no_flags", "tcp flags == 0 drop", "tcp flags == 0x0 drop" },
	{ "takes_a_list_of_whole_flags", "tcp flags { syn|ack, syn } drop", "tcp flags { syn, syn | ack } drop" },
	{ "takes_a_negated_list_of_whole_flags", "tcp flags != { syn, ack } drop", NULL },
	{ "masks_flags", "tcp flags & (syn|ack) == syn drop", "tcp flags syn / syn,ack drop" },
	{ "masks_flags_with_commas", "tcp flags & (syn,ack) == syn,ack drop", "tcp flags syn,ack / syn,ack drop" },
	{ "masks_flags_negated", "tcp flags & (fin|syn|rst|ack) != syn drop", "tcp flags != syn / fin,syn,rst,ack drop" },
	{ "masks_flags_value_first", "tcp flags != syn / syn,ack drop", NULL },
	{ "asks_for_none_of_some_flags", "tcp flags & (syn|ack) == 0 drop", "tcp flags ! syn,ack drop" },
	{ "asks_for_some_flags_by_mask", "tcp flags & (syn|ack) != 0x0 drop", "tcp flags syn,ack drop" },
	{ "takes_the_exclamation_mark", "tcp flags ! syn drop", NULL },
	{ "writes_every_value_of_a_range_of_flags", "tcp flags 0x2-0x3 drop", "tcp flags { syn, fin | syn } drop" },
	{ "counts_and_goes_on", "tcp dport 22 counter", NULL },
	{ "drops_the_numbers_of_a_counter", "counter packets 5 bytes 700 drop", "counter drop" },
	{ "accepts_without_a_match", "accept", NULL },
	{ "takes_a_comment", "tcp dport 22 counter drop comment \"admin only; { # }\"", NULL },
	{ "takes_a_comment_in_utf8", "drop comment \"für später\"", NULL },
	{ "takes_a_comment_without_quotes", "drop comment later", "drop comment \"later\"" },
	{ "takes_every_interface_that_begins_so", "iifname { \"eth*\", eth0, wlan0 } drop", "iifname { \"eth*\", \"wlan0\" } drop" },
	{ "keeps_neighbouring_wildcards_apart", "iifname { \"a*\", \"b*\" } drop", NULL },
	{ "writes_an_order_as_a_range", "ip ttl < 5 tcp dport >= 1024 drop", "ip ttl 0-4 tcp dport 1024-65535 drop" },
	{ "takes_the_other_orders", "ip length > 1400 meta length <= 99 drop", "ip length 1401-65535 meta length 0-99 drop" },
	{ "takes_the_protocol_of_the_header", "ip protocol { tcp, 47 } drop", "ip protocol { tcp, gre } drop" },
	{ "takes_the_next_header", "ip6 nexthdr != ipv6-icmp drop", "ip6 nexthdr != icmpv6 drop" },
	{ "names_dscp", "ip dscp { ef, 10, cs1 } ip ecn != ce drop", "ip dscp { cs1, af11, ef } ip ecn != ce drop" },
	{ "names_ecn", "ip6 ecn 1 drop", "ip6 ecn ect1 drop" },
	{ "masks_the_fragment_offset", "ip frag-off & 0x1fff != 0 drop", "ip frag-off & 0x1fff != 0x0 drop" },
	{ "masks_addresses", "ip saddr & 255.255.0.255 == 10.1.0.1 drop", NULL },
	{ "asks_for_extension_headers", "exthdr frag exists exthdr hbh missing drop", NULL },
	{ "asks_for_ip_options", "ip option lsrr exists drop", NULL },
	{ "asks_for_tcp_options", "tcp option sack-perm missing tcp option maxseg size 0-500 drop", NULL },
	{ "asks_for_the_mss", "tcp option maxseg exists tcp option maxseg size < 500 drop", "tcp option maxseg exists tcp option maxseg size 0-499 drop" },
	{ "takes_fields_by_place", "@nh,96,32 0x0a000001 @th,16,16 { 53, 80-90 } drop", "@nh,96,32 0xa000001 @th,16,16 { 0x35, 0x50-0x5a } drop" },
	{ "takes_masked_fields_by_place", "@ll, 0 , 8 & 1 == 1 drop", "@ll,0,8 & 0x1 == 0x1 drop" },
	{ "takes_64_bits_by_place", "@th,0,64 != 0xffffffffffffffff drop", NULL },
	{ "takes_ports_of_any_protocol", "th dport { 53, 123 } drop", NULL },
	{ "takes_meta_fields", "meta length 100-200 meta protocol ip meta nfproto ipv4 meta mark 5 drop",
	  "meta length 100-200 meta protocol ip meta nfproto ipv4 meta mark 0x5 drop" },
	{ "takes_a_part_of_the_packets", "meta random < 0x40000000 drop", "meta random 0-1073741823 drop" },
	{ "takes_vlan_priorities", "vlan id 5 vlan pcp { 3, 5-7 } drop", NULL },
	{ "takes_header_fields_read_by_place", "tcp window 0 tcp doff > 5 ip hdrlength 6-15 drop", "tcp window 0 tcp doff 6-15 ip hdrlength 6-15 drop" },
	{ "jumps", "tcp dport 22 counter jump c comment \"x\"", NULL },
	{ "goes_to_a_chain", "goto c", NULL },
	{ "returns", "ip saddr 10.0.0.1 return", NULL },
	{ "takes_a_concatenation", "ip saddr . tcp dport { 10.0.0.0/8 . 22, 10.0.0.1 . 80-90, 10.0.0.1 . 22 } drop",
	  "ip saddr . tcp dport { 10.0.0.0/8 . 22, 10.0.0.1 . 22, 10.0.0.1 . 80-90 } drop" },
	{ "takes_an_element_of_a_concatenation_once", "ip saddr . tcp dport { 10.0.0.1 . ssh, 10.0.0.1 . 22 } drop", "ip saddr . tcp dport { 10.0.0.1 . 22 } drop" },
	{ "negates_a_concatenation", "iifname . meta l4proto . th dport != { \"eth*\" . tcp . 1-5 } drop", NULL },
	{ "takes_a_verdict_map", "ip saddr 10.0.0.1 counter tcp dport vmap { 80: jump c, 22 : accept, 1-5 : drop , 90 : goto c, 91 : return, 92 : continue }",
	  "ip saddr 10.0.0.1 counter tcp dport vmap { 1-5 : drop, 22 : accept, 80 : jump c, 90 : goto c, 91 : return, 92 : continue }" },
	{ "takes_a_map_of_addresses", "ip6 saddr vmap { 2001:db8:: : drop, 2001:db8::/32: drop }", "ip6 saddr vmap { 2001:db8:: : drop, 2001:db8::/32 : drop }" },
	{ "takes_a_map_of_concatenations", "ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept, 10.0.0.2 . 22 : drop }", NULL },
	{ "takes_a_map_of_bits_by_place", "@th,16,16 vmap { 0x35 : drop }", NULL },
	{ "joins_many_matches", "ip saddr 10.0.0.0/8 tcp dport 22 tcp flags syn iifname \"eth0\" counter drop", NULL },
};

static char *in_chain(const char *rule)
{
	char *text;

	assert_true(asprintf(&text, "chain ingress {\n    policy accept\n    %s\n}\nchain c {\n}\n", rule) > 0);
	return text;
}

static void check_text(const char *text, const char *canonical)
{
	struct config c;
	char *out;

	parse_well(&c, text);
	out = printed(&c);
	assert_string_equal(out, canonical);
	config_free(&c);
	free(out);
}

static void check_rule_vector(void **state)
{
	const struct vector *v = *state;
	char *text = in_chain(v->text), *canonical = in_chain(v->canonical ? v->canonical : v->text);

	check_text(text, canonical);
	check_text(canonical, canonical);
	free(text);
	free(canonical);
}

static const struct vector texts[] = {
	{ "takes_an_empty_text", "", "" },
	{ "takes_comments_and_blanks", "  # nothing\n\n\t;\n# end", "" },
	{ "takes_carriage_returns", "interface eth0\r\n", "interface eth0\n" },
	{ "takes_a_set_on_one_line", "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.1 } }",
	  "set s {\n    type ipv4_addr\n    flags interval\n    elements = { 10.0.0.0/8, 192.0.2.1 }\n}\n" },
	{ "wraps_many_elements", "set s { type inet_service; elements = { 5, 4, 3, 2, 1 } }",
	  "set s {\n    type inet_service\n    elements = {\n        1,\n        2,\n        3,\n        4,\n        5\n    }\n}\n" },
	{ "takes_a_set_without_elements", "set s { type ifname; elements = { } }", "set s {\n    type ifname\n}\n" },
	{ "joins_elements_said_twice", "set s { type vlan_id\n elements = { 1 }\n elements = { 5, 1 } }",
	  "set s {\n    type vlan_id\n    elements = { 1, 5 }\n}\n" },
	{ "takes_a_comment_of_a_set", "set s { comment \"x\"; type icmp_type; elements = { echo-request } }",
	  "set s {\n    type icmp_type\n    comment \"x\"\n    elements = { echo-request }\n}\n" },
	{ "takes_flags_as_elements", "set s { type tcp_flag; elements = { syn, syn | ack } }",
	  "set s {\n    type tcp_flag\n    elements = { syn, syn | ack }\n}\n" },
	{ "takes_a_full_prefix_as_single_element", "set s { type ipv4_addr; elements = { 10.0.0.1/32 } }",
	  "set s {\n    type ipv4_addr\n    elements = { 10.0.0.1 }\n}\n" },
	{ "takes_keywords_as_names", "set drop { type ipv4_addr; }\nchain ingress { ip saddr @drop drop; }\n",
	  "set drop {\n    type ipv4_addr\n}\nchain ingress {\n    policy accept\n    ip saddr @drop drop\n}\n" },
	{ "uses_a_set_before_it_is_declared", "chain egress { ip daddr != @s drop; }\nset s { type ipv4_addr; }\n",
	  "set s {\n    type ipv4_addr\n}\nchain egress {\n    policy accept\n    ip daddr != @s drop\n}\n" },
	{ "takes_rules_on_one_line", "chain ingress { policy drop; tcp dport 22 accept; counter }",
	  "chain ingress {\n    policy drop\n    tcp dport 22 accept\n    counter\n}\n" },
	{ "takes_a_service", "service web { listen 192.0.2.1:80/tcp; listen [2001:db8::1]:443/udp; forward ipip\n"
	  " backend 10.0.0.1 weight 0\n backend 2001:db8::2 weight 1 }",
	  "service web {\n    listen 192.0.2.1:80/tcp\n    listen [2001:db8::1]:443/udp\n    forward ipip\n"
	  "    backend 10.0.0.1 weight 0\n    backend 2001:db8::2\n}\n" },
	{ "takes_sets_of_concatenations", "set s { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.1 . 1-5, 10.0.0.0/8 . 22 } }",
	  "set s {\n    type ipv4_addr . inet_service\n    flags interval\n    elements = { 10.0.0.0/8 . 22, 10.0.0.1 . 1-5 }\n}\n" },
	{ "takes_maps", "map m { type inet_service : verdict\n elements = { 80 : drop, 22: jump c } }\nchain c { }\nchain ingress { tcp dport vmap @m }",
	  "map m {\n    type inet_service : verdict\n    elements = { 22 : jump c, 80 : drop }\n}\n"
	  "chain ingress {\n    policy accept\n    tcp dport vmap @m\n}\nchain c {\n}\n" },
	{ "takes_an_audit", "chain ingress { policy drop; audit; jump x }\nchain x { drop }",
	  "chain ingress {\n    policy drop\n    audit\n    jump x\n}\nchain x {\n    drop\n}\n" },
	{ "orders_the_objects", "service a { listen 192.0.2.1:80/tcp; forward l2; backend 10.0.0.1 }\nchain ingress { }\ninterface eth0",
	  "interface eth0\nchain ingress {\n    policy accept\n}\nservice a {\n    listen 192.0.2.1:80/tcp\n    forward l2\n    backend 10.0.0.1\n}\n" },
};

static void check_text_vector(void **state)
{
	const struct vector *v = *state;

	check_text(v->text, v->canonical);
	check_text(v->canonical, v->canonical);
}

static const char base[] =
	"set s {\n    type ipv4_addr\n    elements = { 10.0.0.1 }\n}\n"
	"chain ingress {\n    policy accept\n    tcp dport 1 drop\n    tcp dport 2 drop\n}\n"
	"service web {\n    listen 192.0.2.1:80/tcp\n    forward l2\n    backend 10.0.0.1\n}\n";

static void expect_failure(int code, const char *message)
{
	assert_int_equal(code, EXIT_USAGE);
	assert_non_null(fail_message());
	assert_string_equal(fail_message(), message);
	fail_clear();
}

static void adds_a_rule_where_told(void **state)
{
	struct config c;
	char *text;

	(void)state;
	parse_well(&c, base);
	assert_int_equal(config_add_rule(&c, CHAIN_INGRESS, 1, "ip saddr @s drop comment \"in between\""), 0);
	assert_int_equal(config_add_rule(&c, CHAIN_INGRESS, -1, "counter"), 0);
	assert_int_equal(config_add_rule(&c, CHAIN_EGRESS, 0, "accept"), 0);
	text = rule_text(&c.chains[CHAIN_INGRESS].rules[1]);
	assert_string_equal(text, "ip saddr @s drop comment \"in between\"");
	assert_int_equal(c.chains[CHAIN_INGRESS].n_rules, 4);
	assert_true(c.chains[CHAIN_INGRESS].rules[3].counter);
	assert_true(c.chains[CHAIN_EGRESS].present);
	free(text);
	config_free(&c);
}

static void leaves_all_as_it_was_when_words_are_wrong(void **state)
{
	struct config c;
	char *out;

	(void)state;
	parse_well(&c, base);
	expect_failure(config_add_rule(&c, CHAIN_INGRESS, 0, "ip saddr @t drop"), "unknown set \"t\"");
	expect_failure(config_add_rule(&c, CHAIN_INGRESS, 0, "accept\naccept"), "unexpected \"accept\", expected end of line");
	expect_failure(config_add_rule(&c, CHAIN_INGRESS, 0, ""),
		       "unexpected end of the text, expected accept, drop, reject, jump, goto, return, counter, limit, log, add, update, comment or a match");
	expect_failure(config_add_service(&c, "web", "listen 192.0.2.2:80/tcp forward l2 backend 10.0.0.1"),
		       "service web exists already");
	expect_failure(config_add_service(&c, "www", "listen 192.0.2.1:80/tcp forward l2 backend 10.0.0.1"),
		       "service web listens there already");
	expect_failure(config_add_backend(&c, &c.services[0], "10.0.0.1 weight 3"), "service web has this backend already");
	expect_failure(config_add_backend(&c, &c.services[0], "10.0.0.2 wait 3"),
		       "unexpected \"wait\", expected weight or end of line");
	expect_failure(config_add_set(&c, "t", "elements = { 1 }"),
		       "the set's type must stand before its elements: write type ipv4_addr");
	expect_failure(config_add_set(&c, "s", "type ipv4_addr"), "set s exists already");
	expect_failure(config_add_set(&c, "a b", "type ipv4_addr"),
		       "\"a b\" is not a set name: letters, digits, _ - and ., a letter, digit or _ first");
	out = printed(&c);
	assert_string_equal(out, base);
	free(out);
	config_free(&c);
}

static void adds_services_backends_and_sets_from_words(void **state)
{
	struct config c;

	(void)state;
	parse_well(&c, base);
	assert_int_equal(config_add_service(&c, "dns", "listen 192.0.2.1:53/udp listen 192.0.2.1:53/tcp forward ipip "
					    "backend 2001:db8::1 backend 10.0.0.2 weight 7"), 0);
	assert_int_equal(config_service(&c, "dns")->n_listens, 2);
	assert_int_equal(config_service(&c, "dns")->backends[1].weight, 7);
	assert_int_equal(config_add_backend(&c, config_service(&c, "web"), "10.0.0.9 weight 3"), 0);
	assert_int_equal(config_service(&c, "web")->backends[1].weight, 3);
	assert_int_equal(config_add_set(&c, "ports", "type inet_service flags interval elements = { 1-5, 9 }"), 0);
	assert_int_equal(config_set(&c, "ports")->elements.n, 2);
	assert_null(config_set(&c, "absent"));
	config_free(&c);
}

static void takes_elements_with_commas_and_without(void **state)
{
	static const char *const words[] = { "10.0.0.0/8, 192.0.2.1", "10.0.0.0/8 192.0.2.1", "{ 10.0.0.0/8, 192.0.2.1 }" };
	struct set s = { .name = (char *)"s", .type = TYPE_IPV4_ADDR, .interval = true };
	struct spans out;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(config_parse_elements(&s, &out, NULL, words[i]), 0);
		assert_int_equal(out.n, 2);
		assert_true(spans_have(&out, 0x0a123456) && spans_have(&out, 0xc0000201) && !spans_have(&out, 0x0b000000));
		spans_free(&out);
	}
	s.interval = false;
	expect_failure(config_parse_elements(&s, &out, NULL, "192.0.2.1 10.0.0.0/8"),
		       "set s takes no ranges or prefixes: it lacks flags interval");
	expect_failure(config_parse_elements(&s, &out, NULL, ""), "unexpected end of the text, expected a value");
}

static void leaves_nothing_of_a_wrong_text(void **state)
{
	struct config c;
	char *text;

	(void)state;
	assert_true(asprintf(&text, "%schain egress {", base) > 0);
	expect_failure(config_parse(&c, "text", text), "the text ends before the { of line 15 is closed");
	assert_true(!c.n_sets && !c.n_services && !c.chains[CHAIN_INGRESS].n_rules && !c.n_files);
	free(text);
}

/* Spans of 8-bit values against 256 booleans. */
enum { MODEL = 256, ROUNDS = 2000 };

static void random_spans(struct spans *s, bool *model)
{
	memset(s, 0, sizeof(*s));
	memset(model, 0, MODEL);
	for (int n = random() % 20; n > 0; n--) {
		int lo = random() % MODEL, hi = lo + random() % (random() % 2 ? 4 : MODEL - lo);

		hi = hi < MODEL ? hi : MODEL - 1;
		spans_add(s, lo, hi);
		memset(model + lo, 1, hi - lo + 1);
	}
	spans_normalise(s);
}

static void assert_spans(const struct spans *s, const bool *model)
{
	for (int x = 0; x < MODEL; x++)
		assert_int_equal(spans_have(s, x), model[x]);
	for (int i = 1; i < s->n; i++)
		assert_true(s->v[i - 1].hi + 1 < s->v[i].lo);
}

static void spans_are_what_a_naive_model_says(void **state)
{
	unsigned int seed = time(NULL);
	bool a[MODEL], b[MODEL];
	struct spans x, y, z;

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < ROUNDS; i++) {
		random_spans(&x, a);
		random_spans(&y, b);
		assert_spans(&x, a);
		spans_subtract(&z, &x, &y);
		for (int k = 0; k < MODEL; k++)
			a[k] = a[k] && !b[k];
		assert_spans(&z, a);
		spans_free(&x);
		spans_free(&y);
		spans_free(&z);
	}
}

static void spans_reach_the_end_of_the_address_space(void **state)
{
	u128 last = ~(u128)0;
	struct spans s = { 0 };

	(void)state;
	spans_add(&s, last, last);
	spans_add(&s, 0, 0);
	spans_add(&s, last - 1, last - 1);
	spans_normalise(&s);
	assert_int_equal(s.n, 2);
	assert_true(s.v[1].lo == last - 1 && s.v[1].hi == last && !spans_have(&s, 1));
	spans_free(&s);
}

static const struct difference {
	const char *name, *old, *new, *text;
	int n;
} differences[] = {
	{ "finds_no_difference_in_equal_texts", base, base, "", 0 },
	{ "ignores_the_order_of_backends", "service a { listen 192.0.2.1:80/tcp; forward l2; backend 10.0.0.1; backend 10.0.0.2 }",
	  "service a { listen 192.0.2.1:80/tcp; forward l2; backend 10.0.0.2; backend 10.0.0.1 }", "", 0 },
	{ "lists_interfaces", "interface eth0", "interface eth1", "-interface eth0\n+interface eth1\n", 2 },
	{ "lists_rules_in_their_order", "chain ingress { counter; tcp dport 1 drop; accept }",
	  "chain ingress { counter; tcp dport 2 drop; tcp dport 3 drop; accept }",
	  " chain ingress\n-    tcp dport 1 drop\n+    tcp dport 2 drop\n+    tcp dport 3 drop\n", 3 },
	{ "lists_a_moved_rule_as_left_and_come", "chain ingress { tcp dport 1 drop; tcp dport 2 drop; tcp dport 3 drop }",
	  "chain ingress { tcp dport 3 drop; tcp dport 1 drop; tcp dport 2 drop }",
	  " chain ingress\n+    tcp dport 3 drop\n-    tcp dport 3 drop\n", 2 },
	{ "tells_equal_rules_apart_by_number", "chain ingress { counter; counter }", "chain ingress { counter }",
	  " chain ingress\n-    counter\n", 1 },
	{ "lists_a_policy", "chain egress { policy drop; }", "chain egress { }", " chain egress\n-    policy drop\n+    policy accept\n", 2 },
	{ "lists_elements_by_value", "set s { type inet_service; elements = { 1, 2, 3 } }",
	  "set s { type inet_service; elements = { 2, 3, 9 } }", " set s\n-    1\n+    9\n", 2 },
	{ "lists_the_half_of_a_prefix_that_left", "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }",
	  "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/9 } }", " set s\n-    10.128.0.0/9\n", 1 },
	{ "lists_all_elements_of_a_set_of_another_type", "set s { type inet_service; elements = { 1 } }",
	  "set s { type vlan_id; elements = { 1 } }", " set s\n-    type inet_service\n+    type vlan_id\n-    1\n+    1\n", 4 },
	{ "lists_a_new_service_whole", "", "service a { listen 192.0.2.1:80/tcp; forward l2; backend 10.0.0.1 }",
	  " service a\n+    backend 10.0.0.1\n+    forward l2\n+    listen 192.0.2.1:80/tcp\n", 3 },
	{ "lists_a_new_weight", "service a { listen 192.0.2.1:80/tcp; forward l2; backend 10.0.0.1 }",
	  "service a { listen 192.0.2.1:80/tcp; forward l2; backend 10.0.0.1 weight 5 }",
	  " service a\n-    backend 10.0.0.1\n+    backend 10.0.0.1 weight 5\n", 2 },
};

static void check_difference(void **state)
{
	const struct difference *d = *state;
	struct config old, new;
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	parse_well(&old, d->old);
	parse_well(&new, d->new);
	assert_int_equal(config_diff(f, &old, &new), d->n);
	fclose(f);
	assert_string_equal(text, d->text);
	free(text);
	config_free(&old);
	config_free(&new);
}

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const struct CMUnitTest functions[] = {
	cmocka_unit_test(adds_a_rule_where_told),
	cmocka_unit_test(leaves_all_as_it_was_when_words_are_wrong),
	cmocka_unit_test(adds_services_backends_and_sets_from_words),
	cmocka_unit_test(takes_elements_with_commas_and_without),
	cmocka_unit_test(leaves_nothing_of_a_wrong_text),
	cmocka_unit_test(spans_are_what_a_naive_model_says),
	cmocka_unit_test(spans_reach_the_end_of_the_address_space),
};

int main(void)
{
	struct CMUnitTest config[COUNT(rules) + COUNT(texts) + COUNT(differences) + COUNT(functions)], *t = config;

	for (size_t i = 0; i < COUNT(rules); i++)
		*t++ = (struct CMUnitTest){ rules[i].name, check_rule_vector, NULL, NULL, (void *)&rules[i] };
	for (size_t i = 0; i < COUNT(texts); i++)
		*t++ = (struct CMUnitTest){ texts[i].name, check_text_vector, NULL, NULL, (void *)&texts[i] };
	for (size_t i = 0; i < COUNT(differences); i++)
		*t++ = (struct CMUnitTest){ differences[i].name, check_difference, NULL, NULL, (void *)&differences[i] };
	memcpy(t, functions, sizeof(functions));
	return cmocka_run_group_tests(config, NULL, NULL);
}
