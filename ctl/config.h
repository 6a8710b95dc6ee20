/* SPDX-License-Identifier: GPL-2.0-only */
/* config: the model of one whole configuration, as the text says it. parse.c (grammar.y, lexer.l) makes it from text, print.c
 * writes it back in canonical form, compile.c and generation.c bring it into the kernel. Values are host order integers:
 * an IPv4 address in the low 32 bits, an interface name as its 16 bytes big-endian (NUL padded), a MAC in the low 48. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include "../lib/err.h"

typedef unsigned __int128 u128;

struct span { u128 lo, hi; };	/* both ends belong to it */

struct spans {			/* sorted, disjoint, not touching once spans_normalise() has run */
	struct span *v;
	int n, cap;
};

void spans_add(struct spans *s, u128 lo, u128 hi);
void spans_normalise(struct spans *s);
bool spans_have(const struct spans *s, u128 x);		/* s normalised */
void spans_subtract(struct spans *out, const struct spans *a, const struct spans *b);	/* out = a without b, all normalised */
void spans_free(struct spans *s);

/* The values v up to max (2^n - 1) with (v & mask) == value. -1, and nothing in out, when they are more than MASK_SPANS ranges; out may be NULL. */
enum { MASK_SPANS = 4096 };
int spans_of_mask(struct spans *out, u128 max, u128 mask, u128 value);

/* Room for one more behind the n of an array that only ever grew by this function (NULL, 0: the first). */
void *array_room(void *v, int n, size_t size);

/* The words a match may begin with. X(symbol, text, type, family, protocol): type says which literals it takes and how wide it is,
 * family (4, 6) and layer 4 protocol what it asks of a packet besides its value, as nft's implicit dependencies do; 0: nothing. */
