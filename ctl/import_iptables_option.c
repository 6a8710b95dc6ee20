/* SPDX-License-Identifier: GPL-2.0-only */
/* import_iptables_option: each option of iptables is a row of a table and becomes a match of our language. A rule with one that has no row is left
 * out as a whole: half a rule is another rule. */
#include <stdlib.h>
#include <string.h>
#include "import_iptables.h"

void rule_left_out(struct rule_line *r, const char *what, const char *why)
{
	if (!r->wrong)
		import_left_out(r->at->im, r->at->line, r->raw, "%s %s", what, why);
	r->wrong = true;
}

static const char *value(struct rule_line *r)
{
	const char *option = r->words[r->i];

	if (r->i + 1 < r->n)
		return r->words[++r->i];
	rule_left_out(r, option, "lacks its value");
	return "";
}

static const char *not_sign(const struct rule_line *r)
{
	return r->not ? "!= " : "";
}

/* "10.0.0.0/255.0.0.0,192.0.2.1": a dotted mask becomes a length. */
static void print_address(FILE *f, const char *text)
{
	const char *slash = strchr(text, '/');
	struct address mask;
	int bits = 0;

	if (!slash || !strchr(slash, '.') || address_parse(&mask, slash + 1)) {
		fputs(text, f);
		return;
	}
	while (bits < 32 && mask.bytes[bits / 8] & 0x80 >> bits % 8)
		bits++;
	for (int i = bits; i < 32; i++)
		if (mask.bytes[i / 8] & 0x80 >> i % 8)
			bits = 33;	/* a mask with holes: the grammar says what it thinks of /33 */
	fprintf(f, "%.*s/%d", (int)(slash - text), text, bits);
}

static void take_address(struct rule_line *r, const char *key)
{
	char *list = must(strdup(value(r))), *save, *part;
	bool many = strchr(list, ','), first = true;

	fprintf(r->out, "%s%s %s%s", r->at->family == 4 ? "ip " : "ip6 ", key, not_sign(r), many ? "{ " : "");
	for (part = strtok_r(list, ",", &save); part; part = strtok_r(NULL, ",", &save), first = false) {
		fputs(first ? "" : ", ", r->out);
		print_address(r->out, part);
	}
	fputs(many ? " } " : " ", r->out);
	free(list);
}

static void take_interface(struct rule_line *r, const char *key)
{
	const char *name = value(r);
	int n = strlen(name);
	bool all = n && name[n - 1] == '+';

	if (all && n == 1) {
		if (r->not)
			rule_left_out(r, "-i", "that excludes every interface never matches");
		return;
	}
	fprintf(r->out, "%s %s\"%.*s%s\" ", key, not_sign(r), n - all, name, all ? "*" : "");
}

static void take_protocol(struct rule_line *r, const char *key)
{
	const char *name = value(r);

	(void)key;
	if (!strcmp(name, "all") || !strcmp(name, "0"))
		return;
	free(r->proto);
	r->proto = must(strdup(!strcmp(name, "ipv6-icmp") || !strcmp(name, "icmp6") ? "icmpv6" : name));
	r->proto_not = r->not;
}

static void take_fragment(struct rule_line *r, const char *key)
{
	(void)key;
	fprintf(r->out, "ip frag-off & 0x1fff %s 0 ", r->not ? "==" : "!=");
}

/* The protocol of a port: said by -p. */
static const char *ports_of(struct rule_line *r)
{
	static const char *const known[] = { "tcp", "udp", "sctp" };

	for (int i = 0; i < 3 && r->proto && !r->proto_not; i++)
		if (!strcmp(r->proto, known[i])) {
			r->proto_said = true;
			return known[i];
		}
	rule_left_out(r, "a port", "needs -p tcp, udp or sctp");
	return "tcp";
}

static void print_range(FILE *f, const char *text, char sign, const char *most)
{
	const char *colon = strchr(text, sign);

	if (colon)
		fprintf(f, "%.*s-%s", colon > text ? (int)(colon - text) : 1, colon > text ? text : "0", colon[1] ? colon + 1 : most);
	else
		fputs(text, f);
}

