/* SPDX-License-Identifier: GPL-2.0-only */
/* unit_compile: the compiled filter against the language's meaning, on random rule sets and on packets that stand at the edges of what the
 * rules say. Two oracles: model_classify(), and a naive reading of the model that shares nothing with the compiler. WEIR_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../ctl/lookup.h"	/* before cmocka.h, whose macro fail() hides ours */
#include "../ctl/patch.h"
#include "../maps/reject.h"
#include "random.h"
#include <cmocka.h>

enum { RULE_SETS = 250, PACKETS = 600, MAX_TEXT = 1 << 18 };

/* ---- random text */

struct text {
	char s[MAX_TEXT];
	size_t n;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	t->n += vsnprintf(t->s + t->n, sizeof(t->s) - t->n, fmt, ap);
	va_end(ap);
	assert_true(t->n < sizeof(t->s));
}

/* Small ranges of values, so that rules meet. */
static void add_value(struct text *t, enum config_type type)
{
	uint32_t a = below(1000), b = a + below(1000);

	switch (type) {
	case TYPE_IPV4_ADDR:
		if (below(3))
			add(t, "10.%u.%u.%u/%u", below(4), below(256), below(256), 8 + below(25));
		else
			add(t, "10.0.%u.%u-10.%u.255.255", below(256), below(256), below(3) + 1);
		break;
	case TYPE_IPV6_ADDR:
		if (below(3))
			add(t, "2001:db8:%x::%x/%u", below(4), below(65536), 16 + below(113));
		else
			add(t, "2001:db8::%x-2001:db8:%x::", below(65536), below(4) + 1);
		break;
	case TYPE_INET_SERVICE: add(t, "%u-%u", a, b); break;
	case TYPE_VLAN_ID: add(t, "%u-%u", a, b); break;
	case TYPE_ETHER_TYPE: add(t, "0x%x", below(2) ? 0x800 : 0x86dd); break;
	case TYPE_ETHER_ADDR: add(t, "02:00:00:00:00:%02x", below(16)); break;
	case TYPE_IFNAME: add(t, "\"eth%u\"", below(4)); break;
	case TYPE_INET_PROTO: add(t, "%u", (uint32_t[]){ 1, 6, 17, 58, 132, 47 }[below(6)]); break;
	case TYPE_INT16: case TYPE_INT32: case TYPE_RAW: add(t, "%u-%u", a, b); break;
	case TYPE_ECN: add(t, "%u", below(4)); break;
	case TYPE_PRESENCE: add(t, below(2) ? "exists" : "missing"); break;
	case TYPE_NF_PROTO: add(t, below(2) ? "ipv4" : "ipv6"); break;
	default: add(t, "%u", below(20)); break;
	}
}

static void add_flags(struct text *t)
{
	static const char *const forms[] = { "tcp flags syn ", "tcp flags == syn,ack ", "tcp flags != ack ", "tcp flags & (syn|ack) == syn ",
					     "tcp flags & (fin|rst) != rst ", "tcp flags ! fin,rst " };

	add(t, "%s", forms[below(6)]);
}

/* One of the matches whose value the parser does not keep, of a family and, where it says so, of TCP. */
static void add_read(struct text *t, int family, bool tcp)
{
	static const char *const forms[][3] = {		/* IPv4, IPv6, TCP */
		{ "ip ttl < %u ", "ip6 hoplimit != %u ", "tcp option maxseg size > %u " },
		{ "ip dscp %u ", "ip6 dscp { 3, %u } ", "tcp option maxseg missing " },
		{ "ip ecn 1 ", "ip6 ecn != ce ", "tcp option timestamp exists " },
		{ "ip frag-off & 0x1fff != 0 ", "exthdr frag exists ", "@th,112,16 %u " },
		{ "ip frag-off & 0x6007 == %u ", "exthdr hbh missing ", "tcp option maxseg exists tcp option sack-perm exists " },
		{ "ip option lsrr exists ", "ip6 nexthdr %u ", "tcp option maxseg size %u " },
		{ "@nh,0,16 & 0xf0 == 0x%u0 ", "ip6 length < 1%u ", "tcp doff > %u " },
		{ "ip length 1%u-200 ", "@nh,0,16 %u ", "@th,112,16 & 1 == 1 " },
	};

	add(t, forms[below(8)][tcp ? 2 : family == 6], below(8));
}

enum { SETS = 6, SETS_INTERVAL = 4 };
static const struct { const char *name; enum config_type type; } sets[SETS] = {
	{ "four", TYPE_IPV4_ADDR }, { "six", TYPE_IPV6_ADDR }, { "ports", TYPE_INET_SERVICE }, { "tags", TYPE_VLAN_ID },
	{ "moving4", TYPE_IPV4_ADDR }, { "moving6", TYPE_IPV6_ADDR },	/* of single addresses, looked up */
};

static void add_set(struct text *t, int i)
{
	static const char *const flags[] = { "", "", ", timeout", "; counter" };	/* the latter two are looked up */
	int n = below(12);

	if (i >= SETS_INTERVAL) {
		add(t, "set %s { type %s; flags dynamic; }\n", sets[i].name, config_type_text[sets[i].type]);
		return;
	}
	add(t, "set %s { type %s; flags interval%s", sets[i].name, config_type_text[sets[i].type], flags[i < 2 ? below(4) : 0]);
	for (int e = 0; e < n; e++) {
		add(t, e ? ", " : "; elements = { ");
		add_value(t, sets[i].type);
	}
	add(t, n ? " } }\n" : " }\n");
}

static void add_operand(struct text *t, enum config_type type)
{
	int n = 2 + below(3);

	if (!below(4))
		add(t, "!= ");
	for (int i = 0; i < SETS; i++) {
		if (sets[i].type == type && !below(3)) {
			add(t, "@%s ", sets[i].name);
			return;
		}
	}
	if (below(3)) {
		add_value(t, type);
		add(t, " ");
		return;
	}
	for (int i = 0; i < n; i++) {
		add(t, i ? ", " : "{ ");
		add_value(t, type);
	}
	add(t, " } ");
}

enum { USERS = 4 };		/* chains u0 … u3; each leads to later ones only */

static void add_tuple(struct text *t, int i)
{
	if (i)
		add(t, ", ");
	add_value(t, TYPE_IPV4_ADDR);
	add(t, " . ");
	add_value(t, TYPE_INET_SERVICE);
}