#define CONFIG_KEYS(X) \
	X(KEY_IP_SADDR, "ip saddr", TYPE_IPV4_ADDR, 4, 0) \
	X(KEY_IP_DADDR, "ip daddr", TYPE_IPV4_ADDR, 4, 0) \
	X(KEY_IP6_SADDR, "ip6 saddr", TYPE_IPV6_ADDR, 6, 0) \
	X(KEY_IP6_DADDR, "ip6 daddr", TYPE_IPV6_ADDR, 6, 0) \
	X(KEY_TCP_SPORT, "tcp sport", TYPE_INET_SERVICE, 0, 6) \
	X(KEY_TCP_DPORT, "tcp dport", TYPE_INET_SERVICE, 0, 6) \
	X(KEY_UDP_SPORT, "udp sport", TYPE_INET_SERVICE, 0, 17) \
	X(KEY_UDP_DPORT, "udp dport", TYPE_INET_SERVICE, 0, 17) \
	X(KEY_SCTP_SPORT, "sctp sport", TYPE_INET_SERVICE, 0, 132) \
	X(KEY_SCTP_DPORT, "sctp dport", TYPE_INET_SERVICE, 0, 132) \
	X(KEY_META_L4PROTO, "meta l4proto", TYPE_INET_PROTO, 0, 0) \
	X(KEY_ICMP_TYPE, "icmp type", TYPE_ICMP_TYPE, 4, 1) \
	X(KEY_ICMP_CODE, "icmp code", TYPE_ICMP_CODE, 4, 1) \
	X(KEY_ICMPV6_TYPE, "icmpv6 type", TYPE_ICMPV6_TYPE, 6, 58) \
	X(KEY_ICMPV6_CODE, "icmpv6 code", TYPE_ICMPV6_CODE, 6, 58) \
	X(KEY_TCP_FLAGS, "tcp flags", TYPE_TCP_FLAG, 0, 6) \
	X(KEY_VLAN_ID, "vlan id", TYPE_VLAN_ID, 0, 0) \
	X(KEY_IIFNAME, "iifname", TYPE_IFNAME, 0, 0) \
	X(KEY_OIFNAME, "oifname", TYPE_IFNAME, 0, 0) \
	X(KEY_ETHER_SADDR, "ether saddr", TYPE_ETHER_ADDR, 0, 0) \
	X(KEY_ETHER_DADDR, "ether daddr", TYPE_ETHER_ADDR, 0, 0) \
	X(KEY_ETHER_TYPE, "ether type", TYPE_ETHER_TYPE, 0, 0) \
	X(KEY_IP_PROTOCOL, "ip protocol", TYPE_INET_PROTO, 4, 0) \
	X(KEY_IP_DSCP, "ip dscp", TYPE_DSCP, 4, 0) \
	X(KEY_IP_ECN, "ip ecn", TYPE_ECN, 4, 0) \
	X(KEY_IP_TTL, "ip ttl", TYPE_INT8, 4, 0) \
	X(KEY_IP_LENGTH, "ip length", TYPE_INT16, 4, 0) \
	X(KEY_IP_ID, "ip id", TYPE_INT16, 4, 0) \
	X(KEY_IP_FRAG_OFF, "ip frag-off", TYPE_INT16, 4, 0) \
	X(KEY_IP_HDRLENGTH, "ip hdrlength", TYPE_INT4, 4, 0) \
	X(KEY_IP6_NEXTHDR, "ip6 nexthdr", TYPE_INET_PROTO, 6, 0) \
	X(KEY_IP6_DSCP, "ip6 dscp", TYPE_DSCP, 6, 0) \
	X(KEY_IP6_ECN, "ip6 ecn", TYPE_ECN, 6, 0) \
	X(KEY_IP6_HOPLIMIT, "ip6 hoplimit", TYPE_INT8, 6, 0) \
	X(KEY_IP6_LENGTH, "ip6 length", TYPE_INT16, 6, 0) \
	X(KEY_IP6_FLOWLABEL, "ip6 flowlabel", TYPE_INT20, 6, 0) \
	X(KEY_IP_OPTION_LSRR, "ip option lsrr", TYPE_PRESENCE, 4, 0) \
	X(KEY_IP_OPTION_RR, "ip option rr", TYPE_PRESENCE, 4, 0) \
	X(KEY_IP_OPTION_SSRR, "ip option ssrr", TYPE_PRESENCE, 4, 0) \
	X(KEY_IP_OPTION_RA, "ip option ra", TYPE_PRESENCE, 4, 0) \
	X(KEY_EXTHDR_HBH, "exthdr hbh", TYPE_PRESENCE, 6, 0) \
	X(KEY_EXTHDR_RT, "exthdr rt", TYPE_PRESENCE, 6, 0) \
	X(KEY_EXTHDR_FRAG, "exthdr frag", TYPE_PRESENCE, 6, 0) \
	X(KEY_EXTHDR_DST, "exthdr dst", TYPE_PRESENCE, 6, 0) \
	X(KEY_EXTHDR_MH, "exthdr mh", TYPE_PRESENCE, 6, 0) \
	X(KEY_TCP_SEQUENCE, "tcp sequence", TYPE_INT32, 0, 6) \
	X(KEY_TCP_ACKSEQ, "tcp ackseq", TYPE_INT32, 0, 6) \
	X(KEY_TCP_DOFF, "tcp doff", TYPE_INT4, 0, 6) \
	X(KEY_TCP_WINDOW, "tcp window", TYPE_INT16, 0, 6) \
	X(KEY_TCP_URGPTR, "tcp urgptr", TYPE_INT16, 0, 6) \
	X(KEY_TCP_OPTION_MAXSEG, "tcp option maxseg", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_WINDOW, "tcp option window", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_SACK_PERM, "tcp option sack-perm", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_SACK, "tcp option sack", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_TIMESTAMP, "tcp option timestamp", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_MD5SIG, "tcp option md5sig", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_MPTCP, "tcp option mptcp", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_FASTOPEN, "tcp option fastopen", TYPE_PRESENCE, 0, 6) \
	X(KEY_TCP_OPTION_MAXSEG_SIZE, "tcp option maxseg size", TYPE_INT16, 0, 6) \
	X(KEY_UDP_LENGTH, "udp length", TYPE_INT16, 0, 17) \
	X(KEY_SCTP_VTAG, "sctp vtag", TYPE_INT32, 0, 132) \
	X(KEY_TH_SPORT, "th sport", TYPE_INET_SERVICE, 0, 0) \
	X(KEY_TH_DPORT, "th dport", TYPE_INET_SERVICE, 0, 0) \
	X(KEY_VLAN_PCP, "vlan pcp", TYPE_INT3, 0, 0) \
	X(KEY_META_LENGTH, "meta length", TYPE_INT32, 0, 0) \
	X(KEY_META_PROTOCOL, "meta protocol", TYPE_ETHER_TYPE, 0, 0) \
	X(KEY_META_NFPROTO, "meta nfproto", TYPE_NF_PROTO, 0, 0) \
	X(KEY_META_MARK, "meta mark", TYPE_MARK, 0, 0) \
	X(KEY_META_RANDOM, "meta random", TYPE_INT32, 0, 0) \
	X(KEY_CT_STATE, "ct state", TYPE_CT_STATE, 0, 0) \
	X(KEY_RAW, "@", TYPE_RAW, 0, 0)

