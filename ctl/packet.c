/* SPDX-License-Identifier: GPL-2.0-only */
/* packet: the words of a packet. What they may be is the language's: names of protocols, ports, flags and ICMP types. */
#include <stdlib.h>
#include <string.h>
#include "wire.h"
#include "packet.h"
#include "value.h"

enum { DEFAULT_SPORT = 40000, DEFAULT_TTL = 64 };

#define USAGE "write PROTOCOL SRC[:PORT] > DST[:PORT], as in \"tcp 192.0.2.1:1234 > 203.0.113.10:443 flags syn\""

struct words {
	char *copy, *save;
	const char *last;	/* NULL: none is left */
};

static const char *next_word(struct words *w)
{
	w->last = strtok_r(NULL, " \t\n", &w->save);
	return w->last;
}

static struct slice slice_of(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static int literal(enum config_type type, const char *what, const char *word, u128 *v)
{
	struct trouble why;

	if (!word)
		return fail(EXIT_USAGE, "the packet ends where its %s should stand: " USAGE, what);
	return value_parse(type, slice_of(word), v, &why) ? fail(EXIT_USAGE, "packet: %s", why.text) : 0;
}

static int number(const char *what, const char *word, unsigned long max, unsigned long *v)
{
	struct trouble why;

	if (!word)
		return fail(EXIT_USAGE, "packet: %s needs a number", what);
	return number_parse(slice_of(word), what, max, v, &why) ? fail(EXIT_USAGE, "packet: %s", why.text) : 0;
}

/* Where the port begins, NULL: there is none. The address is a[:n]. */
static const char *split(const char *word, struct slice *a)
{
	const char *close = strchr(word, ']'), *colon = strchr(word, ':');

	if (word[0] == '[' && close) {
		*a = (struct slice){ word + 1, close - word - 1 };
		return close[1] == ':' ? close + 2 : close[1] ? close + 1 : NULL;
	}
	if (colon && !strchr(colon + 1, ':')) {
		*a = (struct slice){ word, colon - word };
		return colon + 1;
	}
	*a = slice_of(word);
	return NULL;
}

/* *has_port: was one written. */
static int endpoint(const char *word, struct address *a, uint16_t *port, bool *has_port)
{
	struct trouble why;
	struct slice address;
	const char *text;
	u128 v;

	if (!word)
		return fail(EXIT_USAGE, "the packet ends where an address should stand: " USAGE);
	text = split(word, &address);
	if (address_slice(address, a, &why))
		return fail(EXIT_USAGE, "packet: %s", why.text);
	*has_port = text;
	if (!text)
		return 0;
	if (value_parse(TYPE_INET_SERVICE, slice_of(text), &v, &why))
		return fail(EXIT_USAGE, "packet: %s", why.text);
	*port = v;
	return 0;
}

static int protocol(struct packet_words *p, const char *word)
{
	u128 v;

	if (!word)
		return fail(EXIT_USAGE, "the packet is empty: " USAGE);
	if (literal(TYPE_INET_PROTO, "protocol", word, &v))
		return EXIT_USAGE;
	p->proto = v;
	p->has_ports = v == IP_TCP || v == IP_UDP || v == IP_SCTP;
	return 0;
}

/* TYPE[/CODE] in front of the source, if it is no address. */
static int icmp(struct packet_words *p, struct words *w)
{
	bool six = p->proto == IP_ICMPV6;
	struct slice s = slice_of(w->last), address;
	const char *slash = memchr(s.s, '/', s.n);
	struct trouble why;
	struct address a;
	u128 type, code = 0;

	p->icmp_type = six ? 128 : 8;
	split(w->last, &address);
	if (!address_slice(address, &a, &why))
		return 0;
	if (slash)
		s.n = slash - s.s;
	if (value_parse(six ? TYPE_ICMPV6_TYPE : TYPE_ICMP_TYPE, s, &type, &why) ||
	    (slash && value_parse(six ? TYPE_ICMPV6_CODE : TYPE_ICMP_CODE, slice_of(slash + 1), &code, &why)))
		return fail(EXIT_USAGE, "packet: %s", why.text);
	p->icmp_type = type;
	p->icmp_code = code;
	next_word(w);
	return 0;
}

static int endpoints(struct packet_words *p, struct words *w, bool *has_sport, bool *has_dport)
{
	int err = endpoint(w->last, &p->src, &p->sport, has_sport);

	if (err)
		return err;
	if (!next_word(w) || strcmp(w->last, ">"))
		return fail(EXIT_USAGE, "packet: \"%s\" where > should stand: " USAGE, w->last ? w->last : "nothing");
	next_word(w);
	err = endpoint(w->last, &p->dst, &p->dport, has_dport);
	if (err)
		return err;
	if (p->src.family != p->dst.family)
		return fail(EXIT_USAGE, "packet: an IPv4 and an IPv6 address cannot stand in one packet");
	if ((*has_sport || *has_dport) && !p->has_ports)
		return fail(EXIT_USAGE, "packet: protocol %u has no ports", p->proto);
	if ((p->proto == IP_ICMP && p->src.family != 4) || (p->proto == IP_ICMPV6 && p->src.family != 6))
		return fail(EXIT_USAGE, "packet: %s is of the other family than the addresses", p->proto == IP_ICMP ? "icmp" : "icmpv6");
	return 0;
}

static int flags(struct packet_words *p, char *word)
{
	char *save;
	u128 v;

	if (p->proto != IP_TCP)
		return fail(EXIT_USAGE, "packet: flags are TCP's");
	if (!word)
		return fail(EXIT_USAGE, "packet: flags needs names, as in flags syn,ack");
	p->tcp_flags = 0;
	for (word = strtok_r(word, ",|", &save); word; word = strtok_r(NULL, ",|", &save)) {
		if (literal(TYPE_TCP_FLAG, "flags", word, &v))
			return EXIT_USAGE;
		p->tcp_flags |= v;
	}
	return 0;
}

static int option(struct packet_words *p, struct words *w)
{
	unsigned long v;
	int err;

	if (!strcmp(w->last, "flags"))
		return flags(p, (char *)next_word(w));
	if (!strcmp(w->last, "vlan")) {
		err = number("vlan", next_word(w), 4095, &v);
		p->vlan = err ? -1 : (int)v;
	} else if (!strcmp(w->last, "length")) {
		err = number("length", next_word(w), 65535, &v);
		p->length = err ? 0 : v;
	} else if (!strcmp(w->last, "ttl")) {
		err = number("ttl", next_word(w), 255, &v);
		p->ttl = err ? 0 : v;
	} else if (!strcmp(w->last, "fragment")) {
		p->fragment = FRAGMENT_LATER;
		err = 0;
	} else if (!strcmp(w->last, "first-fragment")) {
		p->fragment = FRAGMENT_FIRST;
		err = 0;
	} else {
		err = fail(EXIT_USAGE, "packet: unknown word \"%s\", expected flags, vlan, length, ttl, fragment or first-fragment", w->last);
	}
	return err;
}

static int check_ports(struct packet_words *p, bool has_sport, bool has_dport)
{
	if (!p->has_ports)
		return 0;
	if (p->fragment == FRAGMENT_LATER) {
		if (has_sport || has_dport)
			return fail(EXIT_USAGE, "packet: a fragment that is not the first has no ports: leave them out, or write first-fragment");
		return 0;
	}
	if (!has_dport)
		return fail(EXIT_USAGE, "packet: the destination has no port: write it behind the address, as in 203.0.113.10:443 or [2001:db8::1]:443");
	if (!has_sport)
		p->sport = DEFAULT_SPORT;
	return 0;
}

static int parse_words(struct packet_words *p, struct words *w)
{
	bool has_sport = false, has_dport = false;
	int err = protocol(p, w->last);

	if (err)
		return err;
	next_word(w);
	if (w->last && (p->proto == IP_ICMP || p->proto == IP_ICMPV6))
		err = icmp(p, w);
	if (!err)
		err = endpoints(p, w, &has_sport, &has_dport);
	while (!err && next_word(w))
		err = option(p, w);
	return err ? err : check_ports(p, has_sport, has_dport);
}

int packet_parse(struct packet_words *out, const char *text)
{
	struct words w = { .copy = must(strdup(text)) };
	int err;

	*out = (struct packet_words){ .vlan = -1, .ttl = DEFAULT_TTL, .tcp_flags = 2 };
	w.last = strtok_r(w.copy, " \t\n", &w.save);
	err = parse_words(out, &w);
	free(w.copy);
	return err;
}