static void take_port(struct rule_line *r, const char *key)
{
	fprintf(r->out, "%s %s %s", ports_of(r), key, not_sign(r));
	print_range(r->out, value(r), ':', "65535");
	fputc(' ', r->out);
}

static void take_ports(struct rule_line *r, const char *key)
{
	const char *proto = ports_of(r);
	char *list = must(strdup(value(r))), *save, *part;
	bool first = true;

	fprintf(r->out, "%s %s %s{ ", proto, key, not_sign(r));
	for (part = strtok_r(list, ",", &save); part; part = strtok_r(NULL, ",", &save), first = false) {
		fputs(first ? "" : ", ", r->out);
		print_range(r->out, part, ':', "65535");
	}
	fputs(" } ", r->out);
	free(list);
}

static void print_flags(FILE *f, const char *text)
{
	if (!strcmp(text, "NONE"))
		fputs("0x0", f);
	else if (!strcmp(text, "ALL"))
		fputs("0x3f", f);
	else
		for (; *text; text++)
			fputc(*text == ',' ? '|' : *text | 32, f);
}

static void take_flags(struct rule_line *r, const char *key)
{
	(void)key;
	r->proto_said = true;
	fputs("tcp flags & (", r->out);
	print_flags(r->out, value(r));
	fprintf(r->out, ") %s ", r->not ? "!=" : "==");
	print_flags(r->out, value(r));
	fputc(' ', r->out);
}

static void take_syn(struct rule_line *r, const char *key)
{
	(void)key;
	r->proto_said = true;
	fprintf(r->out, "tcp flags & (fin|syn|rst|ack) %s syn ", r->not ? "!=" : "==");
}

static void take_tcp_option(struct rule_line *r, const char *key)
{
	static const struct { const char *number, *name; } known[] = {
		{ "2", "maxseg" }, { "3", "window" }, { "4", "sack-perm" }, { "5", "sack" }, { "8", "timestamp" }, { "19", "md5sig" },
		{ "30", "mptcp" }, { "34", "fastopen" },
	};
	const char *number = value(r);

	(void)key;
	r->proto_said = true;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(number, known[i].number)) {
			fprintf(r->out, "tcp option %s %s ", known[i].name, r->not ? "missing" : "exists");
			return;
		}
	rule_left_out(r, "--tcp-option", "of this kind has no name here");
}

/* "8", "3/4", a name, or "any". */
static void take_icmp(struct rule_line *r, const char *key)
{
	const char *text = value(r), *slash = strchr(text, '/');
	int n = slash ? slash - text : (int)strlen(text);

	if (!strcmp(text, "any") || !strcmp(text, "255"))
		return;
	if (slash && r->not) {
		rule_left_out(r, "a type and code", "that must not both hold is not one match");
		return;
	}
	r->proto_said = true;
	fprintf(r->out, "%s type %s%.*s ", key, not_sign(r), n, text);
	if (slash)
		fprintf(r->out, "%s code %s ", key, slash + 1);
}

static void take_value(struct rule_line *r, const char *key)
{
	fprintf(r->out, "%s %s%s ", key, not_sign(r), value(r));
}

static void take_below(struct rule_line *r, const char *key)
{
	fprintf(r->out, "%s < %s ", key, value(r));
}

static void take_above(struct rule_line *r, const char *key)
{
	fprintf(r->out, "%s > %s ", key, value(r));
}

static void take_mark(struct rule_line *r, const char *key)
{
	const char *text = value(r), *slash = strchr(text, '/');

	if (slash && strcasecmp(slash, "/0xffffffff"))
		fprintf(r->out, "%s & %s %s %.*s ", key, slash + 1, r->not ? "!=" : "==", (int)(slash - text), text);
	else
		fprintf(r->out, "%s %s%.*s ", key, not_sign(r), (int)strcspn(text, "/"), text);
}