#define KEY_ENUM(sym, text, type, family, proto) sym,
enum config_key { CONFIG_KEYS(KEY_ENUM) KEY_COUNT };
#undef KEY_ENUM

/* X(symbol, name in set declarations or NULL, bits) */
#define CONFIG_TYPES(X) \
	X(TYPE_IPV4_ADDR, "ipv4_addr", 32) \
	X(TYPE_IPV6_ADDR, "ipv6_addr", 128) \
	X(TYPE_INET_SERVICE, "inet_service", 16) \
	X(TYPE_INET_PROTO, "inet_proto", 8) \
	X(TYPE_ICMP_TYPE, "icmp_type", 8) \
	X(TYPE_ICMP_CODE, "icmp_code", 8) \
	X(TYPE_ICMPV6_TYPE, "icmpv6_type", 8) \
	X(TYPE_ICMPV6_CODE, "icmpv6_code", 8) \
	X(TYPE_TCP_FLAG, "tcp_flag", 8) \
	X(TYPE_VLAN_ID, "vlan_id", 12) \
	X(TYPE_IFNAME, "ifname", 128) \
	X(TYPE_ETHER_ADDR, "ether_addr", 48) \
	X(TYPE_ETHER_TYPE, "ether_type", 16) \
	X(TYPE_DSCP, "dscp", 6) \
	X(TYPE_ECN, "ecn", 2) \
	X(TYPE_MARK, "mark", 32) \
	X(TYPE_NF_PROTO, "nf_proto", 8) \
	X(TYPE_CT_STATE, "ct_state", 8) \
	X(TYPE_PRESENCE, NULL, 1) \
	X(TYPE_INT3, NULL, 3) \
	X(TYPE_INT4, NULL, 4) \
	X(TYPE_INT8, NULL, 8) \
	X(TYPE_INT16, NULL, 16) \
	X(TYPE_INT20, NULL, 20) \
	X(TYPE_INT32, NULL, 32) \
	X(TYPE_RAW, NULL, 64)

#define TYPE_ENUM(sym, text, bits) sym,
enum config_type { CONFIG_TYPES(TYPE_ENUM) TYPE_COUNT };
#undef TYPE_ENUM

extern const char *const config_key_text[KEY_COUNT];
extern const enum config_type config_key_type[KEY_COUNT];
extern const uint8_t config_key_family[KEY_COUNT], config_key_proto[KEY_COUNT];
extern const char *const config_type_text[TYPE_COUNT];
extern const uint8_t config_type_bits[TYPE_COUNT];

/* Bits by their place: base is an enum raw_base, offset and length count bits. */
struct raw {
	uint8_t base;
	uint16_t offset, length;
};

enum { KEYS_MOST = 5 };		/* of a concatenation */

