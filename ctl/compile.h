/* SPDX-License-Identifier: GPL-2.0-only */
/* compile: rules of the model → the tables of maps/rule.h, in memory. Knows nothing of the kernel. */
#pragma once
#include <stdint.h>
#include "../maps/rule.h"
#include "config.h"
#include "constraint.h"
#include "tables.h"

struct compiled {
	struct memory chain[CHAIN_COUNT];	/* what goes into the inner map of each chain */
	struct raws raws;
};

/* Compile both chains; rules must have their ids. Exit code (EXIT_FAILED when the tables would be larger than the largest inner map). */
int compile(struct compiled *out, const struct config *c);

/* The same; chains of more rules than `ungrouped` get hash tables. compile() knows where they begin to pay. */
int compile_grouping(struct compiled *out, const struct config *c, int ungrouped);
void compiled_free(struct compiled *c);

/* Do the chains, does a row, need programs with FEATURE_FULL? */
bool compiled_needs_full(const struct compiled *c);
struct row;
bool row_needs_full(const struct row *r);

void limit_write(struct filter_limit *to, const struct rule *r);
uint32_t limit_store(struct memory *w, const struct rule *r);	/* its place */

/* The packet's values for classify_model(): index enum filter_field; wide fields take both words, others lo. */
struct field_values {
	uint64_t hi[FIELD_COUNT], lo[FIELD_COUNT];
	uint64_t present;
};

u128 field_value(const struct field_values *v, enum filter_field f);

/* What the datapath's classify() does, on the compiled tables. Returns an entry of the rule table: id and RULE_* bits. The packet's mark becomes what
 * rules set it to. */
uint32_t compiled_classify(const struct compiled *c, int chain, struct field_values *v);

/* The short way to the same entry; false: the chain or the packet has none. */
bool compiled_scan(uint32_t *entry, const struct compiled *c, int chain, const struct field_values *v);

/* The language's meaning on the model itself, rule after rule: the oracle of the above. */
uint32_t model_classify(const struct config *c, int chain, struct field_values *v);

/* The same, told of each rule that it comes to, whether it holds and the mark that the packet has then; what `rule` answers counts instead. */
struct rule_visit {
	bool (*rule)(void *ctx, int chain, const struct rule *r, bool holds, uint32_t mark);
	void *ctx;
};
uint32_t model_walk(const struct config *c, int chain, struct field_values *v, const struct rule_visit *visit);

/* One rule alone; of a map: has it an element for the packet. */
bool model_rule_holds(const struct config *c, const struct raws *raws, const struct rule *r, const struct field_values *v);
