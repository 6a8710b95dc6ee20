/* SPDX-License-Identifier: GPL-2.0-only */
/* check: what one statement cannot know: names that occur twice, sets that are unknown or of another type, matches that
 * exclude each other, services that cannot forward. Sorted indexes, so that a large configuration stays cheap. */
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "../maps/rule.h"
#include "check.h"
#include "lookup.h"
#include "settable.h"
#include "value.h"

int checker_wrong(struct checker *k, struct where at, const char *fmt, ...)
{
	char message[512], *line;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	line = k->text && at.file == k->file ? text_line(k->text, at.line) : NULL;
	fail_at(EXIT_USAGE, at, line, "%s", message);
	free(line);
	return EXIT_USAGE;
}

/* Pointers to the n objects, sorted; equal ones in their order in the array. */
static void **sorted(void *base, int n, size_t size, int (*compare)(const void *, const void *))
{
	void **v = must(malloc((n + 1) * sizeof(*v)));

	for (int i = 0; i < n; i++)
		v[i] = (char *)base + i * size;
	qsort(v, n, sizeof(*v), compare);
	return v;
}

/* The second of two equal objects, or NULL. */
static void *twin(void *base, int n, size_t size, int (*compare)(const void *, const void *),
		  bool (*equal)(const void *, const void *))
{
	void **v = sorted(base, n, size, compare), *found = NULL;

	for (int i = 1; i < n && !found; i++)
		if (equal(v[i - 1], v[i]))
			found = v[i];
	free(v);
	return found;
}

static int in_order(const void *a, const void *b)
{
	return a < b ? -1 : a > b;
}

/* The objects with names begin with them: one comparison serves all three. */
_Static_assert(!offsetof(struct set, name) && !offsetof(struct service, name) && !offsetof(struct interface, name), "name first");

static int by_name(const void *a, const void *b)
{
	char *const *x = *(void *const *)a, *const *y = *(void *const *)b;
	int d = strcmp(*x, *y);

	return d ? d : in_order(x, y);
}

