/* SPDX-License-Identifier: GPL-2.0-only */
/* trials: the tables of what is measured. docs/bench.md tells how to read the figures. */
#include <string.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include "../maps/datapath.h"
#include "feed.h"
#include "trial.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#define VIA_IPIP4 "203.0.113.10"
#define VIA_IPIP6 "2001:db8::10"
#define VIA_L2_4 "203.0.113.11"
#define VIA_L2_6 "2001:db8::11"
#define PIPELINE (FEATURE_FILTER | FEATURE_BALANCE | FEATURE_FLOWS)
#define OUT4 .family = 4, .to = VIA_IPIP4, .grows = 20, .verdict = XDP_TX
#define OUT6 .family = 6, .to = VIA_IPIP6, .grows = 40, .verdict = XDP_TX
#define NEAR4 .family = 4, .to = VIA_L2_4
#define NEAR6 .family = 6, .to = VIA_L2_6
#define PASSES4 NEAR4, .verdict = XDP_PASS
#define PASSES6 NEAR6, .verdict = XDP_PASS
#define SENT4 NEAR4, .verdict = XDP_TX
#define K64 65536
#define M1 1048576

/* One program, net of the floor. `packet`: one of the above; behind it what the figure has of limits. */
#define XDP(text, n, bits, packet, ...) { .flows = n, packet, .subject = { {}, { "xdp", "weir_xdp", .features = bits } }, \
	.figure = { { text, .of = 1, ##__VA_ARGS__ } } }
#define TC(text, n, entry, packet, answer) { .flows = n, packet, .verdict = (unsigned)answer, .subject = { { "tc" }, { "tc", entry, .features = PIPELINE } }, \
	.figure = { { text, .of = 1 } } }
#define NEW(text, packet) { .flows = K64, .opens = true, packet, .subject = { {}, { "xdp", "weir_xdp", .features = PIPELINE } }, \
	.figure = { { text, .of = 1 } } }

struct trial pipeline_trials[] = {
	XDP("parse only, v4", 1, 0, PASSES4, .limit = 0.4),
	XDP("parse only, v6", 1, 0, PASSES6),
	XDP("filter, 10 rules, v4", 1, FEATURE_FILTER, PASSES4),
	XDP("filter, 10 rules, v6", 1, FEATURE_FILTER, PASSES6),
	XDP("balancer, v4", 1, FEATURE_BALANCE, OUT4, .limit = 1),
	XDP("balancer, v4", K64, FEATURE_BALANCE, OUT4, .limit = 1),
	XDP("balancer, v6", 1, FEATURE_BALANCE, OUT6),
	XDP("balancer, v4, l2", 1, FEATURE_BALANCE, SENT4),
	XDP("balancer + flows, v4", 1, FEATURE_BALANCE | FEATURE_FLOWS, OUT4),
	XDP("pipeline, v4", 1, PIPELINE, OUT4, .limit = 1.5),
	XDP("pipeline, v4", K64, PIPELINE, OUT4, .limit = 2.5),
	XDP("pipeline, v4", M1, PIPELINE, OUT4),
	XDP("pipeline, v6", 1, PIPELINE, OUT6, .limit = 1.5, .than = "pipeline, v4"),
	XDP("pipeline, v6", K64, PIPELINE, OUT6, .limit = 1.5, .than = "pipeline, v4"),
	XDP("pipeline, v6", M1, PIPELINE, OUT6, .limit = 1.5, .than = "pipeline, v4"),
	NEW("new flow, v4", OUT4),
	NEW("new flow, v6", OUT6),
	TC("tc ingress, v4, l2", 1, "weir_tc_ingress", NEAR4, TC_ACT_REDIRECT),
	TC("tc ingress, v4, l2", K64, "weir_tc_ingress", NEAR4, TC_ACT_REDIRECT),
	TC("tc ingress, v6, l2", 1, "weir_tc_ingress", NEAR6, TC_ACT_REDIRECT),
	TC("tc egress, v4", 1, "weir_tc_egress", NEAR4, TC_ACT_UNSPEC),
};

#define LAYOUT(text, n, entry) { .flows = n, PASSES4, .subject = { {}, { "layouts", entry } }, .figure = { { text, .of = 1 } } }
#define LAYOUTS(text, entry) LAYOUT(text, 1, entry), LAYOUT(text, K64, entry), LAYOUT(text, M1, entry)

struct trial layout_trials[] = {
	LAYOUTS("one line a flow, by number", "layout_line"),
	LAYOUTS("one line a flow, over 4 MiB", "layout_scattered4"),
	LAYOUTS("one line a flow, over 64 MiB", "layout_scattered64"),
	LAYOUTS("64-byte entries, no tags", "layout_tagless"),
	LAYOUTS("64-byte entries, line of tags", "layout_tagged"),
	LAYOUTS("128-byte entries, no tags", "layout_wide"),
	LAYOUTS("BPF_MAP_TYPE_HASH", "layout_hash"),
	LAYOUTS("BPF_MAP_TYPE_LRU_HASH", "layout_lru"),
};

