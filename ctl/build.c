/* SPDX-License-Identifier: GPL-2.0-only */
/* build: the actions of the grammar: each appends its piece to the model or refuses it at its place. Objects are appended to
 * the configuration at once, so that freeing that frees all. */
#include <stdlib.h>
#include <string.h>
#include "parse.h"

struct where place_of(const struct parse *p, struct loc at)
{
	return (struct where){ p->file, at.line, at.column };
}

static char *copy(struct slice s)
{
	return must(strndup(s.s, s.n));
}

int refuse_trouble(struct parse *p, struct loc at, const struct trouble *why)
{
	at.column += why->offset;
	return refuse(p, at, "%s", why->text);
}

int build_named(struct parse *p, struct slice name, const char *what, struct loc at)
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
	c->interfaces[c->n_interfaces++] = (struct interface){ .name = copy(name), .at = place_of(p, at) };
	return 0;
}

/* Printed between quotes and sent as JSON: so no control characters, and UTF-8 as it should be. nft's limit on length. */
int build_check_text(struct parse *p, const char *what, struct slice s, struct loc at)
{
	enum { TEXT_MOST = 128 };
	int follow = 0;

	if (s.n > TEXT_MOST)
		return refuse(p, at, "the %s is longer than %d bytes", what, TEXT_MOST);
	for (int i = 0; i < s.n; i++) {
		unsigned char c = s.s[i];
		bool continues = (c & 0xc0) == 0x80;

		if (c < ' ' || c == 0x7f)
			return refuse(p, at, "the %s has a control character", what);
		if (continues != (follow > 0) || c == 0xc0 || c == 0xc1 || c > 0xf4)
			return refuse(p, at, "the %s is not UTF-8", what);
		follow = continues ? follow - 1 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	}
	return follow ? refuse(p, at, "the %s is not UTF-8", what) : 0;
}

/* services */
int build_service(struct parse *p, struct slice name, struct loc at)
{
	struct config *c = p->config;

	if (build_named(p, name, "service", at))
		return -1;
	c->services = array_room(c->services, c->n_services, sizeof(*c->services));
	p->service = &c->services[c->n_services++];
	*p->service = (struct service){ .name = copy(name), .at = place_of(p, at) };
	p->has_forward = false;
	return 0;
}

int build_listen(struct parse *p, struct slice endpoint, struct slice proto, struct loc at, struct loc proto_at)
{
	struct service *s = p->service;
	struct listen l = { .at = place_of(p, at) };
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
	struct backend b = { .weight = 1, .at = place_of(p, at) };
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
	if (build_check_text(p, "comment", text, at))
		return -1;
	p->rule.comment = copy(text);
	return 0;
}

int build_log_prefix(struct parse *p, struct slice text, struct loc at)
{
	if (build_check_text(p, "prefix", text, at))
		return -1;
	free(p->rule.log_prefix);
	p->rule.log_prefix = copy(text);
	p->rule.log = true;
	return 0;
}