/* `chain`: of the rule, -1: ingress. */
static void add_decision(struct text *t, int chain)
{
	int to = chain + 1 + below(USERS - 1 - chain > 0 ? USERS - 1 - chain : 1), what = below(14);
	bool leads = chain < USERS - 1;

	if (leads && what == 0)
		add(t, "jump u%d\n", to);
	else if (leads && what == 1)
		add(t, "goto u%d\n", to);
	else if (what == 2)
		add(t, "return\n");
	else if (leads && what == 3)
		add(t, "tcp dport vmap { %u : accept, %u-%u : jump u%d, 600-700 : drop, 701-800 : continue, 801-900 : return, 901 : goto u%d }\n",
		    below(100), 100 + below(50), 200 + below(300), to, to);
	else if (what == 4)
		add(t, "meta mark set %u\n", below(8));
	else if (what == 5)
		add(t, "%s\n", (const char *[]){ "meta mark set mark and 5 counter", "meta mark set mark or 2", "meta mark set mark xor 3 accept",
						"meta mark set mark and 6 xor 3 drop", "meta mark set 1 return", "counter meta mark set 2 return" }[below(6)]);
	else if (leads && what == 6)
		add(t, "meta mark set %u %s u%d\n", below(8), below(2) ? "jump" : "goto", to);
	else
		add(t, "%s\n", (const char *[]){ "accept", "drop", "counter", "counter drop", "log", "log drop", "reject with tcp reset", "reject" }[below(8)]);
}

static void add_concatenation(struct text *t)
{
	int n = 1 + below(3);

	add(t, "ip saddr . tcp dport %s{ ", below(3) ? "" : "!= ");
	for (int i = 0; i < n; i++)
		add_tuple(t, i);
	add(t, " } ");
}

/* Families and protocols must agree in one rule, and `meta l4proto` may contradict ports: drawn so that most rules can match. */
static void add_rule(struct text *t, int chain)
{
	static const enum config_key any[] = { KEY_META_L4PROTO, KEY_VLAN_ID, KEY_IIFNAME, KEY_ETHER_SADDR, KEY_ETHER_DADDR, KEY_ETHER_TYPE,
					       KEY_VLAN_PCP, KEY_META_LENGTH, KEY_META_PROTOCOL, KEY_META_NFPROTO, KEY_META_MARK,
					       KEY_META_RANDOM, KEY_TH_DPORT };
	int family = below(2) ? 4 : 6, what = below(6);
	enum config_key keys[6];
	int n = 0;

	if (below(2))
		keys[n++] = family == 4 ? KEY_IP_SADDR : KEY_IP6_SADDR;
	if (below(2))
		keys[n++] = family == 4 ? KEY_IP_DADDR : KEY_IP6_DADDR;
	if (what < 3 && below(2))
		keys[n++] = (enum config_key[]){ KEY_TCP_SPORT, KEY_UDP_SPORT, KEY_SCTP_SPORT }[what];
	if (what < 3 && below(2))
		keys[n++] = (enum config_key[]){ KEY_TCP_DPORT, KEY_UDP_DPORT, KEY_SCTP_DPORT }[what];
	if (what == 3)
		keys[n++] = (enum config_key[]){ KEY_ICMP_TYPE, KEY_ICMP_CODE, KEY_ICMPV6_TYPE, KEY_ICMPV6_CODE }[below(2) + (family == 6) * 2];
	if (!below(5))
		add(t, "meta mark %s%u ", below(2) ? "" : below(2) ? "!= " : "< ", 1 + below(7));
	if (what == 4 || !n)
		keys[n++] = any[below(what == 3 ? 1 : sizeof(any) / sizeof(any[0]))];
	for (int i = 0; i < n; i++) {
		add(t, "%s ", config_key_text[keys[i]]);
		add_operand(t, config_key_type[keys[i]]);
	}
	if (!what && !below(3))
		add_flags(t);
	if (!below(4))
		add_read(t, family, !what);
	if (family == 4 && !what && !below(4))
		add_concatenation(t);
	if (family == 4 && !what && !below(6))
		add(t, "ip saddr . tcp dport %s@pairs ", below(3) ? "" : "!= ");
	if (family == 4 && !what && !below(8))
		add(t, "%s @pairs { ip saddr . tcp dport } ", below(2) ? "add" : "update");
	add_decision(t, chain);
}

enum kind { KIND_ANY, KIND_PLAIN, KIND_ASKING };

/* What records of trees ask beside addresses, ports and protocol. */
static void add_ask(struct text *t, int family)
{
	static const char *const states[] = { "new", "established,related", "invalid", "!= established", "untracked" };
	uint32_t what = below(6);

	if (what == 0)
		add(t, "ct state %s ", states[below(5)]);
	else if (what == 1)
		add_flags(t);
	else if (what == 2)
		add(t, "%s type %u-%u ", family == 4 ? "icmp" : "icmpv6", below(4), 4 + below(100));
	else if (what == 3)
		add(t, "vlan id %u-%u ", below(100), 100 + below(3000));
	else if (what == 4)
		add(t, "%s %s@moving%d ", family == 4 ? "ip saddr" : "ip6 daddr", below(3) ? "" : "!= ", family);
	else
		add(t, "iifname %s\"eth%u\" ", below(3) ? "" : "!= ", below(4));
}

/* Of addresses, ports and protocol alone, and it decides; `asks`: and more. */
static void add_plain_rule(struct text *t, int asks)
{
	static const char *const verdicts[] = { "accept", "drop", "counter drop", "reject", "return" };
	int family = below(3) ? 4 : 6;
	enum config_key keys[4];
	int n = 0;

	if (below(2))
		keys[n++] = family == 4 ? KEY_IP_SADDR : KEY_IP6_SADDR;
	if (below(2))
		keys[n++] = family == 4 ? KEY_IP_DADDR : KEY_IP6_DADDR;
	if (below(2))
		keys[n++] = (enum config_key[]){ KEY_TCP_SPORT, KEY_UDP_SPORT, KEY_META_L4PROTO, KEY_META_NFPROTO, KEY_TH_SPORT }[below(5)];
	if (below(2))
		keys[n++] = (enum config_key[]){ KEY_TCP_DPORT, KEY_UDP_DPORT, KEY_TH_DPORT }[below(3)];
	for (int i = 0; i < n; i++) {
		add(t, "%s ", config_key_text[keys[i]]);
		add_operand(t, config_key_type[keys[i]]);
	}
	while (asks--)
		add_ask(t, family);
	add(t, "%s\n", verdicts[below(5)]);
}

/* Rules that contradict themselves are refused: others take their place. */
static void random_config(struct config *c, int n_rules, enum kind kind)
{
	struct text *t = must(malloc(sizeof(*t)));

	t->n = 0;
	for (int i = 0; i < SETS; i++)
		add_set(t, i);
	add(t, "set pairs { type ipv4_addr . inet_service; flags dynamic; elements = { ");
	for (int i = 0; i < 200; i++)
		add(t, "%s10.0.0.%u . %u", i ? ", " : "", below(4), below(100));
	add(t, " } }\n");
	add(t, "chain ingress {\npolicy %s\n}\nchain egress {\ntcp dport 22 drop\n}\n"
	    "chain u0 {\n}\nchain u1 {\n}\nchain u2 {\n}\nchain u3 {\n}\n", below(2) ? "accept" : "drop");
	if (config_parse(c, "random", t->s))
		fail_msg("%s\n%s", fail_message(), t->s);
	for (int tries = 0, chain = -1; c->chains[CHAIN_INGRESS].n_rules < n_rules; chain = below(4) ? -1 : (int)below(USERS)) {
		t->n = 0;
		if (kind != KIND_ANY)
			chain = -1, add_plain_rule(t, kind == KIND_ASKING && below(2) ? 1 + below(2) : 0);
		else
			add_rule(t, tries++ > 20 * n_rules ? -1 : chain);
		if (config_add_rule(c, chain < 0 ? CHAIN_INGRESS : CHAIN_COUNT + chain, -1, t->s))
			fail_clear();
	}
	free(t);
}