static void take_length(struct rule_line *r, const char *key)
{
	fprintf(r->out, "%s %s", key, not_sign(r));
	print_range(r->out, value(r), ':', "65535");
	fputc(' ', r->out);
}

static void take_address_range(struct rule_line *r, const char *key)
{
	fprintf(r->out, "%s%s %s%s ", r->at->family == 4 ? "ip " : "ip6 ", key, not_sign(r), value(r));
}

static void take_dscp(struct rule_line *r, const char *key)
{
	const char *text = value(r);

	fprintf(r->out, "%s%s %s", r->at->family == 4 ? "ip " : "ip6 ", key, not_sign(r));
	for (; *text; text++)
		fputc(*text >= 'A' && *text <= 'Z' ? *text | 32 : *text, r->out);
	fputc(' ', r->out);
}

static void take_state(struct rule_line *r, const char *key)
{
	const char *text = value(r);
	bool many = strchr(text, ',');

	fprintf(r->out, "%s %s%s", key, not_sign(r), many ? "{ " : "");
	for (; *text; text++)
		fputs(*text == ',' ? ", " : (char[]){ *text | 32, 0 }, r->out);
	fputs(many ? " } " : " ", r->out);
}

static void keep(char **to, const char *text)
{
	free(*to);
	*to = must(strdup(text));
}

static void take_target(struct rule_line *r, const char *key)
{
	keep(&r->target, value(r));
	r->is_goto = key[0] == 'g';
}

static void take_comment(struct rule_line *r, const char *key)
{
	(void)key;
	keep(&r->comment, value(r));
}

/* "5/min" is 5/minute there and here. */
static void take_limit(struct rule_line *r, const char *key)
{
	const char *text = value(r), *slash = strchr(text, '/');
	const char *unit = !slash ? "" : slash[1] == 's' ? "second" : slash[1] == 'm' ? "minute" : slash[1] == 'h' ? "hour" : "day";
	char *rate = slash ? import_format("%.*s/%s", (int)(slash - text), text, unit) : must(strdup(text));

	keep(key[0] == 'r' ? &r->limit : &r->burst, rate);
	free(rate);
}

/* "VALUE/MASK": the bits of the mask are taken away first, then those of the value set ("s"), or turned ("x"). */
static void take_set_mark(struct rule_line *r, const char *how)
{
	const char *text = value(r);
	char *end, *ours;
	unsigned long v = strtoul(text, &end, 0), mask = *end == '/' ? strtoul(end + 1, &end, 0) : 0xffffffff;

	if (*end || end == text || v > 0xffffffff || mask > 0xffffffff) {
		rule_left_out(r, text, "is no mark");
		return;
	}
	if (how[0] == 's')
		mask |= v;	/* what is set must not have been there */
	if (mask == 0xffffffff)
		ours = import_format("meta mark set 0x%lx", v);
	else
		ours = import_format("meta mark set mark and 0x%lx xor 0x%lx", ~mask & 0xffffffff, v);
	keep(&r->mark, ours);
	free(ours);
}

static void take_log(struct rule_line *r, const char *key)
{
	(void)key;
	keep(&r->log, value(r));
}

static void take_module(struct rule_line *r, const char *key)
{
	static const char *const known[] = { "tcp", "udp", "sctp", "icmp", "icmp6", "multiport", "mac", "mark", "ttl", "hl", "length", "iprange",
					     "dscp", "comment", "state", "conntrack", "limit" };
	const char *name = value(r);

	(void)key;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(name, known[i]))
			return;
	rule_left_out(r, name, "(-m) has no like here");
}