/* What an element of a verdict map says, and a rule. CONTINUE: counts only, the next rules decide. */
enum rule_verdict { RULE_CONTINUE, RULE_ACCEPT, RULE_DROP, RULE_JUMP, RULE_GOTO, RULE_RETURN, RULE_VMAP, RULE_REJECT };

struct value_tuple {			/* an element of a concatenation or of a map */
	struct span part[KEYS_MOST];
	enum rule_verdict verdict;	/* of a map: ACCEPT, DROP, JUMP, GOTO, RETURN or CONTINUE */
	char *target;			/* chain, of JUMP and GOTO */
	uint64_t timeout_ms, expires_ms;	/* of a set's element: 0: the set's, or none; what is left of it, 0: all */
	uint64_t packets, bytes;
	char *comment;			/* or NULL */
	struct where at;
};

struct value_tuples {			/* sorted by their parts, none twice */
	struct value_tuple *v;
	int n;
};

struct match {
	enum config_key key;	/* the first of keys */
	enum config_key keys[KEYS_MOST];
	int n_keys;		/* more than one: a concatenation */
	struct value_tuples tuples;	/* instead of spans: of a concatenation or a map */
	struct raw raw;		/* of KEY_RAW, and of keys that are short for one (raw.c) */
	bool negate;		/* != */
	struct spans spans;	/* the values (a tcp flags match without mask: values too) */
	char *set;		/* name of the set instead of spans, or NULL */
	bool masked;		/* (field & mask) == value, or != value with negate */
	u128 mask, value;
	struct where at;
};

u128 match_max(const struct match *m);		/* the largest value its key can have */

struct limit {
	uint64_t rate;		/* in `per` seconds; 0: no limit */
	uint32_t per;		/* 1, 60, 3600, 86400 or 604800 */
	uint64_t burst;		/* packets or bytes */
	bool over, bytes;
	enum config_key keys[KEYS_MOST];	/* a bucket for each value of these; none: one for the rule */
	uint8_t length[KEYS_MOST];		/* of an address: prefix bits */
	int n_keys;
	struct where at;
};

struct mark {			/* of `meta mark set`: (mark & keep) ^ flip */
	bool set;
	uint32_t keep, flip;
	struct where at;
};

uint32_t mark_apply(const struct mark *m, uint32_t mark);
void mark_print(FILE *f, const struct mark *m);

struct limit_period { const char *name; uint32_t seconds; };
extern const struct limit_period limit_periods[];	/* second …; ends with a NULL name */
uint32_t limit_key_of(enum config_key key);		/* LIMIT_* of maps/limit.h, 0: no limit is per this */

enum update_how { UPDATE_NONE, UPDATE_ADD, UPDATE_RENEW };	/* ADD: an element that is there stays as it is */

struct update {			/* add @set { ip saddr . tcp dport timeout 1m } */
	enum update_how how;
	char *set;
	enum config_key keys[KEYS_MOST];
	int n_keys;
	uint64_t timeout_ms;	/* 0: the set's */
	struct where at;
};

struct rule {
	struct match *matches;
	int n_matches;
	enum rule_verdict verdict;
	char *target;		/* chain, of JUMP and GOTO */
	struct where target_at;
	uint8_t reject;		/* enum reject of maps/reject.h, of REJECT */
	struct where reject_at;
	struct match *vmap;	/* of VMAP: a match whose elements have verdicts */
	struct limit limit;
	struct update update;
	struct mark mark;
	bool counter, log;
	char *log_prefix;	/* or NULL */
	char *comment;		/* or NULL */
	uint32_t id;		/* stable id, 0 until ids.c gave one; not in the text */
	struct where at;
};

enum { CHAIN_INGRESS, CHAIN_EGRESS, CHAIN_COUNT };
extern const char *const chain_name[CHAIN_COUNT];

struct chain {
	char *name;		/* NULL: one of chain_name */
	bool present;		/* the text has it */
	bool policy_drop;	/* this and audit: of ingress and egress only */
	bool audit;		/* what would be dropped is counted and passes */
	struct rule *rules;
	int n_rules;
	struct where at;
};

