/* SPDX-License-Identifier: GPL-2.0 */
/* filter: which rule of a chain is the first that matches. classify() runs for packets without a cached decision: the first of a flow,
 * the first after a change of the configuration, and all that a rule looking at more than the flow might concern. maps/rule.h has the tables. */
#pragma once
#include "../maps/rule.h"
#include "program.h"
#include "account.h"
#include "ctz.h"
#include "field.h"
#include "limit.h"
#include "log.h"
#include "mark.h"
#include "memory.h"
#include "set.h"
#include "state.h"

#define MAX_INTERVAL_STEPS 22	/* 2^22 bounds */
#define QUICK_STEPS 8		/* through the candidates before a loop takes over that costs more a step, and may be long */
#define MAX_STEPS (FILTER_MAX_UNITS * 2 + 1024)

/* The next entry, of the node that e names; of a class that it is: its entry says the same again. */
static __always_inline __u32 class_step(const void *m, const struct filter_class *t, __u32 e, __u32 bits, __u32 open, __u32 size)
{
	__u32 here = (__u32)((__s32)e >> 31) & open;

	asm volatile("" : "+r"(here));
	return half_at(m, t->nodes + (e & ~FILTER_NODE) + (bits & here), size);
}

static __always_inline __u32 class_row(const void *m, const struct filter_class *t, __u32 value, __u32 stride, __u32 size)
{
	__u32 shift = t->shift, bits = t->bits, open = (1u << (bits & 31)) - 1;
	__u32 e = half_at(m, t->nodes + t->root + ((__u64)value >> (shift & 63)), size);

#define STEP \
	if (shift) { \
		shift -= bits; \
		e = class_step(m, t, e, value >> (shift & 31), open, size);
	STEP STEP STEP STEP STEP STEP
	} } } } } }
#undef STEP
	_Static_assert(FILTER_TRIE_STEPS == 6, "as many as above");
	return t->rows + e * stride;
}

/* ---- fields of more than 32 bits, and those few chains look at */

static __always_inline __u32 interval_row(const void *m, const struct filter_interval *t, __u32 wide, __u64 hi, __u64 lo, __u32 size)
{
	__u32 base = 0, left = t->count;

	for (int i = 0; i < MAX_INTERVAL_STEPS && left > 1; i++) {
		__u32 half = left >> 1, probe = t->bounds + ((base + half) << wide);
		__u64 bound = *word_at(m, probe, size);

		if (wide && bound == hi ? *word_at(m, probe + 1, size) <= lo : bound <= (wide ? hi : lo)) {
			base += half;
			left -= half;
		} else {
			left = half;
		}
	}
	return *word_at(m, t->rows + base, size);
}

static __always_inline __u32 field_row(const struct filter_key *k, __u32 field, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	__u32 wide = FIELDS_WIDE >> field & 1;

	if (!c)
		return 0;
	if (!(k->present >> field & 1))
		return c->interval[field].absent;
	return interval_row(c, &c->interval[field], wide, k->hi[field], k->lo[field], size);
}

/* Where the row of this field begins; 0 when a table is missing (word 0 is never a row). */
__noinline __u32 filter_row(const struct filter_key *k, __u32 field)
{
	if (!k || field >= FIELD_COUNT)
		return 0;
	if (k->size == FILTER_SMALL)
		return field_row(k, field, FILTER_SMALL);
	if (k->size == FILTER_MEDIUM)
		return field_row(k, field, FILTER_MEDIUM);
	return field_row(k, field, FILTER_LARGE);
}

/* A function apart, for 6.1: its verifier takes some loops that clang turns for jumps back where none may be. */
__noinline int filter_rows(struct filter_key *k, __u64 fields)
{
	if (!k)
		return 0;
	for (__u64 i = 0; i < FIELD_COUNT && fields; i++, fields &= fields - 1) {
		__u64 f = ctz64(fields);

		asm volatile("" : "+r"(i), "+r"(f));	/* or clang takes f's bound from debruijn_ctz, which the verifier does not read */
		if (f < FIELD_COUNT)
			k->row[f] = filter_row(k, f);
	}
	return 0;
}