/* ---- packets at the edges of values */

static const enum filter_field field_of[KEY_COUNT] = {
	[KEY_IP_SADDR] = FIELD_SADDR4, [KEY_IP_DADDR] = FIELD_DADDR4, [KEY_IP6_SADDR] = FIELD_SADDR6, [KEY_IP6_DADDR] = FIELD_DADDR6,
	[KEY_TCP_SPORT] = FIELD_SPORT, [KEY_UDP_SPORT] = FIELD_SPORT, [KEY_SCTP_SPORT] = FIELD_SPORT,
	[KEY_TCP_DPORT] = FIELD_DPORT, [KEY_UDP_DPORT] = FIELD_DPORT, [KEY_SCTP_DPORT] = FIELD_DPORT,
	[KEY_META_L4PROTO] = FIELD_L4PROTO, [KEY_ICMP_TYPE] = FIELD_ICMP_TYPE, [KEY_ICMPV6_TYPE] = FIELD_ICMP_TYPE,
	[KEY_ICMP_CODE] = FIELD_ICMP_CODE, [KEY_ICMPV6_CODE] = FIELD_ICMP_CODE, [KEY_TCP_FLAGS] = FIELD_TCP_FLAGS, [KEY_VLAN_ID] = FIELD_VLAN_ID,
	[KEY_IIFNAME] = FIELD_IFNAME, [KEY_OIFNAME] = FIELD_IFNAME, [KEY_ETHER_SADDR] = FIELD_ETHER_SADDR,
	[KEY_ETHER_DADDR] = FIELD_ETHER_DADDR, [KEY_ETHER_TYPE] = FIELD_ETHER_TYPE, [KEY_TH_SPORT] = FIELD_SPORT, [KEY_TH_DPORT] = FIELD_DPORT,
	[KEY_VLAN_PCP] = FIELD_VLAN_PCP, [KEY_META_LENGTH] = FIELD_LENGTH, [KEY_META_PROTOCOL] = FIELD_L3_TYPE, [KEY_META_NFPROTO] = FIELD_FAMILY,
	[KEY_META_MARK] = FIELD_MARK, [KEY_META_RANDOM] = FIELD_RANDOM, [KEY_IP_TTL] = FIELD_TTL, [KEY_IP6_HOPLIMIT] = FIELD_TTL,
	[KEY_IP_DSCP] = FIELD_TOS, [KEY_IP6_DSCP] = FIELD_TOS, [KEY_IP_ECN] = FIELD_TOS, [KEY_IP6_ECN] = FIELD_TOS,
	[KEY_IP_FRAG_OFF] = FIELD_FRAG_OFF, [KEY_IP_LENGTH] = FIELD_IP_LENGTH, [KEY_IP6_LENGTH] = FIELD_IP_LENGTH,
	[KEY_IP6_NEXTHDR] = FIELD_NEXTHDR, [KEY_IP_OPTION_LSRR] = FIELD_OPTIONS, [KEY_EXTHDR_HBH] = FIELD_OPTIONS,
	[KEY_EXTHDR_FRAG] = FIELD_OPTIONS, [KEY_TCP_OPTION_MAXSEG] = FIELD_TCP_OPTIONS, [KEY_TCP_OPTION_TIMESTAMP] = FIELD_TCP_OPTIONS,
	[KEY_TCP_OPTION_SACK_PERM] = FIELD_TCP_OPTIONS, [KEY_TCP_OPTION_MAXSEG_SIZE] = FIELD_TCP_MSS, [KEY_CT_STATE] = FIELD_CT_STATE,
};

/* Places that rules name get their fields in the order of the text. */
static enum filter_field field_of_match(const struct config *c, const struct match *m)
{
	struct raw seen[FILTER_RAWS];
	int n = 0, at;

	if (!m->raw.length)
		return field_of[m->key];
	for (int k = 0, i = 0; k < config_n_chains(c); i + 1 < config_chain(c, k)->n_rules ? i++ : (k++, i = 0)) {
		const struct chain *chain = config_chain(c, k);

		for (int j = 0; chain->n_rules && j < chain->rules[i].n_matches; j++) {
			const struct raw *r = &chain->rules[i].matches[j].raw;

			for (at = 0; at < n && !raw_equal(&seen[at], r); at++)
				;
			if (r->length && at == n)
				seen[n++] = *r;
			if (r->length && raw_equal(r, &m->raw))
				return FIELD_RAW0 + at;
		}
	}
	fail_msg("no field");
	return 0;
}

/* The match's own number in the field's value. */
static u128 part_of(const struct match *m, u128 x)
{
	static const struct { uint8_t shift, bits; } part[KEY_COUNT] = {
		[KEY_IP_DSCP] = { 2, 6 }, [KEY_IP6_DSCP] = { 2, 6 }, [KEY_IP_ECN] = { 0, 2 }, [KEY_IP6_ECN] = { 0, 2 },
		[KEY_IP_OPTION_LSRR] = { 0, 1 }, [KEY_EXTHDR_HBH] = { 0, 1 }, [KEY_EXTHDR_FRAG] = { 2, 1 },
		[KEY_TCP_OPTION_MAXSEG] = { 0, 1 }, [KEY_TCP_OPTION_SACK_PERM] = { 2, 1 }, [KEY_TCP_OPTION_TIMESTAMP] = { 4, 1 },
	};

	return part[m->key].bits ? x >> part[m->key].shift & ((1 << part[m->key].bits) - 1) : x;
}

/* What is in the sets that are looked up, as spans beside the elements. */
static void spread(struct config *c)
{
	for (int i = 0; i < c->n_sets; i++) {
		struct set *s = &c->sets[i];

		for (int e = 0; s->n_types == 1 && e < s->tuples.n; e++)
			spans_add(&s->elements, s->tuples.v[e].part[0].lo, s->tuples.v[e].part[0].hi);
		spans_normalise(&s->elements);
	}
}

static const struct spans *values(const struct config *c, const struct match *m)
{
	return m->set ? &config_set(c, m->set)->elements : &m->spans;
}

static void put(struct field_values *v, enum filter_field f, u128 x)
{
	v->hi[f] = x >> 64;
	v->lo[f] = (uint64_t)x;
	v->present |= FIELD_BIT(f);
}

static void put_some(struct field_values *v, enum filter_field f, u128 x)
{
	if (below(8))
		put(v, f, x);
}

