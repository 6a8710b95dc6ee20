/* SPDX-License-Identifier: GPL-2.0-only */
/* build: the actions of the grammar: each appends its piece to the model or refuses it at its place. Objects are appended to
 * the configuration at once, so that freeing that frees all. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"

static struct where place(const struct parse *p, struct loc at)
{
	return (struct where){ p->file, at.line, at.column };
}

static char *copy(struct slice s)
{
	return must(strndup(s.s, s.n));
}

static int refuse_trouble(struct parse *p, struct loc at, const struct trouble *why)
{
	at.column += why->offset;
	return refuse(p, at, "%s", why->text);
}

static int named(struct parse *p, struct slice name, const char *what, struct loc at)
{
	struct trouble why;

	return name_check(name, what, &why) ? refuse_trouble(p, at, &why) : 0;
}

int build_interface(struct parse *p, struct slice name, struct loc at)
{
	struct config *c = p->config;
	struct trouble why;
	u128 v;

	if (value_parse(TYPE_IFNAME, name, &v, &why))
		return refuse_trouble(p, at, &why);
	c->interfaces = array_room(c->interfaces, c->n_interfaces, sizeof(*c->interfaces));
	c->interfaces[c->n_interfaces++] = (struct interface){ .name = copy(name), .at = place(p, at) };
	return 0;
}

/* Printed between quotes and sent as JSON: so no control characters, and UTF-8 as it should be. nft's limit on length. */
static int check_comment(struct parse *p, struct slice s, struct loc at)
{
	enum { COMMENT_MOST = 128 };
	int follow = 0;

	if (s.n > COMMENT_MOST)
		return refuse(p, at, "the comment is longer than %d bytes", COMMENT_MOST);
	for (int i = 0; i < s.n; i++) {
		unsigned char c = s.s[i];
		bool continues = (c & 0xc0) == 0x80;

		if (c < ' ' || c == 0x7f)
			return refuse(p, at, "the comment has a control character");
		if (continues != (follow > 0) || c == 0xc0 || c == 0xc1 || c > 0xf4)
			return refuse(p, at, "the comment is not UTF-8");
		follow = continues ? follow - 1 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	}
	return follow ? refuse(p, at, "the comment is not UTF-8") : 0;
}

/* sets */
int build_set(struct parse *p, struct slice name, struct loc at)
{
	struct config *c = p->config;

	if (named(p, name, "set", at))
		return -1;
	c->sets = array_room(c->sets, c->n_sets, sizeof(*c->sets));
	p->set = &c->sets[c->n_sets++];
	*p->set = (struct set){ .name = copy(name), .at = place(p, at) };
	p->has_type = false;
	p->interval_at.line = 0;
	return 0;
}

int build_set_type(struct parse *p, struct slice type, struct loc at)
{
	if (p->has_type)
		return refuse(p, at, "set %s has a type already", p->set->name);
	for (int i = 0; i < TYPE_COUNT; i++) {
		if (!config_type_text[i] || !slice_is(type, config_type_text[i]))
			continue;
		p->set->type = i;
		p->has_type = true;
		return 0;
	}
	if (slice_is(type, "filter") || slice_is(type, "nat") || slice_is(type, "route"))
		return refuse(p, at, "type %s is not supported: a chain is bound by its name", SHOW(type));
	return refuse(p, at, "unknown type \"%s\", expected ipv4_addr, ipv6_addr, inet_service, inet_proto, icmp_type, icmpv6_type, "
		      "ether_addr, ether_type, ifname, vlan_id, tcp_flag, dscp, ecn or mark", SHOW(type));
}

int build_set_flag(struct parse *p, struct slice flag, struct loc at)
{
	if (slice_is(flag, "constant") || slice_is(flag, "dynamic") || slice_is(flag, "timeout"))
		return refuse(p, at, "flags %s is not supported yet", SHOW(flag));
	if (!slice_is(flag, "interval"))
		return refuse(p, at, "unknown flag \"%s\", expected interval", SHOW(flag));
	p->set->interval = true;
	return 0;
}

int build_set_comment(struct parse *p, struct slice text, struct loc at)
{
	if (p->set->comment)
		return refuse(p, at, "set %s has a comment already", p->set->name);
	if (check_comment(p, text, at))
		return -1;
	p->set->comment = copy(text);
	return 0;
}

int build_elements(struct parse *p, struct loc at)
{
	if (!p->has_type)
		return refuse(p, at, "the set's type must stand before its elements: write type ipv4_addr");
	p->type = p->set->type;
	p->values_to = &p->set->elements;
	return 0;
}

int build_set_end(struct parse *p, struct loc at)
{
	if (!p->has_type)
		return refuse(p, at, "set %s has no type: write type ipv4_addr", p->set->name);
	if (p->interval_at.line && !p->set->interval)
		return refuse(p, p->interval_at, "a range or prefix in a set without flags interval: write flags interval");
	spans_normalise(&p->set->elements);
	p->set = NULL;
	return 0;
}

/* values */
static int take_span(struct parse *p, const struct span *s, bool interval, struct loc at)
{
	if (p->type == TYPE_RAW && s->hi > match_max(&p->match))
		return refuse(p, at, "the value does not fit in %d bits", p->match.raw.length);
	if (interval && !p->interval_at.line)
		p->interval_at = at;
	spans_add(p->values_to, s->lo, s->hi);
	return 0;
}