static __always_inline __u64 extra_units(struct filter_key *k, __u64 units, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	__u64 invariant = units, all = units, fields;

	if (!c)
		return 0;
	fields = c->fields & FIELDS_EXTRA;
	for (__u32 i = 0; i < FIELD_COUNT && fields; i++, fields &= fields - 1) {
		__u64 f = ctz64(fields), row;

		asm volatile("" : "+r"(f));
		if (f >= FIELD_COUNT)
			break;
		row = *word_at(c, k->row[f] + c->summary + k->word, size);
		invariant &= FIELDS_INVARIANT >> f & 1 ? row : ~0ull;
		all &= row;
	}
	/* up to the match: a rule that would match other packets of this flow */
	if (invariant & ~all & ((all & -all) - 1))
		k->cacheable = 0;
	return all;
}

/* Of `units`, bits of the word at k->word, those that the further fields leave. */
__noinline __u64 filter_extra(struct filter_key *k, __u64 units)
{
	if (!k)
		return 0;
	if (k->size == FILTER_SMALL)
		return extra_units(k, units, FILTER_SMALL);
	if (k->size == FILTER_MEDIUM)
		return extra_units(k, units, FILTER_MEDIUM);
	return extra_units(k, units, FILTER_LARGE);
}

/* ---- groups */

/* Is a bit set in x above the lowest `open` ones? Two shifts: one of 64 is not defined. */
static __always_inline __u64 above(__u64 x, __u32 open)
{
	__u32 half = open >> 1 & 63;

	return x >> half >> ((open - half) & 63);
}

/* The rule's ports and protocol; `wrong`: whether its addresses differ. */
static __always_inline void probe_rule(struct filter_key *k, const struct filter_rule *r, __u64 wrong)
{
	__u32 sport = k->ports >> 16, dport = k->ports & 0xffff, position = r->position & ~FILTER_NEEDS_PORTS;

	wrong |= ((r->proto ^ k->proto) & r->proto_mask) | (r->position >> 31 & ~k->has_ports);
	if (wrong || !r->entry || position >= k->position || position < k->from)
		return;
	if (sport < r->sport[0] || sport > r->sport[1] || dport < r->dport[0] || dport > r->dport[1])
		return;
	k->position = position;
	k->found = r->entry;
}

static __always_inline void probe_record4(struct filter_key *k, const struct filter_record4 *r)
{
	__u64 s = r->saddr ^ k->saddr[0] >> 32, d = r->daddr ^ k->daddr[0] >> 32;

	probe_rule(k, &r->rule, s >> (r->rule.sshift & 63) | d >> (r->rule.dshift & 63));
}

static __always_inline void probe_record6(struct filter_key *k, const struct filter_record6 *r)
{
	probe_rule(k, &r->rule, above(r->saddr[0] ^ k->saddr[0], r->sshift[0]) | above(r->daddr[0] ^ k->daddr[0], r->dshift[0]) |
				above(r->saddr[1] ^ k->saddr[1], r->sshift[1]) | above(r->daddr[1] ^ k->daddr[1], r->dshift[1]));
}

static __always_inline void probe_group4(struct filter_key *k, const struct filter_chain *c, __u32 at, __u32 size)
{
	for (int n = 0; n < FILTER_CHAIN_BUCKETS && at; n++) {
		const struct filter_bucket4 *b = words_at(c, at, sizeof(*b) / 8, size);

		if (!b)
			return;
		probe_record4(k, &b->record[0]);
		probe_record4(k, &b->record[1]);
		at = b->record[0].rule.next;
	}
}

static __always_inline void probe_group6(struct filter_key *k, const struct filter_chain *c, __u32 at, __u32 size)
{
	for (int n = 0; n < FILTER_CHAIN_BUCKETS && at; n++) {
		const struct filter_bucket6 *b = words_at(c, at, sizeof(*b) / 8, size);

		if (!b)
			return;
		probe_record6(k, &b->record[0]);
		probe_record6(k, &b->record[1]);
		at = b->record[0].rule.next;
	}
}