/* A value that some rule's match on this field begins or ends with, or one beside it; now and then any small one. */
static u128 edge(const struct config *c, enum filter_field f, u128 mask)
{
	const struct chain *k = &c->chains[CHAIN_INGRESS];

	for (int tries = 0; tries < 40 && k->n_rules && below(8); tries++) {
		const struct rule *r = &k->rules[below(k->n_rules)];
		const struct match *m = r->n_matches ? &r->matches[below(r->n_matches)] : NULL;
		const struct spans *s = m ? values(c, m) : NULL;

		if (!m || m->masked || !s->n || field_of_match(c, m) != f || part_of(m, 255) != 255)
			continue;
		s = values(c, m);
		return ((below(2) ? s->v[below(s->n)].lo : s->v[below(s->n)].hi) + (int)below(3) - 1) & mask;
	}
	return (u128)(below(2) ? rnd() : below(64)) & mask;
}

/* Aim at one rule, so that deep ones are reached: the values its matches ask for. */
static void aim(const struct config *c, struct field_values *v)
{
	const struct chain *k = &c->chains[CHAIN_INGRESS];
	const struct rule *r = k->n_rules ? &k->rules[below(k->n_rules)] : NULL;

	for (int i = 0; r && i < r->n_matches; i++) {
		const struct match *m = &r->matches[i];
		const struct spans *s = values(c, m);
		enum filter_field f = field_of_match(c, m);
		const struct span *p = s->n ? &s->v[below(s->n)] : NULL;

		if (v->present >> f & 1 && f != FIELD_FAMILY && p && !m->masked && part_of(m, 255) == 255)
			put(v, f, below(2) ? p->lo : p->hi);
	}
}

/* EtherTypes as the family and the tags have them. */
static void suit_types(struct field_values *v)
{
	uint32_t type = v->lo[FIELD_FAMILY] == 4 ? 0x800 : 0x86dd;

	if (!(v->present & FIELD_BIT(FIELD_FAMILY)))
		return;
	put(v, FIELD_L3_TYPE, type);
	put(v, FIELD_ETHER_TYPE, v->present & FIELD_BIT(FIELD_VLAN_ID) ? below(2) ? 0x8100 : 0x88a8 : type);
}

static void random_packet(const struct config *c, struct field_values *v)
{
	static const uint8_t protos[] = { 6, 6, 17, 132, 1, 58, 47 };
	uint32_t proto = protos[below(sizeof(protos))];
	bool later = !below(12);

	memset(v, 0, sizeof(*v));
	put(v, FIELD_IFNAME, edge(c, FIELD_IFNAME, ~(u128)0));
	put(v, FIELD_ETHER_SADDR, edge(c, FIELD_ETHER_SADDR, (1ull << 48) - 1));
	put(v, FIELD_ETHER_DADDR, edge(c, FIELD_ETHER_DADDR, (1ull << 48) - 1));
	put(v, FIELD_ETHER_TYPE, edge(c, FIELD_ETHER_TYPE, 0xffff));
	if (below(3)) {
		put(v, FIELD_VLAN_ID, edge(c, FIELD_VLAN_ID, 0xfff));
		put(v, FIELD_VLAN_PCP, below(8));
	}
	put(v, FIELD_L3_TYPE, edge(c, FIELD_L3_TYPE, 0xffff));
	put(v, FIELD_LENGTH, edge(c, FIELD_LENGTH, 0xffff));
	put(v, FIELD_MARK, below(2) ? below(8) : edge(c, FIELD_MARK, 0xffffffff));
	put(v, FIELD_RANDOM, edge(c, FIELD_RANDOM, 0xffffffff));
	for (int n = 0; n < FILTER_RAWS; n++)
		put_some(v, FIELD_RAW0 + n, edge(c, FIELD_RAW0 + n, 0xffff));
	if (!below(16)) {	/* no IP */
		aim(c, v);
		return;
	}
	put(v, FIELD_FAMILY, below(2) ? 4 : 6);
	put(v, v->lo[FIELD_FAMILY] == 4 ? FIELD_SADDR4 : FIELD_SADDR6, 0);
	put(v, v->lo[FIELD_FAMILY] == 4 ? FIELD_DADDR4 : FIELD_DADDR6, 0);
	for (int f = FIELD_SADDR4; f <= FIELD_DADDR6; f++)
		if (v->present >> f & 1)
			put(v, f, edge(c, f, f < FIELD_SADDR6 ? (u128)0xffffffff : ~(u128)0));
	put(v, FIELD_L4PROTO, proto);
	put(v, FIELD_TOS, rnd() & 255);
	put(v, FIELD_TTL, edge(c, FIELD_TTL, 255));
	put(v, FIELD_IP_LENGTH, edge(c, FIELD_IP_LENGTH, 0xffff));
	put(v, FIELD_CT_STATE, (enum ct_state[]){ CT_INVALID, CT_ESTABLISHED, CT_RELATED, CT_NEW, CT_UNTRACKED }[below(5)]);
	put_some(v, FIELD_OPTIONS, rnd() & 31);
	put(v, v->lo[FIELD_FAMILY] == 4 ? FIELD_FRAG_OFF : FIELD_NEXTHDR, below(2) ? below(8) : rnd() & 0xff);
	if (v->lo[FIELD_FAMILY] == 4 && below(2))
		v->lo[FIELD_FRAG_OFF] |= rnd() & 0xe000;
	if (!later && (proto == 6 || proto == 17 || proto == 132)) {
		put(v, FIELD_SPORT, edge(c, FIELD_SPORT, 0xffff));
		put(v, FIELD_DPORT, edge(c, FIELD_DPORT, 0xffff));
		if (proto == 6)
			put(v, FIELD_TCP_FLAGS, rnd() & 0xff);
		if (proto == 6)
			put_some(v, FIELD_TCP_OPTIONS, rnd() & 0xff);
		if (proto == 6)
			put_some(v, FIELD_TCP_MSS, edge(c, FIELD_TCP_MSS, 0xffff));
	}
	if (!later && proto == (v->lo[FIELD_FAMILY] == 4 ? 1 : 58)) {
		put(v, FIELD_ICMP_TYPE, edge(c, FIELD_ICMP_TYPE, 0xff));
		put(v, FIELD_ICMP_CODE, edge(c, FIELD_ICMP_CODE, 0xff));
	}
	if (below(2))
		aim(c, v);
	suit_types(v);
}

/* ---- the naive oracle */