/* port-unreachable is what reject says by itself. */
static void take_reject(struct rule_line *r, const char *key)
{
	static const struct { const char *name, *ours; } known[] = {
		{ "tcp-reset", "tcp reset" }, { "tcp-rst", "tcp reset" }, { "icmp-port-unreachable", NULL }, { "icmp6-port-unreachable", NULL },
		{ "icmp-net-unreachable", "icmp net-unreachable" }, { "icmp-host-unreachable", "icmp host-unreachable" },
		{ "icmp-proto-unreachable", "icmp prot-unreachable" }, { "icmp-net-prohibited", "icmp net-prohibited" },
		{ "icmp-host-prohibited", "icmp host-prohibited" }, { "icmp-admin-prohibited", "icmp admin-prohibited" },
		{ "icmp6-no-route", "icmpv6 no-route" }, { "icmp6-adm-prohibited", "icmpv6 admin-prohibited" },
		{ "icmp6-addr-unreachable", "icmpv6 addr-unreachable" }, { "icmp6-policy-fail", "icmpv6 policy-fail" },
		{ "icmp6-reject-route", "icmpv6 reject-route" },
	};
	const char *name = value(r);

	(void)key;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(name, known[i].name))
			continue;
		if (known[i].ours)
			keep(&r->reject, known[i].ours);
		return;
	}
	rule_left_out(r, name, "(--reject-with) has no like here");
}

/* `key`: what `take` is about. */
static const struct option {
	const char *name;
	void (*take)(struct rule_line *r, const char *key);
	const char *key;
} options[] = {
	{ "-s", take_address, "saddr" }, { "--source", take_address, "saddr" }, { "-d", take_address, "daddr" },
	{ "--destination", take_address, "daddr" }, { "-i", take_interface, "iifname" }, { "--in-interface", take_interface, "iifname" },
	{ "-o", take_interface, "oifname" }, { "--out-interface", take_interface, "oifname" }, { "-p", take_protocol, "" },
	{ "--protocol", take_protocol, "" }, { "-f", take_fragment, "" }, { "--fragment", take_fragment, "" }, { "-m", take_module, "" },
	{ "--match", take_module, "" }, { "--dport", take_port, "dport" }, { "--destination-port", take_port, "dport" },
	{ "--sport", take_port, "sport" }, { "--source-port", take_port, "sport" }, { "--dports", take_ports, "dport" },
	{ "--sports", take_ports, "sport" }, { "--tcp-flags", take_flags, "" }, { "--syn", take_syn, "" },
	{ "--tcp-option", take_tcp_option, "" }, { "--icmp-type", take_icmp, "icmp" }, { "--icmpv6-type", take_icmp, "icmpv6" },
	{ "--mac-source", take_value, "ether saddr" }, { "--mark", take_mark, "meta mark" }, { "--ttl-eq", take_value, "ip ttl" },
	{ "--ttl-lt", take_below, "ip ttl" }, { "--ttl-gt", take_above, "ip ttl" }, { "--hl-eq", take_value, "ip6 hoplimit" },
	{ "--hl-lt", take_below, "ip6 hoplimit" }, { "--hl-gt", take_above, "ip6 hoplimit" }, { "--length", take_length, "meta length" },
	{ "--src-range", take_address_range, "saddr" }, { "--dst-range", take_address_range, "daddr" }, { "--dscp", take_dscp, "dscp" },
	{ "--dscp-class", take_dscp, "dscp" }, { "--comment", take_comment, "" }, { "--ctstate", take_state, "ct state" },
	{ "--state", take_state, "ct state" }, { "--limit", take_limit, "rate" }, { "--limit-burst", take_limit, "burst" },
	{ "-j", take_target, "jump" }, { "--jump", take_target, "jump" }, { "-g", take_target, "goto" }, { "--goto", take_target, "goto" },
	{ "--reject-with", take_reject, "" }, { "--set-mark", take_set_mark, "set" }, { "--set-xmark", take_set_mark, "xor" }, { "--log-prefix", take_log, "" },
};

void options_take(struct rule_line *r)
{
	for (; r->i < r->n && !r->wrong; r->i++) {
		const struct option *o = NULL;

		if (!strcmp(r->words[r->i], "!")) {
			r->not = true;
			continue;
		}
		for (size_t i = 0; i < sizeof(options) / sizeof(*options) && !o; i++)
			if (!strcmp(options[i].name, r->words[r->i]))
				o = &options[i];
		if (o)
			o->take(r, o->key);
		else
			rule_left_out(r, r->words[r->i], "has no like here");
		r->not = false;
	}
}