struct set {
	char *name;
	bool map;		/* from values to verdicts */
	enum config_type type;	/* the first of types */
	enum config_type types[KEYS_MOST];
	int n_types;
	bool interval;		/* flags interval: prefixes and ranges are allowed */
	bool dynamic, timed, constant;	/* further flags: rules add elements; elements have times; nothing changes */
	bool counter;		/* each element counts */
	bool commented;		/* elements that are in the kernel have, or had, comments */
	bool ragged;		/* IPv6 prefixes of too many lengths for a table: set_measure() */
	bool noted;		/* elements have times, counters or comments of their own: they are in tuples */
	uint64_t timeout_ms;	/* of elements without one of their own */
	uint32_t size;		/* elements at most, 0: the default */
	char *comment;
	struct spans elements;
	struct value_tuples tuples;	/* instead, of concatenations and maps, and of noted ones */
	char *notes;		/* comments of elements that are in the kernel, as lines of the text's end; or NULL */
	uint32_t slot;		/* where the elements are that are not here: slot of the kernel's table + 1, or 0; not in the text */
	bool kept;		/* the table of the generation before goes on, and has not got the text's elements yet; not in the text */
	struct where at;
};

enum { SET_COMPILED_MOST = 512, SET_SIZE_DEFAULT = 65536, SET_SIZE_MOST = 1000000 };

/* Is it asked by lookup (maps/set.h), not compiled into the rules? One that changes by itself, whose elements are noted, and a large one of single values. */
bool set_is_live(const struct set *s);
void set_measure(struct set *s);	/* before that is asked, once the elements are there */
/* Does what it answers change without ctl, or must each packet be counted? Then nothing is remembered for a flow. */
bool set_is_volatile(const struct set *s);

struct address {		/* family 4 or 6; bytes in network order, IPv4 in the first four */
	uint8_t family;
	uint8_t bytes[16];
};

struct listen {
	struct address addr;
	uint8_t proto;		/* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port;		/* host order, 1..65535 */
	struct where at;
};

struct backend {
	struct address addr;
	uint32_t weight;	/* 0..65535, default 1; 0: no new flows, those it has go on (drain) */
	uint32_t slot;		/* its place in the kernel's table, 0 until ids.c gave one; not in the text */
	struct where at;
};

enum forward { FORWARD_L2, FORWARD_IPIP };
extern const char *const forward_name[];	/* "l2", "ipip" */

struct service {
	char *name;
	struct listen *listens;
	int n_listens;
	enum forward forward;
	struct backend *backends;
	int n_backends;
	uint32_t ring;		/* first chunk of its ring in the kernel; ids.c gives it; not in the text */
	struct where at;
};

struct interface {		/* `interface eth0`: says that the file is meant for it; attach is the loader's */
	char *name;
	struct where at;
};

struct config {
	struct interface *interfaces;
	int n_interfaces;
	struct set *sets;
	int n_sets;
	struct chain chains[CHAIN_COUNT];	/* that packets come to */
	struct chain *user;			/* that rules jump to */
	int n_user;
	struct service *services;
	int n_services;
	uint32_t last_slot;	/* the backend slot given out last; ids.c keeps it; not in the text */
	char **files;		/* names that `where` points to, owned */
	int n_files;
};

/* raw.c: where the bits of a key stand that has no field of its own; length 0: it has one. */
struct raw raw_of_key(enum config_key key);
bool raw_equal(const struct raw *a, const struct raw *b);
/* The distinct ones of all rules, at most `most`; returns how many there are. *over: the match that names one too many, or NULL. */
int raw_list(const struct config *c, struct raw *list, int most, const struct match **over);
void raw_print(FILE *f, const struct raw *r);

/* Parse a whole configuration and check it (config_check). `name` is what errors call the text. On failure the config is
 * empty and fail_at() has been called. Returns an exit code (EXIT_USAGE for what is wrong in the text). */
int config_parse(struct config *c, const char *name, const char *text);
int config_parse_file(struct config *c, const char *path);	/* "-": standard input */

