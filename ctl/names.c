/* SPDX-License-Identifier: GPL-2.0-only */
/* names: tables of nft's symbols. The first name of a value is canonical. Codes and ports are printed as numbers: what a code
 * means depends on the type, what a port is called depends on the machine. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "../maps/rule.h"
#include "names.h"

struct symbol {
	const char *name;
	uint16_t value;
};

static const struct symbol protocols[] = {
	{ "icmp", 1 }, { "igmp", 2 }, { "ipencap", 4 }, { "tcp", 6 }, { "udp", 17 }, { "dccp", 33 }, { "ipv6", 41 },
	{ "ipv6-route", 43 }, { "ipv6-frag", 44 }, { "gre", 47 }, { "esp", 50 }, { "ah", 51 }, { "icmpv6", 58 },
	{ "ipv6-icmp", 58 }, { "ipv6-nonxt", 59 }, { "ipv6-opts", 60 }, { "eigrp", 88 }, { "ospf", 89 }, { "pim", 103 },
	{ "ipcomp", 108 }, { "comp", 108 }, { "vrrp", 112 }, { "l2tp", 115 }, { "sctp", 132 }, { "udplite", 136 }, { 0 }
};

static const struct symbol icmp_types[] = {
	{ "echo-reply", 0 }, { "destination-unreachable", 3 }, { "source-quench", 4 }, { "redirect", 5 },
	{ "echo-request", 8 }, { "router-advertisement", 9 }, { "router-solicitation", 10 }, { "time-exceeded", 11 },
	{ "parameter-problem", 12 }, { "timestamp-request", 13 }, { "timestamp-reply", 14 }, { "info-request", 15 },
	{ "info-reply", 16 }, { "address-mask-request", 17 }, { "address-mask-reply", 18 }, { 0 }
};

static const struct symbol icmpv6_types[] = {
	{ "destination-unreachable", 1 }, { "packet-too-big", 2 }, { "time-exceeded", 3 }, { "parameter-problem", 4 },
	{ "echo-request", 128 }, { "echo-reply", 129 }, { "mld-listener-query", 130 }, { "mld-listener-report", 131 },
	{ "mld-listener-done", 132 }, { "mld-listener-reduction", 132 }, { "nd-router-solicit", 133 },
	{ "nd-router-advert", 134 }, { "nd-neighbor-solicit", 135 }, { "nd-neighbor-advert", 136 }, { "nd-redirect", 137 },
	{ "router-renumbering", 138 }, { "ind-neighbor-solicit", 141 }, { "ind-neighbor-advert", 142 },
	{ "mld2-listener-report", 143 }, { 0 }
};

static const struct symbol icmp_codes[] = {
	{ "net-unreachable", 0 }, { "host-unreachable", 1 }, { "prot-unreachable", 2 }, { "port-unreachable", 3 },
	{ "frag-needed", 4 }, { "net-prohibited", 9 }, { "host-prohibited", 10 }, { "admin-prohibited", 13 }, { 0 }
};

static const struct symbol icmpv6_codes[] = {
	{ "no-route", 0 }, { "admin-prohibited", 1 }, { "addr-unreachable", 3 }, { "port-unreachable", 4 },
	{ "policy-fail", 5 }, { "reject-route", 6 }, { 0 }
};

static const struct symbol tcp_flags[] = {
	{ "fin", 1 }, { "syn", 2 }, { "rst", 4 }, { "psh", 8 }, { "ack", 16 }, { "urg", 32 }, { "ecn", 64 }, { "cwr", 128 }, { 0 }
};

static const struct symbol ether_types[] = {
	{ "ip", 0x0800 }, { "arp", 0x0806 }, { "ip6", 0x86dd }, { "8021q", 0x8100 }, { "vlan", 0x8100 }, { "8021ad", 0x88a8 }, { 0 }
};

static const struct symbol dscps[] = {
	{ "cs0", 0 }, { "cs1", 8 }, { "cs2", 16 }, { "cs3", 24 }, { "cs4", 32 }, { "cs5", 40 }, { "cs6", 48 }, { "cs7", 56 }, { "df", 0 },
	{ "be", 0 }, { "lephb", 1 }, { "af11", 10 }, { "af12", 12 }, { "af13", 14 }, { "af21", 18 }, { "af22", 20 }, { "af23", 22 },
	{ "af31", 26 }, { "af32", 28 }, { "af33", 30 }, { "af41", 34 }, { "af42", 36 }, { "af43", 38 }, { "va", 44 }, { "ef", 46 }, { 0 }
};

static const struct symbol ecns[] = { { "not-ect", 0 }, { "ect1", 1 }, { "ect0", 2 }, { "ce", 3 }, { 0 } };
static const struct symbol presences[] = { { "exists", 1 }, { "missing", 0 }, { 0 } };
static const struct symbol ct_states[] = {
	{ "established", CT_ESTABLISHED }, { "related", CT_RELATED }, { "new", CT_NEW }, { "invalid", CT_INVALID }, { "untracked", CT_UNTRACKED }, { 0 }
};

static const struct symbol nf_protos[] = { { "ipv4", 4 }, { "ipv6", 6 }, { 0 } };	/* our numbers: only names are taken */

