/* SPDX-License-Identifier: GPL-2.0-only */
/* parse: what the lexer, the grammar's actions and parse.c share. The grammar says what may follow what; the functions here
 * build the model piece by piece and refuse what the grammar cannot see. */
#pragma once
#include "value.h"

struct loc {			/* of a token's first character */
	int line, column;
};

struct group {			/* one literal, or flags joined by , or | */
	struct slice first;
	struct loc at;
	int n;			/* words in it */
	struct loc joint;	/* of the first joining sign */
	unsigned int bits;	/* all flags or-ed; valid from the second word on */
};

struct key_words {		/* "tcp dport", "tcp option maxseg size" */
	struct slice head, field;
	const char *option, *part;	/* "option" or NULL, "size" or NULL */
};

struct parse {
	struct config *config;
	const char *file, *text;	/* as errors call it; the text itself */
	void *scanner;
	char *buffer;			/* the copy of text the lexer works in */
	int start;			/* a START_ token to return first, or 0 */
	int line, column;		/* the lexer's place */
	struct slice last;		/* the last token, for messages */
	/* Words are keywords only where a statement may begin: `raw` counts the words to come that are taken as they are. */
	int raw;
	bool option;			/* behind "tcp option" */
	bool per;			/* behind "per" */
	bool with;			/* behind "with" */
	bool assigned;			/* behind "set" of a mark */
	bool values;			/* inside { } of values: all words raw, newlines are blanks */
	bool only_values;		/* the whole text is values */
	bool only_rule;			/* it is one rule */
	bool notes;			/* values are elements of a set: words behind them say more of them */
	bool updating;			/* between add @set { and } */
	int open_lines[4], open;	/* of the braces that are open */
	const char *expects;		/* what the next raw word is, for messages */
	int code;			/* the exit code once something was wrong */
	/* being built */
	struct match match;
	struct rule rule;
	struct chain *chain;
	struct set *set;
	struct service *service;
	bool has_policy, has_type, has_forward;
	char op;			/* of the match: 0 none, '=', '!', '<', '>', 'l' (<=) or 'g' (>=) */
	struct loc op_at;		/* of the last four */
	enum config_type type;		/* of the values at hand */
	struct spans *values_to;
	struct value_tuples *tuples_to;	/* of concatenations and maps: instead of values_to */
	enum config_type types[KEYS_MOST];	/* of their parts */
	int n_types, n_parts;
	bool verdicts, has_verdict;	/* their elements have verdicts; the one at hand has */
	struct value_tuple tuple;		/* the element at hand */
	struct loc interval_at;		/* the first range or prefix among them; line 0: none */
};