static __always_inline void probe_group(struct filter_key *k, __u32 group, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	const struct filter_group *g;
	__u32 bucket;

	if (!c)
		return;
	g = words_at(c, c->groups + group * (sizeof(*g) / 8), sizeof(*g) / 8, size);
	if (!g || g->family != k->family)
		return;
	bucket = filter_hash(g, k->saddr, k->daddr, k->ports, k->proto);
	if (k->family == 4)
		probe_group4(k, c, g->buckets + bucket * (sizeof(struct filter_bucket4) / 8), size);
	else
		probe_group6(k, c, g->buckets + bucket * (sizeof(struct filter_bucket6) / 8), size);
}

/* The first rule of the group that matches, if it stands before k->position. */
__noinline int filter_probe(struct filter_key *k, __u32 group)
{
	if (!k)
		return 0;
	if (k->size == FILTER_MEDIUM)	/* small memory has no groups */
		probe_group(k, group, FILTER_MEDIUM);
	else
		probe_group(k, group, FILTER_LARGE);
	return 0;
}

/* ---- counters */

static __always_inline void rule_add(__u32 id, __u32 packets, __u32 bytes)
{
	struct rule_count *c = bpf_map_lookup_elem(&rule_counts, &id);

	if (!c)
		return;
	c->packets += packets;
	c->bytes += bytes;
}

static __always_inline void rule_count(__u32 id, const struct pkt *p)
{
	rule_add(id, p->packets, p->ip_bytes ? p->ip_bytes : p->len);
}

/* ---- the walk over the rows */

static __always_inline __u64 core_word(const struct filter_key *k, const void *m, __u32 i, __u32 size)
{
	return *word_at(m, k->core[CORE_PROTO] + i, size) & *word_at(m, k->core[CORE_SADDR4] + i, size) &
	       *word_at(m, k->core[CORE_DADDR4] + i, size) & *word_at(m, k->core[CORE_SPORT] + i, size) &
	       *word_at(m, k->core[CORE_DPORT] + i, size);
}

/* The next units that may match, if the next words of the summary and of the rows have any. 0: none are left. */
static __always_inline int walk_next(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 size)
{
	if (!w->words) {
		if (w->summary >= c->summary)
			return 0;
		w->words = core_word(k, c, w->summary, size);
		w->summary++;
	}
	if (!w->words)
		return 1;
	w->word = (c->summary ? w->summary - 1 : 0) * 64 + ctz64(w->words);
	w->words &= w->words - 1;
	w->units = core_word(k, c, c->summary + w->word, size);
	if (w->units && asks(c, FIELDS_EXTRA)) {
		if (k->lone) {
			w->units &= *word_at(c, k->lone + c->summary + w->word, size);
			return 1;
		}
		k->word = w->word;
		w->units = filter_extra(k, w->units);
	}
	return 1;
}

static __always_inline void walk_begin(struct filter_walk *w, __u32 summary, __u32 words)
{
	w->words = !summary && words;
	w->units = 0;
	w->summary = 0;
}

/* A unit that decides nothing: it counts, if it has an id, and says where to go on. What a group gave before that place is passed by, and the groups
 * are asked again. */
static __always_inline void walk_on(struct filter_key *k, struct filter_walk *w, __u32 entry, __u32 leap, __u32 summary, __u32 words)
{
	log_note(k, entry);
	if (entry & (RULE_ID_MASK | RULE_VARIANT_BIT))
		k->cacheable = 0;
	if (entry & RULE_ID_MASK)
		rule_add(entry & RULE_ID_MASK, k->packets, k->bytes);
	if (!leap)
		return;
	k->from = leap;
	if (k->position >= leap)
		return;
	k->position = ~0u;
	k->found = 0;
	walk_begin(w, summary, words);
}

/* The mark has changed, and with it what rules behind bit `n` of the word hold. */
static __always_inline void walk_marked(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 n, __u32 size)
{
	k->row[FIELD_MARK] = filter_row(k, FIELD_MARK);
	k->word = w->word;
	w->units = filter_extra(k, core_word(k, c, c->summary + w->word, size) & ~1ull << n);
}