static bool implied(const struct match *m, enum filter_field field, const struct field_values *v)
{
	static const uint8_t proto[KEY_COUNT] = {
		[KEY_TCP_SPORT] = 6, [KEY_TCP_DPORT] = 6, [KEY_TCP_FLAGS] = 6, [KEY_UDP_SPORT] = 17, [KEY_UDP_DPORT] = 17,
		[KEY_SCTP_SPORT] = 132, [KEY_SCTP_DPORT] = 132, [KEY_ICMP_TYPE] = 1, [KEY_ICMP_CODE] = 1, [KEY_ICMPV6_TYPE] = 58,
		[KEY_ICMPV6_CODE] = 58, [KEY_TCP_OPTION_MAXSEG] = 6, [KEY_TCP_OPTION_SACK_PERM] = 6, [KEY_TCP_OPTION_TIMESTAMP] = 6,
		[KEY_TCP_OPTION_MAXSEG_SIZE] = 6, [KEY_TCP_DOFF] = 6,
	};
	const char *text = config_key_text[m->key];
	bool four = !strncmp(text, "ip ", 3), six = !strncmp(text, "ip6 ", 4) || !strncmp(text, "exthdr", 6);

	if (!(v->present >> field & 1))
		return false;
	if ((four || six) && (!(v->present >> FIELD_FAMILY & 1) || v->lo[FIELD_FAMILY] != (four ? 4 : 6)))
		return false;
	if (proto[m->key] && v->lo[FIELD_L4PROTO] != proto[m->key])
		return false;
	if (proto[m->key] == 1 || proto[m->key] == 58)
		return v->lo[FIELD_FAMILY] == (proto[m->key] == 1 ? 4 : 6);
	return true;
}

static bool match_holds(const struct config *c, const struct match *m, const struct field_values *v)
{
	enum filter_field f = field_of_match(c, m);
	u128 x = part_of(m, (u128)v->hi[f] << 64 | v->lo[f]);
	const struct spans *s = values(c, m);
	bool in = false;

	if (!implied(m, f, v))
		return false;
	if (m->masked)
		in = (x & m->mask) == m->value;
	for (int i = 0; !m->masked && i < s->n; i++)
		in |= s->v[i].lo <= x && x <= s->v[i].hi;
	return in != m->negate;
}

enum { NAIVE_END = -1, NAIVE_RETURN = -2 };

/* The first element that has the packet's values. */
static const struct value_tuple *tuple_found(const struct config *c, const struct match *m, const struct field_values *v)
{
	const struct value_tuples *t = m->set ? &config_set(c, m->set)->tuples : &m->tuples;

	for (int i = 0; i < t->n; i++) {
		bool in = true;

		for (int k = 0; k < m->n_keys && in; k++) {
			const struct span *s = &t->v[i].part[k];
			u128 x = (u128)v->hi[field_of[m->keys[k]]] << 64 | v->lo[field_of[m->keys[k]]];

			in = s->lo <= x && x <= s->hi;
		}
		if (in)
			return &t->v[i];
	}
	return NULL;
}

static bool keys_there(const struct match *m, const struct field_values *v)
{
	for (int k = 0; k < m->n_keys; k++)
		if (!implied(&(struct match){ .key = m->keys[k] }, field_of[m->keys[k]], v))
			return false;
	return true;
}

static bool rule_matches(const struct config *c, const struct rule *r, const struct field_values *v)
{
	for (int i = 0; i < r->n_matches; i++) {
		const struct match *m = &r->matches[i];

		if (m->n_keys == 1 ? !match_holds(c, m, v) : !keys_there(m, v) || !!tuple_found(c, m, v) == m->negate)
			return false;
	}
	for (int i = 0; i < r->update.n_keys; i++)
		if (!implied(&(struct match){ .key = r->update.keys[i] }, field_of[r->update.keys[i]], v))
			return false;
	return r->verdict != RULE_REJECT || r->reject != REJECT_TCP_RESET || (v->present & FIELD_BIT(FIELD_L4PROTO) && v->lo[FIELD_L4PROTO] == 6);
}

/* Id of the rule that decides, NAIVE_END or NAIVE_RETURN. */
static int naive_walk(const struct config *c, const struct chain *k, struct field_values *v, bool *drops)
{
	for (int i = 0; i < k->n_rules; i++) {
		const struct rule *r = &k->rules[i];
		const struct value_tuple *t = NULL;
		enum rule_verdict verdict = r->verdict;
		const char *target = r->target;
		int got = NAIVE_END;

		if (!rule_matches(c, r, v))
			continue;
		if (r->mark.set)
			v->lo[FIELD_MARK] = (v->lo[FIELD_MARK] & r->mark.keep) ^ r->mark.flip;
		if (r->vmap) {
			t = keys_there(r->vmap, v) ? tuple_found(c, r->vmap, v) : NULL;
			verdict = t ? t->verdict : RULE_CONTINUE;
			target = t ? t->target : NULL;
		}
		*drops = verdict == RULE_DROP || verdict == RULE_REJECT;
		if (verdict == RULE_ACCEPT || verdict == RULE_DROP || verdict == RULE_REJECT)
			return r->id;
		if (verdict == RULE_RETURN)
			return NAIVE_RETURN;
		if (target)
			got = naive_walk(c, config_chain(c, config_find_chain(c, target)), v, drops);
		if (got >= 0 || verdict == RULE_GOTO)
			return got;
	}
	return NAIVE_END;
}

/* Id of the rule that decides, 0: the policy. */
static uint32_t naive_classify(const struct config *c, struct field_values *v, bool *drops)
{
	int got = naive_walk(c, &c->chains[CHAIN_INGRESS], v, drops);

	if (got < 0)
		*drops = c->chains[CHAIN_INGRESS].policy_drop;
	return got < 0 ? 0 : got;
}

/* ---- tests */

struct tally {
	uint32_t packets, by_rule, deep, marked, scanned;
};

static void check_packet(const struct config *c, const struct compiled *out, const struct raws *raws, struct tally *t)
{
	struct field_values v, by_tables, by_model, by_naive;
	uint32_t got, model, naive, scanned;
	bool drops;

	random_packet(c, &v);
	lookups_answer(&v, raws);
	by_tables = by_model = by_naive = v;
	got = compiled_classify(out, CHAIN_INGRESS, &by_tables);
	if (compiled_scan(&scanned, out, CHAIN_INGRESS, &v)) {
		if (scanned != got) {
			config_print(stderr, c);
			fail_msg("scan %#x, tables %#x for a packet with fields %#llx", scanned, got, (unsigned long long)v.present);
		}
		t->scanned++;
	}
	model = model_classify(c, CHAIN_INGRESS, &by_model);
	naive = naive_classify(c, &by_naive, &drops);
	if (by_tables.lo[FIELD_MARK] != by_naive.lo[FIELD_MARK] || by_model.lo[FIELD_MARK] != by_naive.lo[FIELD_MARK]) {
		config_print(stderr, c);
		fail_msg("from mark %llu compiled %llu, model %llu, naive %llu", (unsigned long long)v.lo[FIELD_MARK],
			 (unsigned long long)by_tables.lo[FIELD_MARK], (unsigned long long)by_model.lo[FIELD_MARK],
			 (unsigned long long)by_naive.lo[FIELD_MARK]);
	}
	t->marked += by_naive.lo[FIELD_MARK] != v.lo[FIELD_MARK];
	if (got != model || (got & RULE_ID_MASK) != (naive ? naive : (uint32_t)RULE_POLICY_INGRESS) || drops != !!(got & RULE_DROP_BIT)) {
		config_print(stderr, c);
		fail_msg("compiled %#x, model %#x, naive %u %s for a packet with fields %#llx", got, model, naive, drops ? "drop" : "accept",
			 (unsigned long long)v.present);
	}
	t->packets++;
	t->by_rule += naive != 0;
	t->deep += naive >= RULE_FIRST + 20;
}

