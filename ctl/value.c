/* SPDX-License-Identifier: GPL-2.0-only */
/* value: literals by type. Symbols are nft's (nft describe icmp type …); the first name of a value is the one printed.
 * A leading zero is refused: nft reads 022 as octal, most people do not. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include "names.h"
#include "value.h"

static const char *const noun[TYPE_COUNT] = {
	[TYPE_IPV4_ADDR] = "IPv4 address", [TYPE_IPV6_ADDR] = "IPv6 address", [TYPE_INET_SERVICE] = "port",
	[TYPE_INET_PROTO] = "protocol", [TYPE_ICMP_TYPE] = "ICMP type", [TYPE_ICMP_CODE] = "ICMP code",
	[TYPE_ICMPV6_TYPE] = "ICMPv6 type", [TYPE_ICMPV6_CODE] = "ICMPv6 code", [TYPE_TCP_FLAG] = "TCP flag",
	[TYPE_VLAN_ID] = "VLAN id", [TYPE_IFNAME] = "interface name", [TYPE_ETHER_ADDR] = "MAC address",
	[TYPE_ETHER_TYPE] = "ether type", [TYPE_DSCP] = "DSCP", [TYPE_ECN] = "ECN", [TYPE_MARK] = "mark",
	[TYPE_NF_PROTO] = "family", [TYPE_CT_STATE] = "state", [TYPE_PRESENCE] = "presence", [TYPE_INT3] = "number", [TYPE_INT4] = "number", [TYPE_INT8] = "number",
	[TYPE_INT16] = "number", [TYPE_INT20] = "number", [TYPE_INT32] = "number", [TYPE_RAW] = "number",
};

#define tell(why, ...) (snprintf((why)->text, sizeof((why)->text), __VA_ARGS__), -1)

bool slice_is(struct slice s, const char *word)
{
	return strlen(word) == (size_t)s.n && !memcmp(s.s, word, s.n);
}

const char *slice_show(struct slice s, struct shown *out)
{
	enum { MOST = 40 };
	int n = s.n > MOST ? MOST : s.n, i;

	for (i = 0; i < n; i++)
		out->text[i] = isprint((unsigned char)s.s[i]) ? s.s[i] : '?';
	strcpy(out->text + i, s.n > MOST ? "..." : "");
	return out->text;
}

static const char *article(const char *of)
{
	return strchr("AEIOaeio", of[0]) || !strncmp(of, "MAC", 3) ? "an" : "a";
}

bool value_is_address(enum config_type type)
{
	return type == TYPE_IPV4_ADDR || type == TYPE_IPV6_ADDR || type == TYPE_ETHER_ADDR;
}

const char *value_name(enum config_type type, u128 v)
{
	return name_of(type, v);
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

int number_parse(struct slice s, const char *what, unsigned long max, unsigned long *v, struct trouble *why)
{
	int base = 10, i = 0;

	why->offset = 0;
	if (s.n > 2 && s.s[0] == '0' && (s.s[1] | 32) == 'x')
		base = 16, i = 2;
	else if (s.n > 1 && s.s[0] == '0' && digit(s.s[1]) < 10)
		return tell(why, "\"%s\" begins with a zero: write it without, or 0x for hexadecimal", SHOW(s));
	if (i == s.n)
		return tell(why, "\"%s\" is not %s %s", SHOW(s), article(what), what);
	for (*v = 0; i < s.n; i++) {
		if (digit(s.s[i]) >= base)
			return tell(why, "\"%s\" is not %s %s", SHOW(s), article(what), what);
		if (*v > max / base || *v * base + digit(s.s[i]) > max)
			return tell(why, "%s %s is out of range 0-%lu", what, SHOW(s), max);
		*v = *v * base + digit(s.s[i]);
	}
	return 0;
}

static bool terminated(struct slice s, char *buf, size_t size)
{
	if ((size_t)s.n >= size)
		return false;
	memcpy(buf, s.s, s.n);
	buf[s.n] = 0;
	return true;
}

int address_parse(struct address *a, const char *text)
{
	memset(a, 0, sizeof(*a));
	a->family = inet_pton(AF_INET, text, a->bytes) == 1 ? 4 : inet_pton(AF_INET6, text, a->bytes) == 1 ? 6 : 0;
	return a->family ? 0 : -1;
}

int address_slice(struct slice s, struct address *a, struct trouble *why)
{
	char buf[64];

	why->offset = 0;
	if (!terminated(s, buf, sizeof(buf)) || address_parse(a, buf))
		return tell(why, "\"%s\" is not an IPv4 or IPv6 address", SHOW(s));
	return 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16);
}

static int parse_ip(enum config_type type, struct slice s, u128 *v, struct trouble *why)
{
	int family = type == TYPE_IPV4_ADDR ? 4 : 6;
	struct address a;

	if (address_slice(s, &a, &(struct trouble){ 0 }))
		return tell(why, "\"%s\" is not an %s", SHOW(s), noun[type]);
	if (a.family != family)
		return tell(why, "\"%s\" is an IPv%d address where IPv%d is needed: write %s", SHOW(s), a.family, family,
			    a.family == 4 ? "ip saddr, ip daddr or type ipv4_addr" : "ip6 saddr, ip6 daddr or type ipv6_addr");
	*v = 0;
	for (int i = 0; i < (family == 4 ? 4 : 16); i++)
		*v = *v << 8 | a.bytes[i];
	return 0;
}

static int parse_mac(struct slice s, u128 *v, struct trouble *why)
{
	int i, at = 0;

	*v = 0;
	for (i = 0; i < 6; i++) {
		int digits = 0, byte = 0;

		for (; at < s.n && digits < 2 && digit(s.s[at]) < 16; at++, digits++)
			byte = byte * 16 + digit(s.s[at]);
		if (!digits || (i < 5 && (at >= s.n || s.s[at++] != ':')))
			break;
		*v = *v << 8 | byte;
	}
	if (i == 6 && at == s.n)
		return 0;
	return tell(why, "\"%s\" is not a MAC address: six bytes like 02:00:5e:10:00:01", SHOW(s));
}

static int parse_ifname(struct slice s, u128 *v, struct trouble *why)
{
	if (s.n && s.s[s.n - 1] == '*')
		return tell(why, "a wildcard stands for many interfaces: name one");
	if (!s.n || s.n > 15 || slice_is(s, ".") || slice_is(s, ".."))
		return tell(why, "\"%s\" is not an interface name: 1 to 15 characters", SHOW(s));
	*v = 0;
	for (int i = 0; i < 16; i++) {
		unsigned char c = i < s.n ? s.s[i] : 0;

		if (i < s.n && !isalnum(c) && !strchr("_-.", c)) {
			why->offset = i;
			return tell(why, "\"%s\" is not an interface name: only letters, digits, _ - and .", SHOW(s));
		}
		*v = *v << 8 | c;
	}
	return 0;
}

int value_parse(enum config_type type, struct slice s, u128 *v, struct trouble *why)
{
	unsigned long n;
	int known;

	why->offset = 0;
	if (type == TYPE_IPV4_ADDR || type == TYPE_IPV6_ADDR)
		return parse_ip(type, s, v, why);
	if (type == TYPE_ETHER_ADDR)
		return parse_mac(s, v, why);
	if (type == TYPE_IFNAME)
		return parse_ifname(s, v, why);
	known = isdigit((unsigned char)s.s[0]) && type != TYPE_ETHER_TYPE ? -1 : name_find(type, s.s, s.n);
	if (known >= 0) {
		*v = known;
		return 0;
	}
	if (type == TYPE_PRESENCE)
		return tell(why, "\"%s\" is neither exists nor missing", SHOW(s));
	if (type == TYPE_NF_PROTO)
		return tell(why, "\"%s\" is neither ipv4 nor ipv6", SHOW(s));
	if (number_parse(s, noun[type], ~0UL >> (64 - config_type_bits[type]), &n, why))
		return -1;
	*v = n;
	return 0;
}

int value_range(enum config_type type, struct slice lo, struct slice hi, struct span *out, struct trouble *why)
{
	why->offset = 0;
	if (type == TYPE_IFNAME)
		return tell(why, "interface names have no ranges");
	if (value_parse(type, lo, &out->lo, why))
		return -1;
	if (value_parse(type, hi, &out->hi, why)) {
		why->offset += hi.s - lo.s;
		return -1;
	}
	if (out->lo > out->hi)
		return tell(why, "range %s-%s runs backwards", SHOW(lo), SHOW(hi));
	return 0;
}

int value_prefix(enum config_type type, struct slice addr, struct slice len, struct span *out, struct trouble *why)
{
	unsigned long bits;
	u128 host;

	why->offset = 0;
	if (!value_is_address(type))
		return tell(why, "%s %s has no prefixes: only addresses have", article(noun[type]), noun[type]);
	if (value_parse(type, addr, &out->lo, why))
		return -1;
	if (number_parse(len, "prefix length", config_type_bits[type], &bits, why)) {
		why->offset += len.s - addr.s;
		return -1;
	}
	bits = config_type_bits[type] - bits;
	host = bits == 128 ? ~(u128)0 : ((u128)1 << bits) - 1;
	out->lo &= ~host;		/* nft masks host bits without a word, so do we */
	out->hi = out->lo | host;
	return 0;
}