/* What few rules have beside their matches. 0: the rule does not match. */
static __always_inline int walk_aside(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 entry, __u32 unit, __u32 size)
{
	__u32 place = *word_at(c, c->leaps + unit, size) >> 32;

	if (says(entry, RULE_LIMIT_BIT) && !filter_limit(k, place))
		return 0;
	if (says(entry, RULE_SET_BIT) && !filter_touch(k, place + FILTER_TOUCH))
		return 0;
	if (says(entry, RULE_MARK_BIT) && filter_mark(k, entry, place))
		walk_marked(k, c, w, unit & 63, size);
	return 1;
}

/* 1: done, with or without a rule. */
static __always_inline int walk_step(struct filter_key *k, const struct filter_chain *c, struct filter_walk *w, __u32 size)
{
	__u32 unit, entry;
	__u64 e;

	if (!w->units && !walk_next(k, c, w, size))
		return 1;
	if (!w->units)
		return 0;
	unit = w->word * 64 + ctz64(w->units);
	w->units &= w->units - 1;
	e = *word_at(c, c->entries + unit, size);
	entry = e;
	if (e >> 32 >= k->position)	/* no unit from here on has a rule before the one found */
		return 1;
	if (entry & FILTER_GROUP_BIT) {
		filter_probe(k, entry & RULE_ID_MASK);
		return 0;
	}
	if (e >> 32 < k->from)
		return 0;
	if (says(entry, RULE_LIMIT_BIT | RULE_MARK_BIT | RULE_SET_BIT) && !walk_aside(k, c, w, entry, unit, size))
		return 0;
	if (entry & RULE_CONTINUE_BIT) {
		walk_on(k, w, entry, (__u32)*word_at(c, c->leaps + unit, size), c->summary, c->words);
		return 0;
	}
	k->position = e >> 32;
	k->found = entry;
	return 1;
}

/* bpf_loop() callbacks, one a size: all in one would need more stack than is left. */
#define WALK_MORE(name, size) \
static long name(__u32 n __attribute__((unused)), struct filter_key **ctx) \
{ \
	struct filter_key *k = *ctx; \
	const struct filter_chain *c = filter_memory(k->chain, size); \
 \
	return c ? walk_step(k, c, &k->walk, size) : 1; \
}

WALK_MORE(walk_small, FILTER_SMALL)
WALK_MORE(walk_medium, FILTER_MEDIUM)
WALK_MORE(walk_large, FILTER_LARGE)

static __always_inline __u32 family_index(__u32 family)
{
	return family == 4 ? 1 : family == 6 ? 2 : 0;
}

static __always_inline void core_rows(struct filter_key *k, const struct filter_chain *c, __u32 size)
{
	const struct filter_class *t = c->core;

	__u32 saddr = t[CORE_SADDR4].absent, daddr = t[CORE_DADDR4].absent, sport = t[CORE_SPORT].absent, dport = t[CORE_DPORT].absent;

	k->core[CORE_PROTO] = class_row(c, &t[CORE_PROTO], family_index(k->family) << 8 | k->proto, c->stride, size);
	if (k->family == 4 && c->fields & FIELD_BIT(FIELD_SADDR4))
		saddr = class_row(c, &t[CORE_SADDR4], k->saddr[0] >> 32, c->stride, size);
	else if (k->family == 6 && c->fields & FIELD_BIT(FIELD_SADDR6))	/* in the same place: a packet has one family */
		saddr = filter_row(k, FIELD_SADDR6);
	k->core[CORE_SADDR4] = saddr;
	if (k->family == 4 && c->fields & FIELD_BIT(FIELD_DADDR4))
		daddr = class_row(c, &t[CORE_DADDR4], k->daddr[0] >> 32, c->stride, size);
	else if (k->family == 6 && c->fields & FIELD_BIT(FIELD_DADDR6))
		daddr = filter_row(k, FIELD_DADDR6);
	k->core[CORE_DADDR4] = daddr;
	if (k->has_ports && c->fields & FIELD_BIT(FIELD_SPORT))
		sport = class_row(c, &t[CORE_SPORT], k->ports >> 16, c->stride, size);
	k->core[CORE_SPORT] = sport;
	if (k->has_ports && c->fields & FIELD_BIT(FIELD_DPORT))
		dport = class_row(c, &t[CORE_DPORT], k->ports & 0xffff, c->stride, size);
	k->core[CORE_DPORT] = dport;
}