static const struct {
	const struct symbol *symbols;
	bool input_only;
} tables[TYPE_COUNT] = {
	[TYPE_INET_PROTO] = { protocols, false },
	[TYPE_ICMP_TYPE] = { icmp_types, false },
	[TYPE_ICMP_CODE] = { icmp_codes, true },
	[TYPE_ICMPV6_TYPE] = { icmpv6_types, false },
	[TYPE_ICMPV6_CODE] = { icmpv6_codes, true },
	[TYPE_TCP_FLAG] = { tcp_flags, false },
	[TYPE_ETHER_TYPE] = { ether_types, false },
	[TYPE_DSCP] = { dscps, false },
	[TYPE_ECN] = { ecns, false },
	[TYPE_CT_STATE] = { ct_states, false },
	[TYPE_PRESENCE] = { presences, false },
	[TYPE_NF_PROTO] = { nf_protos, false },
};

const char *name_of(enum config_type type, u128 v)
{
	if (tables[type].input_only)
		return NULL;
	for (const struct symbol *t = tables[type].symbols; t && t->name; t++)
		if (t->value == v)
			return t->name;
	return NULL;
}

/* /etc/services read once: a lookup per rule would read the file each time. */
static struct port { char name[32]; int port; } *ports;
static int n_ports;

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void ports_load(void)
{
	static bool loaded;
	struct servent *e;

	if (loaded)
		return;
	loaded = true;
	setservent(1);
	while ((e = getservent())) {
		if (strlen(e->s_name) >= sizeof(ports->name))
			continue;
		ports = array_room(ports, n_ports, sizeof(*ports));
		strcpy(ports[n_ports].name, e->s_name);
		ports[n_ports++].port = ntohs(e->s_port);
	}
	endservent();
	if (n_ports)
		qsort(ports, n_ports, sizeof(*ports), by_name);
}

/* A name means the same port for tcp, udp and sctp, as it does in nft. */
static int port_find(const char *name)
{
	struct port *p;

	ports_load();
	p = n_ports ? bsearch(name, ports, n_ports, sizeof(*ports), by_name) : NULL;
	return p ? p->port : -1;
}

int name_find(enum config_type type, const char *s, int n)
{
	struct protoent *e;
	char name[32];

	if (n <= 0 || n >= (int)sizeof(name))
		return -1;
	memcpy(name, s, n);
	name[n] = 0;
	for (const struct symbol *t = tables[type].symbols; t && t->name; t++)
		if (!strcmp(t->name, name))
			return t->value;
	if (name[0] >= '0' && name[0] <= '9')
		return -1;
	if (type == TYPE_INET_SERVICE)
		return port_find(name);
	if (type == TYPE_INET_PROTO && (e = getprotobyname(name)))
		return e->p_proto;
	return -1;
}
