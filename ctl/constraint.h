/* SPDX-License-Identifier: GPL-2.0-only */
/* constraint: a rule as what it asks of each field of a packet: the conjunction that the compiler, the oracle and lint work on. Fields it does not
 * name are not `used` and may be anything, or absent. */
#pragma once
#include "../maps/rule.h"
#include "config.h"

struct lookup {			/* a set asked for a key; set NULL: none */
	const struct set *set;
	const enum config_key *keys;
	int n_keys;
};

/* What the packets are asked for beside their fields: bits read by their place, the nth is FIELD_RAW0 + n, and lookups, the nth is FIELD_SET0 + n. */
struct raws {
	struct raw v[FILTER_RAWS];
	int n;
	struct lookup lookup[FILTER_LOOKUPS];
};

struct constraints {
	struct spans field[FIELD_COUNT];	/* normalised; of the fields in use */
	uint64_t used;		/* fields that must be there and lie in their spans */
	bool empty;		/* of joined ones: no packet can meet them */
};

/* One way in which a concatenation, or an element of a map, can hold. */
struct way {
	struct constraints k;
	enum rule_verdict verdict;	/* of a map */
	const char *target;		/* the model's */
};

struct ways {
	struct way *v;
	int n;
};

/* Elements that differ in their first part only are one way. */
bool match_has_ways(const struct config *c, const struct match *m);	/* a concatenation that is not looked up */
void ways_of(struct ways *out, const struct config *c, const struct raws *raws, const struct match *m);
void ways_free(struct ways *w);

extern const uint8_t field_words[FIELD_COUNT];
u128 field_max(enum filter_field f);	/* of wide fields ~0 */
bool field_is_wide(enum filter_field f);

/* Which field a key asks, and its bits there: of eight, from shift on; bits 0: all. */
struct key_place {
	enum filter_field field;
	uint8_t shift, bits;
};
struct key_place key_place(const struct raws *raws, enum config_key key, const struct raw *raw);

void raws_of(struct raws *out, const struct config *c);
/* Of all matches but concatenations, of which only the fields: they must be there. */
void rule_constraints(const struct config *c, const struct raws *raws, const struct rule *r, struct constraints *out);
void constraints_copy(struct constraints *out, const struct constraints *c);
void constraints_join(struct constraints *out, const struct constraints *a, const struct constraints *b);
void constraints_drop(struct constraints *c, enum filter_field f);	/* asks for it no more */
void constraints_free(struct constraints *c);
struct spans spans_intersect(const struct spans *a, const struct spans *b);

uint32_t policy_entry(const struct config *c, int chain);	/* id and RULE_* bits */