static void check_config(int n_rules, enum kind kind, struct tally *tally)
{
	struct compiled out;
	struct raws raws;
	struct config c;
	uint32_t id = RULE_FIRST;

	random_config(&c, n_rules, kind);
	for (int k = 0; k < config_n_chains(&c); k++)
		for (int i = 0; i < config_chain(&c, k)->n_rules; i++)
			config_chain(&c, k)->rules[i].id = id++;
	if (compile_grouping(&out, &c, below(2) ? INT32_MAX : 0)) {	/* chains within chains, written out, may be more than fit */
		fail_clear();
		config_free(&c);
		assert_true(n_rules > 100);
		check_config(n_rules / 2, kind, tally);
		return;
	}
	raws_of(&raws, &c);
	spread(&c);
	for (int i = 0; i < PACKETS; i++)
		check_packet(&c, &out, &raws, tally);
	compiled_free(&out);
	config_free(&c);
}

static int rounds(void)
{
	const char *often = getenv("WEIR_ROUNDS");

	return often && atoi(often) > 0 ? atoi(often) : 1;
}

static void agrees_with_the_model_on_random_rules(void **unused)
{
	struct tally tally = {};

	(void)unused;
	for (int i = 0; i < RULE_SETS * rounds(); i++)
		check_config(i < 4 ? i : (int)below(i % 3 ? 60 : 300) + 1, KIND_ANY, &tally);
	print_message("%u packets, %u by a tree, %u decided by a rule, %u by one behind the twentieth\n", tally.packets, tally.scanned, tally.by_rule, tally.deep);
	assert_int_equal(tally.packets, RULE_SETS * PACKETS * rounds());
	assert_true(tally.by_rule > tally.packets / 4);		/* the packets do meet the rules */
	assert_true(tally.scanned > tally.packets / 20);	/* others come to what only tables can tell */
	assert_true(tally.marked > tally.packets / 20);
	assert_true(tally.deep > tally.packets / 50);
}

/* Mostly short chains; some are longer than a leaf. */
static void check_trees(enum kind kind, int shortest, uint32_t least)
{
	struct tally tally = {};

	for (int i = 0; i < RULE_SETS * rounds(); i++)
		check_config(i % 12 ? i % shortest : FILTER_LEAF_MOST + (int)below(100), kind, &tally);
	print_message("%u packets, %u of them by a tree, %u decided by a rule\n", tally.packets, tally.scanned, tally.by_rule);
	assert_true(tally.scanned > tally.packets / 100 * least);
	assert_true(tally.by_rule > tally.packets / 4);
}

static void trees_of_plain_rules_answer_as_the_model_does(void **unused)
{
	(void)unused;
	check_trees(KIND_PLAIN, 20, 50);
}

static void trees_that_ask_answer_as_the_model_does(void **unused)
{
	(void)unused;
	check_trees(KIND_ASKING, 30, 25);
}

/* ---- single changes: patched tables against both oracles, after each */

enum { SEQUENCES = 120, CHANGES = 14, PACKETS_A_CHANGE = 60 };

struct asked {			/* a lookup, as it was when the tables were compiled */
	const struct set *set;
	enum config_key first;
};

struct changes {
	struct asked asked[FILTER_LOOKUPS];
	struct config config;
	struct compiled out;
	uint32_t id;
	int grouping;
	uint32_t patched, kept, compiled;
};

static struct asked asked(const struct lookup *l)
{
	return (struct asked){ l->set, l->set ? l->keys[0] : 0 };
}

static void compile_anew(struct changes *s)
{
	struct raws raws;

	raws_of(&raws, &s->config);
	for (int i = 0; i < FILTER_LOOKUPS; i++)
		s->asked[i] = asked(&raws.lookup[i]);
	if (compile_grouping(&s->out, &s->config, s->grouping))
		fail_msg("%s", fail_message());
}

/* The change has been made to the model; `done`: and to `to`. Places that rules name keep their fields in a patch, where the model counts them anew. */
static void take_patch(struct changes *s, bool done, struct memory to)
{
	struct raws raws;
	bool same;

	raws_of(&raws, &s->config);
	same = raws.n == s->out.raws.n;
	for (int i = 0; same && i < raws.n; i++)
		same = raw_equal(&raws.v[i], &s->out.raws.v[i]);
	for (int i = 0; same && i < FILTER_LOOKUPS; i++)
		same = asked(&raws.lookup[i]).set == s->asked[i].set && asked(&raws.lookup[i]).first == s->asked[i].first;
	if (done && !same) {
		free(to.v);
		done = false;
	}
	if (done) {
		free(s->out.chain[CHAIN_INGRESS].v);
		s->out.chain[CHAIN_INGRESS] = to;
		s->patched++;
		s->kept += !!(memory_chain(&to)->scans & (FILTER_TREE4 | FILTER_TREE6));
	} else {
		compiled_free(&s->out);
		compile_anew(s);
		s->compiled++;
	}
}

static void remove_one(struct changes *s)
{
	struct chain *k = &s->config.chains[CHAIN_INGRESS];
	int at = below(k->n_rules);
	struct memory to;
	bool done = patch_remove(&to, s->out.chain[CHAIN_INGRESS].v, at);

	rule_free(&k->rules[at]);
	memmove(&k->rules[at], &k->rules[at + 1], (k->n_rules - at - 1) * sizeof(*k->rules));
	k->n_rules--;
	take_patch(s, done, to);
}

static void insert_one(struct changes *s)
{
	struct chain *k = &s->config.chains[CHAIN_INGRESS];
	struct config alone = s->config;
	int at = below(k->n_rules + 1), had = k->n_rules;
	struct text *t = must(malloc(sizeof(*t)));
	struct memory to;

	while (k->n_rules == had) {
		t->n = 0;
		add_rule(t, below(3) ? USERS : -1);	/* most lead nowhere */
		if (config_add_rule(&s->config, CHAIN_INGRESS, at, t->s))
			fail_clear();
	}
	k->rules[at].id = s->id++;
	alone.chains[CHAIN_INGRESS].rules = &k->rules[at];
	alone.chains[CHAIN_INGRESS].n_rules = 1;
	if (!k->rules[at].target && !k->rules[at].vmap)
		alone.n_user = 0;
	take_patch(s, patch_insert(&to, s->out.chain[CHAIN_INGRESS].v, at, &alone, CHAIN_INGRESS), to);
	free(t);
}

static void check_changes(struct changes *s, struct tally *tally)
{
	struct raws raws;

	for (int n = 0; n < CHANGES; n++) {
		if (s->config.chains[CHAIN_INGRESS].n_rules > 1 && !below(3))
			remove_one(s);
		else
			insert_one(s);
		assert_int_equal(patch_rules(s->out.chain[CHAIN_INGRESS].v), s->config.chains[CHAIN_INGRESS].n_rules);
		raws_of(&raws, &s->config);
		for (int i = 0; i < PACKETS_A_CHANGE; i++)
			check_packet(&s->config, &s->out, &raws, tally);
	}
}

