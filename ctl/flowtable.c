/* SPDX-License-Identifier: GPL-2.0-only */
/* flowtable: read the pinned flow table by mmap. Entries change while they are read: a snapshot of a busy table is not of one instant. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "../lib/err.h"
#include "../lib/run.h"
#include "flow.h"

struct list {
	struct flow_view *v;
	size_t n, capacity;
};

static struct flow_view *list_add(struct list *l)
{
	if (l->n == l->capacity) {
		l->capacity = l->capacity ? l->capacity * 2 : 1024;
		l->v = must(realloc(l->v, l->capacity * sizeof(*l->v)));
	}
	return memset(&l->v[l->n++], 0, sizeof(*l->v));
}

struct endpoint {
	uint8_t addr[16];
	uint16_t port;
};

static void fill(struct flow_view *v, const struct flow *f, const struct endpoint end[2])
{
	uint64_t decision = f->decision;
	int opener = !!(decision & FLOW_OPENER_BIT), other = !opener;

	memcpy(v->src, end[opener].addr, 16);
	memcpy(v->dst, end[other].addr, 16);
	v->sport = end[opener].port;
	v->dport = end[other].port;
	v->packets = f->packets[opener] & FLOW_PACKETS_MASK;
	v->reverse_packets = f->packets[other] & FLOW_PACKETS_MASK;
	v->bytes = f->bytes[opener] & FLOW_BYTES_MASK;
	v->reverse_bytes = f->bytes[other] & FLOW_BYTES_MASK;
	v->flags = f->bytes[opener] >> FLOW_FLAGS_SHIFT;
	v->reverse_flags = f->bytes[other] >> FLOW_FLAGS_SHIFT;
	v->first = f->first;
	v->last = f->last;
	v->rule = decision >> (opener ? FLOW_RULE_BITS : 0) & FLOW_RULE_MASK;
	v->reverse_rule = decision >> (other ? FLOW_RULE_BITS : 0) & FLOW_RULE_MASK;
	v->backend = decision >> FLOW_BACKEND_SHIFT;
	v->state = flow_state(f, v->proto);
}

static void add4(struct list *l, const struct flow4 *f)
{
	uint64_t key0 = __atomic_load_n(&f->key[0], __ATOMIC_ACQUIRE);
	struct endpoint end[2] = {};
	struct flow_view *v;

	if (!key0 || key0 == FLOW_BUSY)
		return;
	v = list_add(l);
	v->family = 4;
	v->key[0] = key0;
	v->key[1] = f->key[1];
	v->proto = key0 >> 48;
	v->interface = key0 >> 56;
	v->vlan = f->key[1] >> 48 & 0xfff;
	v->fragments = f->key[1] & FLOW4_FRAGMENT;
	for (int i = 0; i < 2; i++) {
		uint32_t addr = v->key[i] >> 16;

		memcpy(end[i].addr, &addr, 4);
		end[i].port = ntohs(v->key[i]);
	}
	fill(v, &f->flow, end);
}

static void add6(struct list *l, const struct flow6 *f)
{
	uint64_t key0 = __atomic_load_n(&f->key[0], __ATOMIC_ACQUIRE);
	struct endpoint end[2] = {};
	struct flow_view *v;

	if (!key0 || key0 == FLOW_BUSY)
		return;
	v = list_add(l);
	v->family = 6;
	memcpy(v->key, f->key, sizeof(v->key));
	v->key[0] = key0;
	v->proto = key0;
	v->interface = key0 >> 8 & 0xff;
	v->vlan = key0 >> 16 & 0xfff;
	v->fragments = key0 & FLOW6_FRAGMENT;
	for (int i = 0; i < 2; i++) {
		memcpy(end[i].addr, &f->key[1 + 2 * i], 16);
		end[i].port = ntohs(key0 >> (32 + 16 * i));
	}
	fill(v, &f->flow, end);
}

static int same_flow(const void *a, const void *b)
{
	const struct flow_view *x = a, *y = b;
	int d = x->family - y->family;

	return d ? d : memcmp(x->key, y->key, sizeof(x->key));
}

/* Add up entries with the same key; the one with more packets lends the rest. */
static void merge(struct list *l)
{
	size_t n = 0;

	if (!l->n)
		return;
	qsort(l->v, l->n, sizeof(*l->v), same_flow);
	for (size_t i = 1; i < l->n; i++) {
		struct flow_view *to = &l->v[n], *from = &l->v[i];

		if (same_flow(to, from)) {
			l->v[++n] = *from;
			continue;
		}
		/* an entry may have been opened from the other side */
		if (memcmp(to->src, from->src, 16) || to->sport != from->sport) {
			to->packets += from->reverse_packets;
			to->bytes += from->reverse_bytes;
			to->reverse_packets += from->packets;
			to->reverse_bytes += from->bytes;
		} else {
			to->packets += from->packets;
			to->bytes += from->bytes;
			to->reverse_packets += from->reverse_packets;
			to->reverse_bytes += from->reverse_bytes;
		}
	}
	l->n = n + 1;
}

int flows_read(struct flow_view **v, size_t *n)
{
	size_t size4 = 0, size6 = 0;
	struct flow4 *f4 = run_map_memory("flow4", false, &size4);
	struct flow6 *f6 = f4 ? run_map_memory("flow6", false, &size6) : NULL;
	struct list l = {};
	int err = f6 ? 0 : EXIT_FAILED;

	for (size_t i = 0; !err && i < size4 / sizeof(*f4); i++)
		add4(&l, &f4[i]);
	for (size_t i = 0; !err && i < size6 / sizeof(*f6); i++)
		add6(&l, &f6[i]);
	if (f4)
		munmap(f4, size4);
	if (f6)
		munmap(f6, size6);
	merge(&l);
	*v = l.v;
	*n = l.n;
	return err;
}
