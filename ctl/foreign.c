/* SPDX-License-Identifier: GPL-2.0-only */
/* foreign: the words of nft that weir does not have, or not yet, so that a pasted rule gets a precise answer and where there is
 * one the way to say it here. */
#include "parse.h"

static const struct word {
	const char *name, *instead;
	bool pair;			/* its name is two words: "ct state" */
} words[] = {
	{ "continue", "leave it out", false },
	{ "queue", "", false }, { "mark", "write meta mark", false }, { "dnat", "write a service", false }, { "snat", "", false },
	{ "masquerade", "", false }, { "redirect", "", false }, { "dup", "", false }, { "fwd", "", false },
	{ "notrack", "", false }, { "quota", "", false }, { "tproxy", "", false }, { "synproxy", "", false },
	{ "fib", "", true }, { "rt", "", true },
	{ "socket", "", true }, { "numgen", "", true }, { "jhash", "", false }, { "symhash", "", false },
	{ "ah", "", true }, { "esp", "", true }, { "comp", "", true }, { "udplite", "", true },
	{ "dccp", "", true }, { "igmp", "", true }, { "arp", "write ether type arp", true }, { "ipsec", "", true },
	{ "osf", "", true }, { "pkttype", "", false }, { "cgroup", "", false }, { "skuid", "", false }, { "skgid", "", false },
	{ "iif", "write iifname", false }, { "oif", "write oifname", false }, { "iifgroup", "", false },
	{ "oifgroup", "", false }, { "cpu", "", false }, { "time", "", false }, { "hour", "", false }, { "day", "", false },
	{ "l4proto", "write meta l4proto", false }, { "protocol", "write meta protocol", false },
	{ "nfproto", "write meta nfproto", false }, { "length", "write meta length", false }, { "priority", "", false },
	{ "table", "write chain ingress or chain egress: there are no tables", false },
	{ "hook", "a chain is bound by its name", false }, { "device", "a chain is bound by its name", false },
	{ "define", "write the value where it is used", false }, { "include", "write everything into one file", false },
	{ "undefine", "", false }, { "add", "write the configuration as it shall be", false },
	{ "create", "write the configuration as it shall be", false },
	{ "insert", "write the configuration as it shall be", false },
	{ "replace", "write the configuration as it shall be", false },
	{ "delete", "write the configuration as it shall be", false },
	{ "flush", "write the configuration as it shall be", false },
	{ "destroy", "write the configuration as it shall be", false },
	{ "list", "", false }, { "rule", "write rules into a chain", false }, { "vmap", "", false },
	{ "flowtable", "", false }, { "flow", "", false }, { "meter", "", false }, { "secmark", "", false },
	{ "typeof", "write type and the type's name", false }, { "gc-interval", "leave it out: what is over gives way at once", false },
	{ "auto-merge", "leave it out: elements are always merged", false },
	{ "level", "weirctl log follow shows the packets", false }, { "group", "weirctl log follow shows the packets", false },
	{ "snaplen", "a record has the first 128 bytes", false }, { "queue-threshold", "", false },
	{ "syncookie", "", false }, { "match", "", false }, { 0 }
};

static const struct {
	const char *head, *field, *instead;
} fields[] = {
	{ "meta", "iif", "write iifname" }, { "meta", "oif", "write oifname" }, { "ip", "version", "" }, { "ip", "checksum", "" },
	{ "ip6", "version", "" }, { "tcp", "checksum", "" }, { "tcp", "reserved", "" }, { "udp", "checksum", "" },
	{ "sctp", "checksum", "" }, { "sctp", "chunk", "" }, { "icmp", "id", "" }, { "icmp", "sequence", "" },
	{ "icmp", "checksum", "" }, { "icmp", "mtu", "" }, { "icmp", "gateway", "" }, { "icmpv6", "id", "" },
	{ "icmpv6", "sequence", "" }, { "icmpv6", "checksum", "" }, { "icmpv6", "mtu", "" },
	{ "icmpv6", "parameter-problem", "" }, { "icmpv6", "max-delay", "" }, { "icmpv6", "taddr", "" },
	{ "icmpv6", "daddr", "" }, { "vlan", "dei", "" }, { "vlan", "cfi", "" }, { "vlan", "type", "" },
	{ "meta", "priority", "" }, { "meta", "cpu", "" }, { "meta", "pkttype", "" }, { "meta", "skuid", "" },
	{ "meta", "skgid", "" }, { "meta", "cgroup", "" }, { "meta", "iifgroup", "" }, { "meta", "oifgroup", "" },
	{ "meta", "iiftype", "" }, { "meta", "oiftype", "" }, { "meta", "rtclassid", "" }, { "meta", "secpath", "" },
	{ "meta", "time", "" }, { "meta", "day", "" }, { "meta", "hour", "" }, { "meta", "ibrname", "" },
	{ "meta", "obrname", "" }, { "meta", "nftrace", "" }, { "meta", "set", "" }, { "ct", "mark", "" }, { "ct", "status", "" }, { "ct", "direction", "" }, { "ct", "zone", "" },
	{ "ct", "helper", "" }, { "ct", "count", "" }, { "ct", "label", "" }, { "ct", "set", "" }, { 0 }
};

const char *foreign_word(struct slice word, bool *pair)
{
	for (const struct word *w = words; w->name; w++) {
		if (!slice_is(word, w->name))
			continue;
		*pair = w->pair;
		return w->instead;
	}
	return NULL;
}

const char *foreign_field(struct slice head, struct slice field)
{
	for (int i = 0; fields[i].head; i++)
		if (slice_is(head, fields[i].head) && slice_is(field, fields[i].field))
			return fields[i].instead;
	return NULL;
}