/* All chains: those of chain_name first, then those that rules jump to. */
int config_n_chains(const struct config *c);
struct chain *config_chain(const struct config *c, int i);
int config_find_chain(const struct config *c, const char *name);	/* or -1 */
const char *config_chain_name(const struct config *c, int i);

int tuple_compare(const struct value_tuple *a, const struct value_tuple *b);	/* by their parts, verdict and target */
bool tuple_equal(const struct value_tuple *a, const struct value_tuple *b);
void tuples_normalise(struct value_tuples *t, int n_keys);
void tuples_free(struct value_tuples *t);
bool config_marks(const struct config *c);		/* some rule sets the mark */
bool set_is_tupled(const struct set *s);
/* Calls `visit` for each element of a map that leads to a chain, and for a rule that does itself; stops at what is not 0. */
int rule_targets(const struct config *c, const struct rule *r, int (*visit)(void *, const char *target, struct where at), void *context);

/* Parse the words of a command line in the same language and add to c: a rule at `index` of a chain (-1: at the end), a service
 * body ("listen … forward … backend …"), a backend ("10.0.0.1 weight 3"), set elements ("10.0.0.0/8, 192.0.2.1"), a set
 * declaration body. Errors are placed in the words joined by blanks, as "argument:1:COLUMN". */
int config_add_rule(struct config *c, int chain, int index, const char *words);
int config_add_service(struct config *c, const char *name, const char *words);
int config_add_backend(struct config *c, struct service *s, const char *words);
/* `name` is what errors call the text; NULL: the words of the command line. */
int config_parse_elements(const struct set *set, struct spans *out, const char *name, const char *text);
int config_parse_tuples(const struct set *set, struct value_tuples *out, const char *name, const char *text);	/* of a set whose elements are in tuples */
int config_add_set(struct config *c, const char *name, const char *words);
int config_add_map(struct config *c, const char *name, const char *words);

/* The whole file as one string (to be freed, also on failure), without NUL bytes; *name: as messages call it. */
int text_read(char **text, const char **name, const char *path);

/* What one statement cannot know: unknown or wrongly typed sets, duplicate names and listens, mixed families (a backend of the
 * other family needs ipip; l2 needs the listens' family), a service without backend or listen, contradicting matches of one rule
 * (ip saddr with ip6 daddr, tcp dport with udp dport). */
int config_check(struct config *c);

/* Canonical text; parsing it gives an equal model, printing that gives the same text. */
void config_print(FILE *f, const struct config *c);
void rule_print(FILE *f, const struct rule *r);		/* without newline */
void spans_print(FILE *f, enum config_type type, const struct spans *s, bool braces);
/* The elements of a set, `separator` between them: one by one where the set has no `flags interval`. */
void set_elements_print(FILE *f, const struct set *s, const char *separator);
void flags_of_set_print(FILE *f, const struct set *s, const char *before, const char *behind);	/* each statement between the two */
void time_print(FILE *f, uint64_t ms);		/* 1d2h3m4s5ms */
void set_type_print(FILE *f, const struct set *s);	/* "ipv4_addr . inet_service" */
void verdict_print(FILE *f, enum rule_verdict verdict, const char *target);
void backend_print(FILE *f, const struct backend *b);	/* "10.0.0.1 weight 3" */
void listen_print(FILE *f, const struct listen *l);	/* "192.0.2.1:80/tcp", "[2001:db8::1]:80/tcp" */
void address_print(FILE *f, const struct address *a);
char *rule_text(const struct rule *r);			/* malloc()ed */

void config_free(struct config *c);
void match_free(struct match *m);
void rule_free(struct rule *r);
void chain_free(struct chain *c);
void service_free(struct service *s);
void set_free(struct set *s);
struct set *config_set(const struct config *c, const char *name);
struct service *config_service(const struct config *c, const char *name);
int address_parse(struct address *a, const char *text);	/* 0 or -1 */
bool address_equal(const struct address *a, const struct address *b);
