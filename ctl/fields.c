/* SPDX-License-Identifier: GPL-2.0-only */
/* fields: the headers of xdp/ in user space: a context is where the bytes are. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>
#include "fields.h"
#include "lookup.h"

#include "wire.h"

#define bpf_get_prandom_u32() ((__u32)random())

static inline void beside(struct frame_context *ctx, struct beside *b)
{
	(void)ctx, (void)b;
}

#pragma GCC diagnostic ignored "-Wsign-compare"	/* sizes beside small numbers: clang does not mind */
#include "../xdp/field.h"

static void set(struct field_values *v, enum filter_field f, uint64_t hi, uint64_t lo)
{
	v->hi[f] = hi;
	v->lo[f] = lo;
	v->present |= FIELD_BIT(f);
}

static void set_number(struct field_values *v, enum filter_field f, uint64_t value)
{
	set(v, f, 0, value);
}

/* Bytes as a big-endian number: 6 of a MAC, 8 of half an address. */
static uint64_t big_endian(const void *bytes, int n)
{
	const uint8_t *b = bytes;
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *b++;
	return v;
}

static void set_wide(struct field_values *v, enum filter_field f, const void *bytes)
{
	set(v, f, big_endian(bytes, 8), big_endian((const char *)bytes + 8, 8));
}

static void set_ip(struct field_values *v, const struct pkt *p)
{
	set_number(v, FIELD_FAMILY, p->family);
	set_number(v, FIELD_L4PROTO, p->proto);
	if (p->family == 4) {
		set_number(v, FIELD_SADDR4, ntohl(p->saddr.v4));
		set_number(v, FIELD_DADDR4, ntohl(p->daddr.v4));
	} else {
		set_wide(v, FIELD_SADDR6, &p->saddr);
		set_wide(v, FIELD_DADDR6, &p->daddr);
	}
	if (p->flags & PKT_PORTS) {
		set_number(v, FIELD_SPORT, ntohs(p->sport));
		set_number(v, FIELD_DPORT, ntohs(p->dport));
		if (p->proto == IP_TCP)
			set_number(v, FIELD_TCP_FLAGS, p->tcp_flags);
	}
	if (p->flags & PKT_ICMP) {
		set_number(v, FIELD_ICMP_TYPE, p->icmp_type);
		set_number(v, FIELD_ICMP_CODE, p->icmp_code);
	}
}

static void set_link(struct field_values *v, const struct pkt *p, const uint8_t *frame, const struct beside_frame *with)
{
	char name[16] = "";

	set_number(v, FIELD_ETHER_DADDR, big_endian(frame, 6));
	set_number(v, FIELD_ETHER_SADDR, big_endian(frame + 6, 6));
	set_number(v, FIELD_ETHER_TYPE, ntohs(p->ether_type));
	if (p->vlans)
		set_number(v, FIELD_VLAN_ID, p->vlan_id);
	if (!with->interface)
		return;
	memcpy(name, with->interface, strnlen(with->interface, sizeof(name)));
	set_wide(v, FIELD_IFNAME, name);
}

/* Those that the datapath reads where a rule asks: all of them. */
static void set_read(struct field_values *v, struct pkt *p, struct frame_context *ctx, const struct raws *raws)
{
	uint64_t fields = FIELDS_READ & ~(~0ull << FIELD_RAW0);
	struct filter_key k = {};

	for (int i = 0; i < raws->n; i++) {
		k.raw[i] = (struct filter_raw){ raws->v[i].base, raws->v[i].length, raws->v[i].offset };
		fields |= FIELD_BIT(FIELD_RAW0 + i);
	}
	field_read(ctx, p, &k, fields);
	field_raws(ctx, p, &k, fields);
	for (int f = FIELD_L3_TYPE; f < FIELD_COUNT; f++)
		if (k.present & FIELD_BIT(f))
			set(v, f, k.hi[f], k.lo[f]);
}

void fields_read(struct seen *out, const struct config *c, const void *frame, size_t n, const struct beside_frame *with)
{
	struct quote quote = {};
	struct raws raws;
	void *block;
	struct frame_context ctx = wire_frame(&block, frame, n);

	memset(out, 0, sizeof(*out));
	out->pkt = (struct pkt){ .len = n, .frame_len = n, .packets = 1 };
	out->malformed = parse(&ctx, &out->pkt, &quote);
	if (!out->malformed) {
		if (out->pkt.family)
			set_ip(&out->values, &out->pkt);
		set_link(&out->values, &out->pkt, frame, with);
		raws_of(&raws, c);
		set_read(&out->values, &out->pkt, &ctx, &raws);
		lookups_answer(&out->values, &raws);
	}
	free(block);
}