/* ---- the packet's values */

static __always_inline void filter_key_core(struct filter_key *k, const struct pkt *p)
{
	KEY_PAIR(k, family, proto) = p->family | (p->family ? (__u64)p->proto << 32 : 0);
	KEY_PAIR(k, ports, has_ports) = p->flags & PKT_PORTS ? (__u32)bpf_ntohs(p->sport) << 16 | bpf_ntohs(p->dport) | 1ull << 32 : 0;
	if (p->family == 4) {
		k->saddr[0] = (__u64)bpf_ntohl(p->saddr.v4) << 32;
		k->daddr[0] = (__u64)bpf_ntohl(p->daddr.v4) << 32;
	} else if (p->family == 6) {
		k->saddr[0] = bpf_be64_to_cpu(p->saddr.w[0]);
		k->saddr[1] = bpf_be64_to_cpu(p->saddr.w[1]);
		k->daddr[0] = bpf_be64_to_cpu(p->daddr.w[0]);
		k->daddr[1] = bpf_be64_to_cpu(p->daddr.w[1]);
		filter_set(k, FIELD_SADDR6, k->saddr[0], k->saddr[1]);
		filter_set(k, FIELD_DADDR6, k->daddr[0], k->daddr[1]);
	}
}

static __always_inline __u64 mac_value(const __u8 *m)
{
	return (__u64)m[0] << 40 | (__u64)m[1] << 32 | (__u64)m[2] << 24 | (__u64)m[3] << 16 | (__u64)m[4] << 8 | m[5];
}

/* What few chains look at. */
static __always_inline void filter_key_extra(PARSE_CONTEXT *ctx, struct filter_key *k, const struct pkt *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	filter_set(k, FIELD_IFNAME, program.name[0], program.name[1]);
	if (p->vlans)
		filter_set(k, FIELD_VLAN_ID, 0, p->vlan_id);
	filter_set(k, FIELD_ETHER_TYPE, 0, bpf_ntohs(p->ether_type));
	if (data + 12 <= end) {
		filter_set(k, FIELD_ETHER_DADDR, 0, mac_value(data));
		filter_set(k, FIELD_ETHER_SADDR, 0, mac_value(data + 6));
	}
	if (p->family && p->flags & PKT_PORTS && p->proto == 6)
		filter_set(k, FIELD_TCP_FLAGS, 0, p->tcp_flags);
	if (p->family && p->flags & PKT_ICMP) {
		filter_set(k, FIELD_ICMP_TYPE, 0, p->icmp_type);
		filter_set(k, FIELD_ICMP_CODE, 0, p->icmp_code);
	}
}

/* One field that does not vary within a flow: a list, mostly. Its row takes no calls. */
static __always_inline int is_lone(__u64 fields)
{
	return !(fields & (fields - 1)) && fields & FIELDS_INVARIANT;
}

/* What is not in every chain: values, answers of sets, and the rows that they lead to. One branch away from those that do without. */
static __always_inline void filter_further(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, const struct filter_chain *c, struct flow *f,
					   struct quote *q)
{
	if (c->fields & FIELDS_EXTRA)
		filter_key_extra(ctx, k, p);
	if (c->fields & FIELD_BIT(FIELD_CT_STATE))
		state_read(p, k, f, q);
	if (c->fields & FIELDS_READ) {
		__builtin_memcpy(k->raw, c->raw, sizeof(k->raw));
		field_read(ctx, p, k, c->fields);
		if (c->fields & FIELDS_RAW & ~FIELDS_MARKED)
			field_raws(ctx, p, k, c->fields);
	}
	k->lone = 0;
	if (is_lone(c->fields & FIELDS_EXTRA)) {
		if (c->fields & FIELDS_SET)
			set_answer(k, c->lookups, c->fields);
		k->lone = filter_row(k, ctz64(c->fields & FIELDS_EXTRA));
		return;
	}
	if (c->fields & FIELDS_SET)
		filter_sets(k, c->lookups, c->fields);
	if (c->fields & FIELDS_EXTRA)
		filter_rows(k, c->fields & FIELDS_EXTRA);
}