/* "eth*": every name that begins so. The last of sixteen bytes is always 0, so neighbouring wildcards never look like one. */
static int wildcard(struct slice s, struct span *out, struct trouble *why)
{
	int bits = 8 * (16 - (s.n - 1));

	if (s.n < 2)
		return tell(why, "\"*\" is every interface: leave the match out");
	s.n--;
	if (parse_ifname(s, &out->lo, why))
		return -1;
	out->hi = out->lo | ((((u128)1 << bits) - 1) & ~(u128)0xff);
	return 0;
}

/* Names may hold dashes (echo-request), so a word is a range only if it is not a name, and where it is cut is tried out. */
int value_word(enum config_type type, struct slice s, struct span *out, bool *interval, struct trouble *why)
{
	const char *dash = memchr(s.s, '-', s.n), *end = s.s + s.n;
	struct trouble other;

	*interval = type == TYPE_IFNAME && s.n && end[-1] == '*';
	why->offset = 0;
	if (*interval)
		return wildcard(s, out, why);
	if (!dash || type == TYPE_IFNAME || name_find(type, s.s, s.n) >= 0) {
		if (value_parse(type, s, &out->lo, why))
			return -1;
		out->hi = out->lo;
		return 0;
	}
	*interval = true;
	if (dash == s.s || end[-1] == '-')
		return tell(why, "range \"%s\" lacks an end", SHOW(s));
	if (!value_range(type, (struct slice){ s.s, dash - s.s }, (struct slice){ dash + 1, end - dash - 1 }, out, why))
		return 0;
	for (; dash && s.n <= 64; dash = memchr(dash + 1, '-', end - dash - 1))
		if (!value_range(type, (struct slice){ s.s, dash - s.s }, (struct slice){ dash + 1, end - dash - 1 }, out,
				 &other))
			return 0;
	if (isalpha((unsigned char)s.s[0]) && !value_is_address(type))
		value_parse(type, s, &out->lo, why);
	return -1;
}

