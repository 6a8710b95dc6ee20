/* SPDX-License-Identifier: GPL-2.0 */
/* filter: which rule of a chain is the first that matches. classify() runs for packets without a cached decision: the first of a flow,
 * the first after a change of the configuration, and all that a rule looking at more than the flow might concern. maps/rule.h has the tables. */
#pragma once
#include "../maps/rule.h"
#include "program.h"
#include "account.h"
#include "ask.h"
#include "field.h"
#include "log.h"
#include "row.h"
#include "rule.h"
#include "set.h"
#include "state.h"
#include "walk.h"

#define QUICK_STEPS 8		/* through the candidates before a loop takes over that costs more a step, and may be long */
#define MAX_STEPS (FILTER_MAX_UNITS * 2 + 1024)

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

/* What rules count of a packet. */
static __always_inline __u32 filter_bytes(const struct pkt *p)
{
	return p->ip_bytes ? p->ip_bytes : p->len;
}

static __always_inline __u64 mac_value(const __u8 *m)
{
	return (__u64)m[0] << 40 | (__u64)m[1] << 32 | (__u64)m[2] << 24 | (__u64)m[3] << 16 | (__u64)m[4] << 8 | m[5];
}

_Static_assert(TERM_LIST_SADDR4 % 2 == 0 && TERM_SET_SADDR6 % 2 == 0, "what asks the destination is odd");

#define FIELDS_LAYER4 (FIELD_BIT(FIELD_TCP_FLAGS) | FIELD_BIT(FIELD_ICMP_TYPE) | FIELD_BIT(FIELD_ICMP_CODE))
#define FIELDS_MAC (FIELD_BIT(FIELD_ETHER_DADDR) | FIELD_BIT(FIELD_ETHER_SADDR))
#define FIELDS_LINK (FIELD_BIT(FIELD_IFNAME) | FIELD_BIT(FIELD_VLAN_ID) | FIELD_BIT(FIELD_ETHER_TYPE))
#define FIELDS_PARSED (FIELDS_LAYER4 | FIELDS_MAC | FIELDS_LINK)