/* 0 and k->found, -1 when a table is missing; 1 when the chain's memory is of another size. No functions of their own: a call takes as long as half of what ten
 * rules take, and some stack, of which programs at tc have none left. Every packet gets an answer: the policy where no rule matches. */
static __always_inline int classify_by(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, struct flow *f, struct quote *q, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	long n;

	if (!c)
		return 1;
	k->size = size;
	if (asks(c, ~FIELDS_CORE))
		filter_further(ctx, p, k, c, f, q);
	core_rows(k, c, size);
	walk_begin(&k->walk, c->summary, c->words);
	for (int i = 0; i < QUICK_STEPS && size != FILTER_LARGE; i++)	/* whose walk takes a multiple of a call anyway; the stack is short */
		if (walk_step(k, c, &k->walk, size))
			goto done;
	n = size == FILTER_SMALL ? bpf_loop(MAX_STEPS, walk_small, &k, 0) : size == FILTER_MEDIUM ? bpf_loop(MAX_STEPS, walk_medium, &k, 0) :
	    bpf_loop(MAX_STEPS, walk_large, &k, 0);
	if (n >= MAX_STEPS)
		return -1;
done:
	if (!k->found)
		k->found = c->policy;
	return 0;
}

/* First match of k->chain. */
static __always_inline int classify(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, struct flow *f, struct quote *q)
{
	int none = classify_by(ctx, p, k, f, q, FILTER_SMALL);

	if (none > 0)
		none = classify_by(ctx, p, k, f, q, FILTER_MEDIUM);
	if (none > 0)
		none = classify_by(ctx, p, k, f, q, FILTER_LARGE);
	return none;
}

/* `f`: the flow of the packet, or NULL; `q`: of an ICMP error. NEXT: accepted, p->rule and p->cacheable say by what and for
 * how long. */
static __always_inline enum verdict stage_filter(PARSE_CONTEXT *ctx, struct pkt *p, __u64 active, __u32 chain, struct flow *f, struct quote *q)
{
	struct filter_key *k;

	if (!has(FEATURE_FILTER) || !active_generation(active)) {
		p->cacheable = 1;
		return NEXT;
	}
	k = bpf_map_lookup_elem(&filter_scratch, &first_element);
	if (!k)
		return drop(p, DROP_INTERNAL);
	k->chain = active_slot(active) << 1 | chain;
	k->present = 0;
	KEY_PAIR(k, packets, bytes) = p->packets | (__u64)(p->ip_bytes ? p->ip_bytes : p->len) << 32;
	KEY_PAIR(k, position, from) = ~0u;
	KEY_PAIR(k, found, cacheable) = 1ull << 32;
	k->noted = 0;
	filter_key_core(k, p);
	if (classify(ctx, p, k, f, q))
		return drop(p, DROP_INTERNAL);
	p->rule = k->found & RULE_ID_MASK;
	p->cacheable = k->cacheable && !(k->found & RULE_VARIANT_BIT);
	rule_count(p->rule, p);
	if (says(k->noted, ~0u) || says(k->found, RULE_LOG_BIT)) {
		p->marked = k->marked;
		if (k->n_logs || k->found & RULE_LOG_BIT)
			log_rules(ctx, p, k);
	}
	if (!(k->found & RULE_DROP_BIT))
		return NEXT;
	if (says(k->found, RULE_REJECT_MOST << RULE_REJECT_SHIFT))
		p->reject = k->found >> RULE_REJECT_SHIFT & RULE_REJECT_MOST;
	return drop(p, p->rule < RULE_FIRST ? DROP_POLICY : p->reject ? DROP_REJECT : DROP_RULE);
}