static void one_change_at_a_time_answers_as_a_compile_does(void **unused)
{
	const char *often = getenv("WEIR_ROUNDS");
	int rounds = often && atoi(often) > 0 ? atoi(often) : 1;
	uint32_t patched = 0, kept = 0, compiled = 0;
	struct tally tally = {};

	(void)unused;
	for (int i = 0; i < SEQUENCES * rounds; i++) {
		struct changes s = { .id = RULE_FIRST, .grouping = below(2) ? INT32_MAX : 0 };

		random_config(&s.config, below(i % 3 ? 70 : 200) + 1, below(3));
		for (int k = 0; k < config_n_chains(&s.config); k++)
			for (int r = 0; r < config_chain(&s.config, k)->n_rules; r++)
				config_chain(&s.config, k)->rules[r].id = s.id++;
		spread(&s.config);
		compile_anew(&s);
		check_changes(&s, &tally);
		patched += s.patched;
		kept += s.kept;
		compiled += s.compiled;
		compiled_free(&s.out);
		config_free(&s.config);
	}
	print_message("%u changes by patch, %u with trees, %u by compile; %u packets, %u decided by a rule, %u by trees\n", patched, kept, compiled, tally.packets, tally.by_rule, tally.scanned);
	assert_true(patched > compiled && kept > patched / 5 && tally.scanned > tally.packets / 8);
	assert_true(tally.by_rule > tally.packets / 4);
}

/* ---- what random rules seldom show */

static uint32_t classify_text(const char *text, const struct field_values *v)
{
	struct compiled out;
	struct config c;
	uint32_t id = RULE_FIRST, entry;

	if (config_parse(&c, "text", text))
		fail_msg("%s: %s", text, fail_message());
	for (int k = 0; k < config_n_chains(&c); k++)
		for (int i = 0; i < config_chain(&c, k)->n_rules; i++)
			config_chain(&c, k)->rules[i].id = id++;
	assert_int_equal(compile(&out, &c), 0);
	struct field_values by_tables = *v, by_model = *v;

	entry = compiled_classify(&out, CHAIN_INGRESS, &by_tables);
	assert_int_equal(entry, model_classify(&c, CHAIN_INGRESS, &by_model));
	compiled_free(&out);
	config_free(&c);
	return entry;
}

static struct field_values tcp4(uint32_t saddr, uint16_t dport)
{
	struct field_values v = {};

	put(&v, FIELD_FAMILY, 4);
	put(&v, FIELD_SADDR4, saddr);
	put(&v, FIELD_DADDR4, 0);
	put(&v, FIELD_L4PROTO, 6);
	put(&v, FIELD_SPORT, 1);
	put(&v, FIELD_DPORT, dport);
	put(&v, FIELD_TCP_FLAGS, 2);
	put(&v, FIELD_MARK, 0);
	return v;
}

enum { POLICY = RULE_POLICY_INGRESS, FIRST = RULE_FIRST, SECOND, THIRD, FOURTH };