/* What few chains look at; `fields`: those that this one does. */
static __always_inline void filter_key_extra(PARSE_CONTEXT *ctx, struct filter_key *k, const struct pkt *p, __u64 fields)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (fields & FIELDS_LINK) {
		filter_set(k, FIELD_IFNAME, program.name[0], program.name[1]);
		if (p->vlans)
			filter_set(k, FIELD_VLAN_ID, 0, p->vlan_id);
		filter_set(k, FIELD_ETHER_TYPE, 0, bpf_ntohs(p->ether_type));
	}
	if (fields & FIELDS_MAC && data + 12 <= end) {
		filter_set(k, FIELD_ETHER_DADDR, 0, mac_value(data));
		filter_set(k, FIELD_ETHER_SADDR, 0, mac_value(data + 6));
	}
	if (!(fields & FIELDS_LAYER4))
		return;
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
static __always_inline void filter_further(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, const struct filter_chain *c, struct flow *f)
{
	k->lone = 0;
	if ((c->fields | c->keys) & FIELDS_PARSED)
		filter_key_extra(ctx, k, p, c->fields | c->keys);
	if (c->fields & FIELD_BIT(FIELD_CT_STATE) && p->family) {
		filter_set(k, FIELD_CT_STATE, 0, filter_state(p, f));
		k->cacheable &= p->state == CT_ESTABLISHED;
	}
	if (c->fields & FIELDS_READ) {
		__builtin_memcpy(k->raw, c->raw, sizeof(k->raw));
		field_read(ctx, p, k, c->fields);
		if (c->fields & FIELDS_RAW & ~FIELDS_MARKED)
			field_raws(ctx, p, k, c->fields);
	}
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
static __always_inline int classify_by(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, struct flow *f, __u32 size)
{
	const struct filter_chain *c = filter_memory(k->chain, size);
	long n;

	if (!c)
		return 1;
	if (!FULL && c->scans & FILTER_FULL)
		return -1;	/* ctl has seen to it that there is no such chain in force here */
	k->size = size;
	if (asks(c, ~FIELDS_CORE))
		filter_further(ctx, p, k, c, f);
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
static __always_inline int classify(PARSE_CONTEXT *ctx, struct pkt *p, struct filter_key *k, struct flow *f)
{
	int none = classify_by(ctx, p, k, f, FILTER_SMALL);

	if (none > 0)
		none = classify_by(ctx, p, k, f, FILTER_MEDIUM);
	if (none > 0)
		none = classify_by(ctx, p, k, f, FILTER_LARGE);
	return none;
}

static __always_inline __u64 filter_numbers(const struct pkt *p)
{
	return p->flags & PKT_PORTS ? scan_numbers(bpf_ntohs(p->sport), bpf_ntohs(p->dport), p->proto) : scan_numbers(SCAN_ANY, SCAN_ANY, p->proto);
}

/* ---- what records ask beside them */

/* Is the packet's address in the set of the term: SET_YES, SET_NO. SET_ELSEWHERE, SET_LENGTHWISE: the key is made, and the table is to be asked as any, or as one of IPv6 addresses. SET_END: the
 * packet is of the other family. A function that calls none, since there is no more stack. */
__noinline int filter_listed(const struct pkt *p, const struct filter_term *t)
{
	const union ip_addr *address;
	const volatile __u64 *at;
	struct filter_key *k;
	__u32 slot, four;
	__u64 word;
	int answer;

	if (!p || !t)
		return SET_NO;
	four = t->kind <= TERM_SET_DADDR4;
	if (p->family != (four ? 4 : 6))
		return SET_END;
	address = t->kind & 1 ? &p->daddr : &p->saddr;
	slot = t->slot;
	at = set_place(&slot);
	answer = four ? set4_ask(bpf_ntohl(address->v4), at) : SET_END;
	if (answer != SET_END)
		return answer;
	k = bpf_map_lookup_elem(&filter_scratch, &first_element);
	word = at ? *at : 0;
	if (!k || !word)
		return SET_NO;
	k->query.word = word;
	k->query.key[0] = four ? (__u64)bpf_ntohl(address->v4) << 32 : bpf_be64_to_cpu(address->w[0]);
	k->query.key[1] = four ? 0 : bpf_be64_to_cpu(address->w[1]);
	k->query.key[2] = k->query.key[3] = k->query.key[4] = 0;
	k->query.now = set_tick(bpf_jiffies64());
	return SET_SLOT_KIND(word) == SET_ADDRESS6 ? SET_LENGTHWISE : SET_ELSEWHERE;
}

/* 1, 0; -1: only the tables can tell. */
static __always_inline int filter_term_set(const struct pkt *p, const struct filter_term *t)
{
	int answer = filter_listed(p, t);
	struct filter_key *k;

	if (answer > SET_YES && answer < SET_END) {
		k = bpf_map_lookup_elem(&filter_scratch, &first_element);
		if (!k)
			return -1;
		answer = answer == SET_ELSEWHERE ? set_do(k, SET_DO_PROBE, 0) : set_do(k, SET_DO_SIX, 0);
		if (answer > SET_YES)
			return -1;
	}
	return answer == (int)t->v[0];
}

/* p->state has been found. Of packets of another state than established the next may be answered otherwise. */
static __always_inline int term_state(struct pkt *p, const struct filter_term *t)
{
	if (p->state != CT_ESTABLISHED)
		p->cacheable = 0;
	return term_has(t, p->state);
}

/* Of any term: 1, 0; -1: only the tables can tell. */
static __always_inline int filter_term(struct pkt *p, const struct filter_term *t)
{
	switch (t->kind) {
	case TERM_STATE:
		return term_state(p, t);
	case TERM_TCP_FLAGS:
		return p->flags & PKT_PORTS && p->proto == IP_TCP && term_has(t, p->tcp_flags);
	case TERM_ICMP_TYPE:
		return p->flags & PKT_ICMP && term_has(t, p->icmp_type);
	case TERM_ICMP_CODE:
		return p->flags & PKT_ICMP && term_has(t, p->icmp_code);
	case TERM_VLAN_ID:
		return p->vlans && p->vlan_id >= t->v[0] && p->vlan_id <= t->v[1];
	case TERM_IFNAME:
		return program.name[0] == t->v[0] && program.name[1] == t->v[1];
	default:
		return filter_term_set(p, t);
	}
}

/* Does the rule's limit let the packet through? */
__noinline int filter_ask_limit(const struct pkt *p, const struct filter_ask *q)
{
	struct filter_key *k = bpf_map_lookup_elem(&filter_scratch, &first_element);

	if (!p || !q || !k)
		return 0;
	KEY_PAIR(k, packets, bytes) = p->packets | (__u64)filter_bytes(p) << 32;
	filter_key_core(k, p);
	return limit_holds(k, &q->limit);
}

/* A function of its own: once for the verifier, and few of the records of a chain come to it. */
__noinline int filter_ask(struct pkt *p, const struct filter_ask *q)
{
	if (!p || !q)
		return 0;
	ROLLED
	for (__u64 i = 0; i < FILTER_TERMS && i < q->n; i++) {
		int holds = filter_term(p, &q->term[i]);

		if (holds < 0)
			return 0;
		if (holds)
			continue;
		if (q->term[i].varies)
			p->cacheable = 0;
		return RULE_CONTINUE_BIT;
	}
	if (!q->limited)
		return q->entry;
	p->cacheable = 0;
	if (has(FEATURE_MUTE))	/* the tables are asked too, and take from the bucket */
		return 0;
	return filter_ask_limit(p, q) ? q->entry : RULE_CONTINUE_BIT;
}

struct asker {
	struct pkt *p;
};

/* Of a rule that asks for one list of IPv4 addresses and nothing else. */
__noinline int filter_ask_list4(const struct pkt *p, const struct filter_ask *q)
{
	__u32 slot;
	int answer;

	if (!p || !q)
		return 0;
	slot = q->term[0].slot;
	answer = set4_ask(bpf_ntohl(q->term[0].kind & 1 ? p->daddr.v4 : p->saddr.v4), set_place(&slot));
	return answer == SET_END ? 0 : answer == (int)q->term[0].v[0] ? q->entry : RULE_CONTINUE_BIT;
}

/* The most frequent questions with fewer calls. */
static __always_inline __u32 asker_entry(const struct asker *a, const struct filter_ask *q)
{
	if (!FULL)
		return 0;
	if (q->n == 1 && !q->limited && q->term[0].kind == TERM_STATE)
		return term_state(a->p, &q->term[0]) ? q->entry : RULE_CONTINUE_BIT;
	if (q->n == 1 && !q->limited && (q->term[0].kind | 1) == TERM_LIST_DADDR4 && a->p->family == 4)
		return filter_ask_list4(a->p, q);
	return filter_ask(a->p, q);
}

static __always_inline __u64 filter_addresses(const struct pkt *p)
{
	return (__u64)bpf_ntohl(p->saddr.v4) << 32 | bpf_ntohl(p->daddr.v4);
}

/* Apart, since it is long, and what it looks at takes many calls' time anyway. */
__noinline int filter_tree_large(const struct pkt *p, __u32 chain)
{
	const struct filter_chain *c = filter_memory(chain, FILTER_LARGE);

	return p && c && c->scans & FILTER_PLAIN4 ? scan_tree4(c, filter_addresses(p), filter_numbers(p), FILTER_LARGE) : 0;
}

/* Functions of their own for the verifier, and for the stack, of which programs at tc have none left. */
#define FILTER_TREE(name, family, size, walk) \
__noinline int name(struct pkt *p, struct flow *f, __u32 chain) \
{ \
	const struct filter_chain *c = filter_memory(chain, size); \
	const struct asker a = { p }; \
	__u32 entry; \
 \
	asm volatile("" : "+r"(f));	/* else, where nothing asks for it, callers pass what they please */ \
	if (!p || !c || !(c->scans & FILTER_TREE##family)) \
		return 0; \
	if (asks(c, FIELD_BIT(FIELD_CT_STATE))) \
		filter_state(p, f); \
	entry = walk; \
	if (says(entry, RULE_VARIANT_BIT)) \
		p->cacheable = 0; \
	return entry; \
}

FILTER_TREE(filter_tree4_small, 4, FILTER_SMALL, ask_tree4(c, filter_addresses(p), filter_numbers(p), &a, FILTER_SMALL))
FILTER_TREE(filter_tree4_medium, 4, FILTER_MEDIUM, ask_tree4(c, filter_addresses(p), filter_numbers(p), &a, FILTER_MEDIUM))
FILTER_TREE(filter_tree6_small, 6, FILTER_SMALL, ask_tree6(c, p->saddr.w, filter_numbers(p), &a, FILTER_SMALL))
FILTER_TREE(filter_tree6_medium, 6, FILTER_MEDIUM, ask_tree6(c, p->saddr.w, filter_numbers(p), &a, FILTER_MEDIUM))

/* Is the packet one that the trees of a changed chain cannot tell of? */
__noinline int filter_changed(const struct pkt *p, __u32 chain)
{
	const struct filter_chain *c = filter_memory(chain, FILTER_SMALL);

	if (!p)
		return 1;
	if (c)
		return p->family == 4 ? scan_changed4(c, filter_addresses(p), filter_numbers(p), FILTER_SMALL) : scan_changed6(c, p->saddr.w, filter_numbers(p), FILTER_SMALL);
	c = filter_memory(chain, FILTER_MEDIUM);
	if (!c)
		return 1;
	return p->family == 4 ? scan_changed4(c, filter_addresses(p), filter_numbers(p), FILTER_MEDIUM) : scan_changed6(c, p->saddr.w, filter_numbers(p), FILTER_MEDIUM);
}

/* The entry that a chain's records have for the packet, without tables and notes; p->cacheable is 0 if it need not hold for the flow. 0: only the tables can tell. */
static __always_inline __u32 filter_scan(struct pkt *p, struct flow *f, __u32 chain)
{
	const struct filter_chain *c = filter_memory(chain, FILTER_SMALL);

	if (c) {
		if (c->scans & FILTER_CHANGED && filter_changed(p, chain))
			return 0;
		if (p->family == 4 && c->scans & FILTER_PLAIN4)
			return scan_leaf4(c, filter_addresses(p), filter_numbers(p));
		if (p->family == 6 && c->scans & FILTER_PLAIN6)
			return scan_leaf6(c, p->saddr.w, filter_numbers(p));
		if (p->family == 4 && c->scans & FILTER_TREE4 && FULL)
			return filter_tree4_small(p, f, chain);
		return p->family == 6 && c->scans & FILTER_TREE6 ? filter_tree6_small(p, f, chain) : 0;
	}
	c = filter_memory(chain, FILTER_MEDIUM);
	if (c) {
		if (c->scans & FILTER_CHANGED && filter_changed(p, chain))
			return 0;
		if (p->family == 4 && c->scans & FILTER_PLAIN4)
			return scan_tree4(c, filter_addresses(p), filter_numbers(p), FILTER_MEDIUM);
		if (p->family == 4 && c->scans & FILTER_TREE4 && FULL)
			return filter_tree4_medium(p, f, chain);
		return p->family == 6 && c->scans & FILTER_TREE6 ? filter_tree6_medium(p, f, chain) : 0;
	}
	return p->family == 4 ? filter_tree_large(p, chain) : 0;
}

/* What rule `entry` says of the packet. */
static __always_inline enum verdict filter_decided(struct pkt *p, __u32 entry)
{
	p->rule = entry & RULE_ID_MASK;
	rule_count(p->rule, p);
	if (!(entry & RULE_DROP_BIT))
		return NEXT;
	if (says(entry, RULE_REJECT_MOST << RULE_REJECT_SHIFT))
		p->reject = entry >> RULE_REJECT_SHIFT & RULE_REJECT_MOST;
	return drop(p, p->rule < RULE_FIRST ? DROP_POLICY : p->reject ? DROP_REJECT : DROP_RULE);
}

/* `f`: the flow of the packet, or NULL. NEXT: accepted, p->rule and p->cacheable say by what and for
 * how long. */
static __always_inline enum verdict stage_filter(PARSE_CONTEXT *ctx, struct pkt *p, __u64 active, __u32 chain, struct flow *f)
{
	struct filter_key *k;
	__u32 entry;

	p->cacheable = 1;
	if (!has(FEATURE_FILTER) || !active_generation(active))
		return NEXT;
	entry = filter_scan(p, f, active_slot(active) << 1 | chain);
	if (entry && !has(FEATURE_MUTE))	/* else the notes are wanted, for `rule test` */
		return filter_decided(p, entry);
	k = bpf_map_lookup_elem(&filter_scratch, &first_element);
	if (!k)
		return drop(p, DROP_INTERNAL);
	k->chain = active_slot(active) << 1 | chain;
	k->scanned = entry;
	k->present = 0;
	KEY_PAIR(k, packets, bytes) = p->packets | (__u64)filter_bytes(p) << 32;
	KEY_PAIR(k, position, from) = ~0u;
	KEY_PAIR(k, found, cacheable) = 1ull << 32;
	k->noted = 0;
	filter_key_core(k, p);
	if (classify(ctx, p, k, f))
		return drop(p, DROP_INTERNAL);
	if (has(FEATURE_MUTE) && k->scanned)
		k->found = k->scanned;
	p->cacheable = k->cacheable && !(k->found & RULE_VARIANT_BIT);
	if (says(k->noted, ~0u) || says(k->found, RULE_LOG_BIT)) {
		p->marked = k->marked;
		if (k->n_logs || k->found & RULE_LOG_BIT)
			log_rules(ctx, p, k);
	}
	return filter_decided(p, k->found);
}