/* Where the port's colon is: behind the bracket, or the only colon. */
static const char *port_colon(struct slice s)
{
	const char *p = s.n && s.s[0] == '[' ? memchr(s.s, ']', s.n) : NULL;

	if (p)
		return p + 1 < s.s + s.n && p[1] == ':' ? p + 1 : NULL;
	p = memchr(s.s, ':', s.n);
	return p && !memchr(p + 1, ':', s.s + s.n - p - 1) ? p : NULL;
}

int endpoint_parse(struct slice s, struct address *a, uint16_t *port, struct trouble *why)
{
	const char *colon = port_colon(s), *end = s.s + s.n;
	bool bracket = s.n && s.s[0] == '[';
	struct slice host, number = { colon ? colon + 1 : end, colon ? end - colon - 1 : 0 };
	unsigned long n;

	why->offset = 0;
	if (!colon)
		return tell(why, "\"%s\" is not ADDRESS:PORT: write 192.0.2.1:80 or [2001:db8::1]:80", SHOW(s));
	host = (struct slice){ s.s + bracket, colon - s.s - 2 * bracket };
	if (address_slice(host, a, why))
		return why->offset = bracket, -1;
	if (bracket != (a->family == 6))
		return tell(why, "brackets are for IPv6 addresses: write 192.0.2.1:80 or [2001:db8::1]:80");
	if (number_parse(number, "port", ~0UL >> 1, &n, why))
		return why->offset = colon + 1 - s.s, -1;
	if (!n || n > 65535) {
		why->offset = colon + 1 - s.s;
		return tell(why, "port %s is out of range 1-65535", SHOW(number));
	}
	*port = n;
	return 0;
}