const unsigned n_pipeline_trials = COUNT(pipeline_trials), n_layout_trials = COUNT(layout_trials);

/* Asked for by name, with packets and rules that bench/run made. What comes first is the floor of the rest. */
#define PARSER { "xdp", "weir_xdp", .verdict = XDP_PASS }
#define RULES(...) { "xdp", "weir_xdp", .features = FEATURE_FILTER, ##__VA_ARGS__ }

/* A rule that asks a list, the same with a list of one element beside it, and the trie of the same list. */
#define LIST(text, n, packet, answer, trie, most) { text, .flows = n, packet, .headers = true, .decided = answer == XDP_DROP, \
	.subject = { PARSER, RULES(.verdict = answer), RULES(.beside = true, .verdict = XDP_PASS), \
		     { "lpm", trie "_floor", .verdict = XDP_PASS }, { "lpm", trie "_ask", .verdict = answer } }, \
	.figure = { { "the whole chain", .of = 1 }, { "one element, compiled", .of = 2 }, \
		    { "the list", .of = 1, .off = 2, .limit = most }, \
		    { "LPM trie", .of = 4, .off = 3 }, { "LPM trie, times the list", .of = 3, .off = 2, .times = true, .least = true, .limit = 20 } } }

/* Ten rules the last of which matches, and beside it the same without the limit. */
#define LIMIT(text, n, ...) { text, .flows = n, NEAR4, .verdict = XDP_PASS, .subject = { PARSER, RULES(), RULES(.beside = true) }, \
	.figure = { { "10 rules, limit per source", .of = 1 }, { "10 rules", .of = 2 }, { "the limit", .of = 1, .off = 2, .limit = 1 } }, ##__VA_ARGS__ }

/* An established flow: with decisions cached in it, and without a filter. */
#define CACHED(n) { "cached", .flows = n, NEAR4, .verdict = XDP_PASS, \
	.subject = { { "xdp", "weir_xdp", .features = FEATURE_FLOWS }, { "xdp", "weir_xdp", .features = FEATURE_FLOWS | FEATURE_FILTER } }, \
	.figure = { { "cached decision, 10 rules, v4", .of = 1, .limit = 0.1 } } }

/* The same rules by the program and by the one without all that they do not use. */
#define UNUSED(n) { "unused", .flows = n, NEAR4, .headers = true, .decided = true, .subject = { PARSER, RULES(), { "plain", "weir_xdp", .features = FEATURE_FILTER } }, \
	.figure = { { "the program", .of = 1 }, { "without what is not used", .of = 2 }, { "the difference", .of = 1, .off = 2 }, \
		    { "times the one without", .of = 0, .off = 1, .times = true, .limit = 1.05 } } }

struct trial named_trials[] = {
	{ "rules", .flows = FEED_HEADERS, NEAR4, .headers = true, .decided = true, .subject = { PARSER, RULES() }, .figure = { { "", .of = 1 } } },
	LIST("list4-hits", K64, NEAR4, XDP_DROP, "lpm4", 0.5),
	LIST("list4-few", 256, NEAR4, XDP_DROP, "lpm4", 0.5),
	LIST("list4-misses", K64, NEAR4, XDP_PASS, "lpm4", 0.5),
	LIST("list6-hits", K64, NEAR6, XDP_DROP, "lpm6", 2),
	LIST("list6-few", 256, NEAR6, XDP_DROP, "lpm6", 2),
	LIST("list6-misses", K64, NEAR6, XDP_PASS, "lpm6", 2),
	LIMIT("limit", K64),
	LIMIT("spoofed", 10000000, .sources = 10000000),
	UNUSED(FEED_HEADERS),
	CACHED(1),
	CACHED(K64),
};

const unsigned n_named_trials = COUNT(named_trials);

const struct whole wholes[] = {
	{ "weir_xdp", { "xdp", "weir_xdp", .features = PIPELINE | FEATURE_TC_ABOVE } },
	{ "weir_xdp, decapsulating", { "xdp", "weir_xdp", .features = FEATURE_FILTER | FEATURE_FLOWS | FEATURE_DECAP } },
	{ "weir_tc_ingress", { "tc", "weir_tc_ingress", .features = PIPELINE } },
	{ "weir_tc_ingress, below XDP", { "tc", "weir_tc_ingress", .features = PIPELINE | FEATURE_XDP_BELOW } },
	{ "weir_tc_egress", { "tc", "weir_tc_egress", .features = PIPELINE } },
	{ "weir_xdp, for any rule", { "xdp", "weir_xdp", .features = PIPELINE | FEATURE_TC_ABOVE | FEATURE_FULL } },
	{ "weir_tc_ingress, for any rule", { "tc", "weir_tc_ingress", .features = PIPELINE | FEATURE_FULL } },
	{ "weir_tc_egress, for any rule", { "tc", "weir_tc_egress", .features = PIPELINE | FEATURE_FULL } },
};
const unsigned n_wholes = COUNT(wholes);