/* Refuse at a place; returns non-zero, as all of these do when something is wrong. */
int refuse(struct parse *p, struct loc at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

int refuse_foreign(struct parse *p, struct loc at);	/* the last token is a word of nft's we lack */

struct where place_of(const struct parse *p, struct loc at);
int refuse_trouble(struct parse *p, struct loc at, const struct trouble *why);
int take_span(struct parse *p, const struct span *s, bool interval, struct loc at);

int build_named(struct parse *p, struct slice name, const char *what, struct loc at);
int build_check_text(struct parse *p, const char *what, struct slice s, struct loc at);
int build_check_verdicts(struct parse *p, const struct value_tuples *t, int n_keys);

int build_interface(struct parse *p, struct slice name, struct loc at);

int build_set(struct parse *p, struct slice name, struct loc at);
int build_set_type(struct parse *p, struct slice type, struct loc at);
int build_set_more(struct parse *p, struct slice type, struct loc at);	/* behind the dot */
int build_map_type(struct parse *p, struct slice what, struct loc at);
int build_set_flag(struct parse *p, struct slice flag, struct loc at);
int build_set_comment(struct parse *p, struct slice text, struct loc at);
int build_elements(struct parse *p, struct loc at);	/* values follow */
int build_time(struct parse *p, struct slice time, struct loc at, uint64_t *ms);	/* 1d2h3m4s5ms */
void set_note(struct set *s);			/* its elements become ones that can have notes */
int build_set_timeout(struct parse *p, struct slice time, struct loc at);
int build_set_size(struct parse *p, struct slice number, struct loc at);
int build_set_counter(struct parse *p);
int build_note_time(struct parse *p, struct slice time, bool left, struct loc at);	/* of the element at hand */
int build_note_counter(struct parse *p, struct slice packets, struct slice bytes, struct loc at);
int build_note_comment(struct parse *p, struct slice text, struct loc at);
int build_update(struct parse *p, enum update_how how, struct slice set, struct loc at);
int build_update_time(struct parse *p, struct slice time, struct loc at);
int build_update_end(struct parse *p);
int build_set_end(struct parse *p, struct loc at);

int build_chain(struct parse *p, struct slice name, struct loc at);
int build_policy(struct parse *p, struct slice policy, struct loc at);
int build_audit(struct parse *p, struct loc at);
int build_jump(struct parse *p, enum rule_verdict how, struct slice chain, struct loc at);
int build_reject(struct parse *p, struct slice protocol, struct slice name, struct loc at, struct loc name_at);	/* reject.c */
int build_tuples(struct parse *p, bool verdicts);	/* what follows are elements for the keys of p->match */
int build_dot(struct parse *p, struct loc at);
int build_element(struct parse *p, struct loc at);
int build_element_verdict(struct parse *p, struct slice verdict, struct slice target, struct loc at, struct loc target_at);
int build_vmap_end(struct parse *p);
int build_key(struct parse *p, const struct key_words *words, struct loc at, struct loc field_at);
int build_raw(struct parse *p, struct slice word, struct loc at);
int build_order(struct parse *p, char op, struct loc at);
int build_value(struct parse *p, const struct group *g);
int build_range(struct parse *p, struct slice lo, struct slice hi, struct loc at, struct loc hi_at);
int build_prefix(struct parse *p, struct slice addr, struct slice len, struct loc at, struct loc len_at);
int build_join(struct parse *p, struct group *g, struct slice word, struct loc joint, struct loc at);
int build_flags(struct parse *p, const struct group *g, unsigned int *bits);
int build_match_plain(struct parse *p, const struct group *g);
int build_match_slash(struct parse *p, const struct group *a, const struct group *b, struct loc slash);
int build_match_none_of(struct parse *p, const struct group *g);
int build_match_masked(struct parse *p, const struct group *mask, const struct group *value);
int build_match_set(struct parse *p, struct slice name, struct loc at);
int build_match_end(struct parse *p);
int build_log_prefix(struct parse *p, struct slice text, struct loc at);
int build_comment(struct parse *p, struct slice text, struct loc at);

int build_limit(struct parse *p, struct slice amount, struct slice unit, struct slice per, struct loc at, struct loc unit_at, struct loc per_at);
/* mark.c: "meta mark set", then a value, or "mark" and operators ('&', '|', '^'). */
int build_mark(struct parse *p, struct slice head, struct loc at);
int build_mark_value(struct parse *p, struct slice value, struct loc at);
int build_mark_itself(struct parse *p, struct slice meta, struct slice mark, struct loc at);
int build_mark_operator(struct parse *p, char op, struct slice value, struct loc at);

int build_burst(struct parse *p, struct slice amount, struct slice unit, struct loc at, struct loc unit_at);
int build_per(struct parse *p, struct slice head, struct slice field, struct loc at);
int build_per_length(struct parse *p, struct slice length, struct loc at);
int build_limit_end(struct parse *p);
int build_rule_end(struct parse *p, struct loc at);	/* leaves it in p->rule when there is no chain */

int build_service(struct parse *p, struct slice name, struct loc at);
int build_listen(struct parse *p, struct slice endpoint, struct slice proto, struct loc at, struct loc proto_at);
int build_forward(struct parse *p, struct slice how, struct loc at);
int build_backend(struct parse *p, struct slice addr, struct loc at);
int build_weight(struct parse *p, struct slice weight, struct loc at);
int build_service_end(struct parse *p, struct loc at);
int build_number(struct parse *p, struct slice number, struct loc at);	/* of a counter: checked, then ignored */

/* foreign.c: the words nft has and weir has not. NULL, or what to do instead ("" if nothing), and *pair when its name is
 * two words, as in "ct state". */
const char *foreign_word(struct slice word, bool *pair);
const char *foreign_field(struct slice head, struct slice field);

void lexer_open(struct parse *p, int size);	/* p->buffer of size bytes, the last two NUL */
void lexer_close(struct parse *p);
int weir_parse(struct parse *p);