static bool same_name(const void *a, const void *b)
{
	return !strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_address(const struct address *a, const struct address *b)
{
	return a->family != b->family ? a->family - b->family : memcmp(a->bytes, b->bytes, 16);
}

static int compare_listen(const struct listen *a, const struct listen *b)
{
	int d = compare_address(&a->addr, &b->addr);

	return d ? d : a->port != b->port ? a->port - b->port : a->proto - b->proto;
}

static int by_backend(const void *a, const void *b)
{
	const struct backend *x = *(void *const *)a, *y = *(void *const *)b;
	int d = compare_address(&x->addr, &y->addr);

	return d ? d : in_order(x, y);
}

static bool same_backend(const void *a, const void *b)
{
	return !compare_address(&((const struct backend *)a)->addr, &((const struct backend *)b)->addr);
}

struct listener {
	const struct listen *listen;
	const struct service *service;
	int order;			/* in the text */
};

static int by_listen(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;
	int d = compare_listen(x->listen, y->listen);

	return d ? d : x->order - y->order;
}

static struct set *known_set(struct checker *k, const char *name)
{
	int lo = 0, hi = k->config->n_sets;

	while (lo < hi) {
		int mid = (lo + hi) / 2, d = strcmp(k->sets[mid]->name, name);

		if (!d)
			return k->sets[mid];
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void types_text(char *out, size_t size, const enum config_type *types, int n)
{
	for (int i = 0, at = 0; i < n && at < (int)size; i++)
		at += snprintf(out + at, size - at, "%s%s", i ? " . " : "", config_type_text[types[i]] ? config_type_text[types[i]] : "a number");
}

static int check_set_of(struct checker *k, const struct match *m, bool map)
{
	const char *what = m->n_keys > 1 ? "the concatenation" : m->key == KEY_RAW ? "a raw match" : config_key_text[m->key];
	struct set *s = known_set(k, m->set);
	enum config_type types[KEYS_MOST];
	char has[160], needs[160];
	bool same, named = true;

	if (!s)
		return checker_wrong(k, m->at, "unknown %s \"%s\"", map ? "map" : "set", m->set);
	if (s->map != map)
		return checker_wrong(k, m->at, map ? "%s is a set: vmap needs a map" : "%s is a map: write vmap @%s", s->name, s->name);
	same = s->n_types == m->n_keys;
	for (int i = 0; i < m->n_keys; i++) {
		types[i] = config_key_type[m->keys[i]];
		named &= config_type_text[types[i]] != NULL;
		same &= s->types[i] == types[i];
	}
	if (same)
		return 0;
	if (!named)
		return checker_wrong(k, m->at, "%s takes no sets by name: write { … }", what);
	types_text(has, sizeof(has), s->types, s->n_types);
	types_text(needs, sizeof(needs), types, m->n_keys);
	return checker_wrong(k, m->at, "set %s holds %s, %s needs %s", s->name, has, what, needs);
}

static int check_l4proto(struct checker *k, const struct rule *r, enum config_key proto)
{
	for (int i = 0; i < r->n_matches; i++) {
		const struct match *m = &r->matches[i];

		if ((m->key == KEY_META_L4PROTO || m->key == KEY_IP_PROTOCOL) && m->n_keys == 1 && !m->set && !m->masked && spans_have(&m->spans, config_key_proto[proto]) == m->negate)
			return checker_wrong(k, m->at, "this %s and %s never match the same packet", config_key_text[m->key],
				     config_key_text[proto]);
	}
	return 0;
}

struct asked {			/* the first keys of a rule that ask for a family and a protocol */
	const enum config_key *family, *proto;
};

static int check_key(struct checker *k, const enum config_key *key, struct where at, struct asked *asked)
{
	const enum config_key *other = NULL;

	if (asked->family && config_key_family[*key] && config_key_family[*key] != config_key_family[*asked->family])
		other = asked->family;
	else if (asked->proto && config_key_proto[*key] && config_key_proto[*key] != config_key_proto[*asked->proto])
		other = asked->proto;
	if (other)
		return checker_wrong(k, at, "%s and %s never match the same packet", config_key_text[*key], config_key_text[*other]);
	asked->family = asked->family || !config_key_family[*key] ? asked->family : key;
	asked->proto = asked->proto || !config_key_proto[*key] ? asked->proto : key;
	return 0;
}

static int check_match(struct checker *k, const struct match *m, struct asked *asked, bool map)
{
	for (int i = 0; i < m->n_keys; i++)
		if (check_key(k, &m->keys[i], m->at, asked))
			return EXIT_USAGE;
	return m->set ? check_set_of(k, m, map) : 0;
}

static int check_update(struct checker *k, const struct rule *r)
{
	struct match as_match = { .set = r->update.set, .n_keys = r->update.n_keys, .key = r->update.keys[0], .at = r->update.at };
	const struct set *s = known_set(k, r->update.set);

	memcpy(as_match.keys, r->update.keys, sizeof(as_match.keys));
	if (check_set_of(k, &as_match, false))
		return EXIT_USAGE;
	if (!s->dynamic)
		return checker_wrong(k, r->update.at, "set %s is not one that rules add to: write flags dynamic into it", s->name);
	if (r->verdict != RULE_ACCEPT && r->verdict != RULE_DROP && r->verdict != RULE_REJECT && r->verdict != RULE_CONTINUE)
		return checker_wrong(k, r->update.at, "add and update go with accept, drop, reject, or a rule that goes on");
	return 0;
}

static int check_rule(struct checker *k, const struct rule *r)
{
	struct asked asked = { NULL, NULL };

	for (int i = 0; i < r->n_matches; i++)
		if (check_match(k, &r->matches[i], &asked, false))
			return EXIT_USAGE;
	if (r->vmap && check_match(k, r->vmap, &asked, true))
		return EXIT_USAGE;
	for (int i = 0; i < r->limit.n_keys; i++)
		if (check_key(k, &r->limit.keys[i], r->limit.at, &asked))
			return EXIT_USAGE;
	for (int i = 0; i < r->update.n_keys; i++)
		if (check_key(k, &r->update.keys[i], r->update.at, &asked))
			return EXIT_USAGE;
	if (r->update.how && check_update(k, r))
		return EXIT_USAGE;
	if (r->limit.rate && r->verdict != RULE_ACCEPT && r->verdict != RULE_DROP && r->verdict != RULE_REJECT &&
	    r->verdict != RULE_CONTINUE)
		return checker_wrong(k, r->limit.at, "a limit goes with accept, drop, reject, or a rule that only counts");
	if (r->mark.set && r->vmap)
		return checker_wrong(k, r->mark.at, "meta mark set goes into a rule of its own, before that with vmap");
	if (r->verdict == RULE_REJECT && check_reject(k, r, asked.family, asked.proto))
		return EXIT_USAGE;
	return asked.proto ? check_l4proto(k, r, *asked.proto) : 0;
}

static int check_raws(struct checker *k)
{
	struct raw list[FILTER_RAWS];
	const struct match *over;

	raw_list(k->config, list, FILTER_RAWS, &over);
	if (!over)
		return 0;
	return checker_wrong(k, over->at, "the rules look at more than %d different places by @…, or by fields that are read so (ip id, ip hdrlength, "
		     "ip6 flowlabel, tcp sequence …)", FILTER_RAWS);
}

static int check_lookups(struct checker *k)
{
	struct lookup list[FILTER_LOOKUPS];
	const struct match *over;

	lookups_list(k->config, list, &over);
	if (!over)
		return 0;
	return checker_wrong(k, over->at, "the rules ask large or changing sets in more than %d different ways", FILTER_LOOKUPS_FIXED);
}

static int check_sets(struct checker *k)
{
	int live = 0;

	for (int i = 0; i < k->config->n_sets; i++) {
		struct set *s = &k->config->sets[i];
		uint32_t n = set_is_tupled(s) ? s->tuples.n : s->elements.n;

		set_measure(s);
		live += set_is_live(s);
		if (live > MAX_SETS / 2)
			return checker_wrong(k, s->at, "more than %d sets are large or change by themselves", MAX_SETS / 2);
		if (s->size && n > s->size)
			return checker_wrong(k, s->at, "set %s has %u elements and size %u", s->name, n, s->size);
		if (set_is_live(s) && settable_class(s, 1) < 0)
			return checker_wrong(k, s->at, "set %s has more elements than the largest table (%u MiB) holds", s->name, settable_size(SET_CLASSES - 1) >> 20);
	}
	return 0;
}

static const char *unusable(const struct address *a)
{
	static const uint8_t zero[16];

	if (!memcmp(a->bytes, zero, 16))
		return "unspecified";
	if (a->family == 4 ? a->bytes[0] >= 224 : a->bytes[0] == 0xff)
		return "not unicast";
	return NULL;
}

static int check_backends(struct checker *k, const struct service *s)
{
	struct backend *b = twin(s->backends, s->n_backends, sizeof(*b), by_backend, same_backend);

	bool has[7] = { false };

	if (b)
		return checker_wrong(k, b->at, "service %s has this backend already", s->name);
	for (int i = 0; i < s->n_listens; i++)
		has[s->listens[i].addr.family] = true;
	for (b = s->backends; b < s->backends + s->n_backends; b++) {
		if (unusable(&b->addr))
			return checker_wrong(k, b->at, "the address is %s: a backend is one host", unusable(&b->addr));
		if (s->forward == FORWARD_L2 && has[10 - b->addr.family])
			return checker_wrong(k, b->at, "forward l2 cannot carry IPv%d to an IPv%d backend: use forward ipip",
				     10 - b->addr.family, b->addr.family);
	}
	return 0;
}

static int check_service(struct checker *k, const struct service *s)
{
	if (!s->n_listens)
		return checker_wrong(k, s->at, "service %s has no listen: write listen ADDRESS:PORT/tcp", s->name);
	if (!s->n_backends)
		return checker_wrong(k, s->at, "service %s has no backend: write backend ADDRESS", s->name);
	for (int i = 0; i < s->n_listens; i++)
		if (unusable(&s->listens[i].addr))
			return checker_wrong(k, s->listens[i].at, "the address is %s: a service listens on one host's address",
				     unusable(&s->listens[i].addr));
	return check_backends(k, s);
}

static int check_listens(struct checker *k)
{
	const struct config *c = k->config;
	struct listener *v = NULL;
	int n = 0, err = 0;

	for (int i = 0; i < c->n_services; i++) {
		for (int j = 0; j < c->services[i].n_listens; j++) {
			v = array_room(v, n, sizeof(*v));
			v[n] = (struct listener){ &c->services[i].listens[j], &c->services[i], n };
			n++;
		}
	}
	if (n)
		qsort(v, n, sizeof(*v), by_listen);
	for (int i = 1; i < n && !err; i++)
		if (!compare_listen(v[i - 1].listen, v[i].listen))
			err = checker_wrong(k, v[i].listen->at, "service %s listens there already", v[i - 1].service->name);
	free(v);
	return err;
}

static int check_names(struct checker *k)
{
	const struct config *c = k->config;
	struct interface *i = twin(c->interfaces, c->n_interfaces, sizeof(*i), by_name, same_name);
	struct set *s = twin(c->sets, c->n_sets, sizeof(*s), by_name, same_name);
	struct service *v = twin(c->services, c->n_services, sizeof(*v), by_name, same_name);

	if (i)
		return checker_wrong(k, i->at, "interface %s stands twice", i->name);
	if (s)
		return checker_wrong(k, s->at, "%s %s stands twice", s->map ? "map" : "set", s->name);
	if (v)
		return checker_wrong(k, v->at, "service %s stands twice", v->name);
	return 0;
}

int check_text(struct config *c, const char *file, const char *text)
{
	struct checker k = { .config = c, .file = file, .text = text };
	int err = check_names(&k);

	k.sets = (struct set **)sorted(c->sets, c->n_sets, sizeof(*c->sets), by_name);
	for (int i = 0; i < config_n_chains(c) && !err; i++)
		for (int j = 0; j < config_chain(c, i)->n_rules && !err; j++)
			err = check_rule(&k, &config_chain(c, i)->rules[j]);
	if (!err)
		err = check_chains(&k);
	if (!err)
		err = check_raws(&k);
	if (!err)
		err = check_sets(&k);
	if (!err)
		err = check_lookups(&k);
	for (int i = 0; i < c->n_services && !err; i++)
		err = check_service(&k, &c->services[i]);
	if (!err)
		err = check_listens(&k);
	free(k.sets);
	return err;
}

int config_check(struct config *c)
{
	return check_text(c, NULL, NULL);
}