static int flag_bits(struct parse *p, struct slice word, struct loc at, unsigned int *bits)
{
	struct trouble why;
	u128 v;

	if (value_parse(TYPE_TCP_FLAG, word, &v, &why))
		return refuse_trouble(p, at, &why);
	*bits |= v;
	return 0;
}

int build_flags(struct parse *p, const struct group *g, unsigned int *bits)
{
	*bits = g->bits;
	return g->n > 1 ? 0 : flag_bits(p, g->first, g->at, bits);
}

int build_join(struct parse *p, struct group *g, struct slice word, struct loc joint, struct loc at)
{
	if (p->type != TYPE_TCP_FLAG)
		return refuse(p, joint, "several values stand in braces: { a, b }");
	if (g->n++ == 1) {
		g->joint = joint;
		if (flag_bits(p, g->first, g->at, &g->bits))
			return -1;
	}
	return flag_bits(p, word, at, &g->bits);
}

int build_value(struct parse *p, const struct group *g)
{
	struct trouble why;
	struct span s;
	bool interval;

	if (g->n > 1)
		return take_span(p, &(struct span){ g->bits, g->bits }, false, g->at);
	if (value_word(p->type, g->first, &s, &interval, &why))
		return refuse_trouble(p, g->at, &why);
	return take_span(p, &s, interval && s.lo != s.hi, g->at);
}

int build_range(struct parse *p, struct slice lo, struct slice hi, struct loc at, struct loc hi_at)
{
	struct trouble why;
	struct span s;

	if (!value_range(p->type, lo, hi, &s, &why))
		return take_span(p, &s, s.lo != s.hi, at);
	if (why.offset >= hi.s - lo.s) {
		why.offset -= hi.s - lo.s;
		at = hi_at;
	}
	return refuse_trouble(p, at, &why);
}

int build_prefix(struct parse *p, struct slice addr, struct slice len, struct loc at, struct loc len_at)
{
	struct trouble why;
	struct span s;

	if (!value_prefix(p->type, addr, len, &s, &why))
		return take_span(p, &s, s.lo != s.hi, at);
	if (why.offset >= len.s - addr.s) {
		why.offset -= len.s - addr.s;
		at = len_at;
	}
	return refuse_trouble(p, at, &why);
}

/* services */
int build_service(struct parse *p, struct slice name, struct loc at)
{
	struct config *c = p->config;

	if (named(p, name, "service", at))
		return -1;
	c->services = array_room(c->services, c->n_services, sizeof(*c->services));
	p->service = &c->services[c->n_services++];
	*p->service = (struct service){ .name = copy(name), .at = place(p, at) };
	p->has_forward = false;
	return 0;
}

int build_listen(struct parse *p, struct slice endpoint, struct slice proto, struct loc at, struct loc proto_at)
{
	struct service *s = p->service;
	struct listen l = { .at = place(p, at) };
	struct trouble why;

	if (endpoint_parse(endpoint, &l.addr, &l.port, &why))
		return refuse_trouble(p, at, &why);
	l.proto = slice_is(proto, "tcp") ? 6 : slice_is(proto, "udp") ? 17 : 0;
	if (!l.proto)
		return refuse(p, proto_at, "a service cannot listen on \"%s\": write tcp or udp", SHOW(proto));
	s->listens = array_room(s->listens, s->n_listens, sizeof(l));
	s->listens[s->n_listens++] = l;
	return 0;
}

int build_forward(struct parse *p, struct slice how, struct loc at)
{
	if (p->has_forward)
		return refuse(p, at, "service %s has a forward already", p->service->name);
	p->has_forward = true;
	for (int i = FORWARD_L2; i <= FORWARD_IPIP; i++) {
		p->service->forward = i;
		if (slice_is(how, forward_name[i]))
			return 0;
	}
	return refuse(p, at, "unknown forward \"%s\", expected l2 or ipip", SHOW(how));
}

int build_backend(struct parse *p, struct slice addr, struct loc at)
{
	struct service *s = p->service;
	struct backend b = { .weight = 1, .at = place(p, at) };
	struct trouble why;

	if (address_slice(addr, &b.addr, &why))
		return refuse_trouble(p, at, &why);
	s->backends = array_room(s->backends, s->n_backends, sizeof(b));
	s->backends[s->n_backends++] = b;
	return 0;
}

int build_weight(struct parse *p, struct slice weight, struct loc at)
{
	struct trouble why;
	unsigned long v;

	if (number_parse(weight, "weight", 65535, &v, &why))
		return refuse_trouble(p, at, &why);
	p->service->backends[p->service->n_backends - 1].weight = v;
	return 0;
}

int build_service_end(struct parse *p, struct loc at)
{
	if (!p->has_forward)
		return refuse(p, at, "service %s has no forward: write forward l2 or forward ipip", p->service->name);
	p->service = NULL;
	return 0;
}

int build_number(struct parse *p, struct slice number, struct loc at)
{
	struct trouble why;
	unsigned long v;

	return number_parse(number, "number", ~0UL >> 1, &v, &why) ? refuse_trouble(p, at, &why) : 0;
}

int build_comment(struct parse *p, struct slice text, struct loc at)
{
	if (check_comment(p, text, at))
		return -1;
	p->rule.comment = copy(text);
	return 0;
}