static void decides_by_what_the_sentence_says(void **unused)
{
	static const struct {
		const char *name, *rules;
		uint32_t entry;
	} vectors[] = {		/* for a SYN from 10.0.0.1 to port 80 */
		{ "nothing but a policy", "policy drop", POLICY | RULE_DROP_BIT },
		{ "no text at all", "", POLICY },
		{ "a rule without a match takes all", "drop", FIRST | RULE_DROP_BIT },
		{ "the first match wins", "ip saddr 10.0.0.0/8 accept\ntcp dport 80 drop", FIRST },
		{ "a rule that only counts does not decide", "counter\ntcp dport 80 drop", SECOND | RULE_DROP_BIT },
		{ "a rule that only logs does not decide", "log\ntcp dport 80 drop", SECOND | RULE_DROP_BIT },
		{ "a rule that logs is asked for each packet", "log drop", FIRST | RULE_DROP_BIT | RULE_LOG_BIT | RULE_VARIANT_BIT },
		{ "only rules that count: the policy decides", "counter\nip saddr 10.0.0.1 counter", POLICY },
		{ "an empty set matches nothing", "ip saddr @none drop", POLICY },
		{ "what is not in an empty set is everything", "ip saddr != @none drop", FIRST | RULE_DROP_BIT },
		{ "what has no field is not unequal either", "ip6 saddr != 2001:db8::1 drop", POLICY },
		{ "a rule of the other protocol", "udp dport 80 drop", POLICY },
		{ "the whole space of addresses", "ip saddr 0.0.0.0/0 drop", FIRST | RULE_DROP_BIT },
		{ "the whole space of ports", "tcp dport 0-65535 drop", FIRST | RULE_DROP_BIT },
		{ "all but the whole space", "tcp dport != 0-65535 drop", POLICY },
		{ "a reject has its answer", "tcp dport 80 reject with tcp reset", FIRST | RULE_DROP_BIT | REJECT_TCP_RESET << RULE_REJECT_SHIFT },
		{ "a mark that a rule before set", "meta mark set 5\nmeta mark 5 drop", SECOND | RULE_DROP_BIT | RULE_VARIANT_BIT },
		{ "a chain may change the mark that led to it", "meta mark set 1\nmeta mark 1 goto x\naccept\n}\nchain x {\nmeta mark set 2\ndrop",
		  (FOURTH + 1) | RULE_DROP_BIT | RULE_VARIANT_BIT },
		{ "flags may differ between packets of a flow", "tcp flags syn drop", FIRST | RULE_DROP_BIT | RULE_VARIANT_BIT },
		{ "the same field twice: both hold", "tcp dport 70-90 tcp dport 80-100 drop", FIRST | RULE_DROP_BIT },
		{ "the same field twice: one does not", "tcp dport 70-90 tcp dport != 80 drop", POLICY },
		{ "an element of a concatenation", "ip saddr . tcp dport { 10.0.0.2 . 80, 10.0.0.0/30 . 79-81 } drop", FIRST | RULE_DROP_BIT },
		{ "no element of a concatenation", "ip saddr . tcp dport { 10.0.0.1 . 81, 10.0.0.2 . 80 } drop", POLICY },
		{ "parts of different elements are no element", "ip saddr . tcp dport { 10.0.0.1 . 81, 10.0.0.2 . 80, 10.0.0.1 . 79 } drop", POLICY },
		{ "not in a concatenation", "ip saddr . tcp dport != { 10.0.0.1 . 81, 10.0.0.2 . 80 } drop", FIRST | RULE_DROP_BIT },
		{ "in a negated concatenation", "ip saddr . tcp dport != { 10.0.0.1 . 80, 10.0.0.2 . 80 } drop", POLICY },
		{ "what lacks a part is in no concatenation", "ip saddr . udp dport != { 10.0.0.1 . 81 } drop", POLICY },
		{ "a rule behind a negated concatenation", "ip saddr . tcp dport != { 10.0.0.1 . 80 } accept\ndrop", SECOND | RULE_DROP_BIT },
		{ "two concatenations", "ip saddr . tcp dport { 10.0.0.1 . 80 } ip saddr . tcp sport != { 10.0.0.1 . 2 } drop", FIRST | RULE_DROP_BIT },
		{ "a set of concatenations", "ip saddr . tcp dport @pairs drop", FIRST | RULE_DROP_BIT },
		{ "the first way wins over later rules", "ip saddr . tcp dport { 10.0.0.0/8 . 80, 10.0.0.1 . 80-90 } counter\ndrop", SECOND | RULE_DROP_BIT },
		{ "a map accepts", "tcp dport vmap { 80 : accept, 81-90 : drop }\ndrop", FIRST },
		{ "a map drops", "tcp dport vmap { 81-90 : accept, 80 : drop }", FIRST | RULE_DROP_BIT },
		{ "a map has no element", "tcp dport vmap { 81-90 : drop }\ndrop", SECOND | RULE_DROP_BIT },
		{ "a map says continue", "tcp dport vmap { 80 : continue }\ndrop", SECOND | RULE_DROP_BIT },
		{ "a map of concatenations", "ip saddr . tcp dport vmap { 10.0.0.0/8 . 80 : drop }", FIRST | RULE_DROP_BIT },
		{ "a named map", "ip saddr vmap @verdicts", FIRST | RULE_DROP_BIT },
		{ "a jump into a chain that decides", "tcp dport 80 jump drops", THIRD | RULE_DROP_BIT },
		{ "a jump that is not made", "tcp dport 81 jump drops", POLICY },
		{ "a jump into a chain that does not decide", "jump nothing\ndrop", SECOND | RULE_DROP_BIT },
		{ "a goto into a chain that does not decide", "goto nothing\ndrop", POLICY },
		{ "a return leads back", "jump returns\naccept", SECOND },
		{ "a return from the first chain is the policy", "tcp dport 80 return\ndrop", POLICY },
		{ "a goto's return leads where the jump came from", "jump goes\ncounter\naccept", THIRD },
		{ "a map jumps", "tcp dport vmap { 80 : jump drops, 81 : accept }\naccept", FOURTH | RULE_DROP_BIT },
		{ "a map goes to where nothing is", "tcp dport vmap { 80 : goto nothing }\ndrop", POLICY },
		{ "a jump by concatenation is made once", "ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.0/8 . 0-100 } jump counts\ndrop", SECOND | RULE_DROP_BIT },
		{ "an audit drops nothing", "audit\ntcp dport 80 drop", FIRST | RULE_AUDIT_BIT },
		{ "nor does its policy", "audit\npolicy drop", POLICY | RULE_AUDIT_BIT },
		{ "a return by flags may differ", "jump flags\ndrop", SECOND | RULE_DROP_BIT },
		{ "a jump by flags may differ", "tcp flags syn jump drops", THIRD | RULE_DROP_BIT | RULE_VARIANT_BIT },
	};
	struct field_values v = tcp4(0x0a000001, 80);

	(void)unused;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char text[1024];
		uint32_t got;

		snprintf(text, sizeof(text), "set none { type ipv4_addr; flags interval }\n"
			 "set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/24 . 80, 10.0.0.1 . 90-99 } }\n"
			 "map verdicts { type ipv4_addr : verdict; elements = { 10.0.0.1 : drop, 10.0.0.2 : accept } }\n"
			 "chain ingress {\n%s\n}\nchain drops { udp dport 1 accept; tcp dport 80 drop }\nchain nothing { tcp dport 81 drop }\n"
			 "chain returns { tcp dport 80 return; drop }\nchain goes { goto returns; drop }\nchain counts { counter; counter }\n"
			 "chain flags { tcp flags syn return; drop }\n", vectors[i].rules);
		got = classify_text(text, &v);
		if (got != vectors[i].entry)
			fail_msg("%s: %#x, not %#x", vectors[i].name, got, vectors[i].entry);
	}
}

static void reaches_the_ends_of_addresses(void **unused)
{
	struct field_values v = tcp4(0xffffffff, 65535), six = {};

	(void)unused;
	assert_int_equal(classify_text("chain ingress {\nip saddr 255.255.255.255 tcp dport 65535 drop\n}", &v), FIRST | RULE_DROP_BIT);
	assert_int_equal(classify_text("chain ingress {\nip saddr 0.0.0.0 drop\n}", &v), POLICY);
	put(&six, FIELD_FAMILY, 6);
	put(&six, FIELD_L4PROTO, 17);
	put(&six, FIELD_SADDR6, ~(u128)0);
	put(&six, FIELD_DADDR6, (u128)1 << 64);
	assert_int_equal(classify_text("chain ingress {\nip6 saddr ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff drop\n}", &six),
			 FIRST | RULE_DROP_BIT);
	assert_int_equal(classify_text("chain ingress {\nip6 daddr ::1:0:0:0:0 drop\n}", &six), FIRST | RULE_DROP_BIT);
	assert_int_equal(classify_text("chain ingress {\nip6 daddr ::ffff:ffff:ffff:ffff drop\n}", &six), POLICY);
}

/* The tables' place in the kernel follows their size. */
static void takes_the_smallest_map_that_fits(void **unused)
{
	static const struct { int rules, grouping; uint32_t size; } cases[] = {
		{ 1, INT32_MAX, FILTER_SMALL }, { 1, 0, FILTER_MEDIUM }, { 700, INT32_MAX, FILTER_MEDIUM }, { 6000, INT32_MAX, FILTER_LARGE },
	};

	(void)unused;
	for (int i = 0; i < 4; i++) {
		struct text *t = must(malloc(sizeof(*t)));
		struct compiled out;
		struct config c;

		t->n = 0;
		add(t, "chain ingress {\n");
		for (int r = 0; r < cases[i].rules; r++)
			add(t, "ip saddr 10.%d.%d.1 drop\n", r >> 8, r & 255);
		add(t, "}\n");
		assert_int_equal(config_parse(&c, "many", t->s), 0);
		assert_int_equal(compile_grouping(&out, &c, cases[i].grouping), 0);
		assert_int_equal(memory_size(&out.chain[CHAIN_INGRESS]), cases[i].size);
		assert_true(memory_bytes(&out.chain[CHAIN_INGRESS]) <= cases[i].size);
		compiled_free(&out);
		config_free(&c);
		free(t);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_model_on_random_rules),
		cmocka_unit_test(trees_of_plain_rules_answer_as_the_model_does),
		cmocka_unit_test(trees_that_ask_answer_as_the_model_does),
		cmocka_unit_test(one_change_at_a_time_answers_as_a_compile_does),
		cmocka_unit_test(decides_by_what_the_sentence_says),
		cmocka_unit_test(reaches_the_ends_of_addresses),
		cmocka_unit_test(takes_the_smallest_map_that_fits),
	};

	random_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