int name_check(struct slice s, const char *what, struct trouble *why)
{
	why->offset = 0;
	if (s.n > 31)
		return tell(why, "%s name \"%s\" is longer than 31 characters", what, SHOW(s));
	for (int i = 0; i < s.n; i++) {
		if (isalnum((unsigned char)s.s[i]) || s.s[i] == '_' || (i && (s.s[i] == '-' || s.s[i] == '.')))
			continue;
		why->offset = i;
		return tell(why, "\"%s\" is not a %s name: letters, digits, _ - and ., a letter, digit or _ first", SHOW(s), what);
	}
	return s.n ? 0 : tell(why, "the %s name is empty", what);
}

static void print_ifname(FILE *f, u128 v, const char *tail)
{
	fputc('"', f);
	for (int shift = 120; shift >= 0 && (uint8_t)(v >> shift); shift -= 8)
		fputc((uint8_t)(v >> shift), f);
	fprintf(f, "%s\"", tail);
}

static void print_ip(FILE *f, enum config_type type, u128 v)
{
	struct address a = { .family = type == TYPE_IPV4_ADDR ? 4 : 6 };

	for (int i = a.family == 4 ? 3 : 15; i >= 0; i--, v >>= 8)
		a.bytes[i] = v;
	address_print(f, &a);
}

static void print_mac(FILE *f, u128 v)
{
	for (int shift = 40; shift >= 0; shift -= 8)
		fprintf(f, "%02x%s", (uint8_t)(v >> shift), shift ? ":" : "");
}

void value_print(FILE *f, enum config_type type, u128 v)
{
	const char *name = value_name(type, v);

	if (name)
		fputs(name, f);
	else if (type == TYPE_IPV4_ADDR || type == TYPE_IPV6_ADDR)
		print_ip(f, type, v);
	else if (type == TYPE_ETHER_ADDR)
		print_mac(f, v);
	else if (type == TYPE_IFNAME)
		print_ifname(f, v, "");
	else if (type == TYPE_ETHER_TYPE)
		fprintf(f, "0x%04x", (unsigned int)v);
	else if (type == TYPE_TCP_FLAG || type == TYPE_MARK || type == TYPE_RAW)
		fprintf(f, "0x%llx", (unsigned long long)v);
	else
		fprintf(f, "%llu", (unsigned long long)v);
}

void value_print_wildcard(FILE *f, const struct span *s)
{
	print_ifname(f, s->lo, "*");
}
