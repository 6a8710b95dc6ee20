/* SPDX-License-Identifier: GPL-2.0-only */
/* grammar: the language, in nft's words and with nft's meaning. Tables and hooks are gone: a chain is bound by its name.
 * Statements of a set and of a service need no separator between them, so that they can be words of a command line.
 *
 * What nft (1.0.6, --debug=netlink) makes of tcp flags, and so do we:
 *	tcp flags syn				(flags & syn) != 0
 *	tcp flags syn,ack	syn|ack		(flags & (syn|ack)) != 0	any of them
 *	tcp flags == syn,ack			flags == syn|ack		!= likewise
 *	tcp flags ! syn,ack			(flags & (syn|ack)) == 0	none of them
 *	tcp flags { syn, syn | ack }		flags == syn or flags == syn|ack
 *	tcp flags 0x2-0x5			the range, of whole values
 *	tcp flags & (syn|ack) == syn		(flags & (syn|ack)) == syn	!= likewise
 *	tcp flags syn / syn,ack			the same, value first
 */
%code requires {
#include "parse.h"
}

%define api.pure full
%define api.prefix {weir_}
%define api.location.type {struct loc}
%define parse.error custom
%define parse.lac full
%define lr.default-reduction accepting
%locations
%param { struct parse *p }

%union {
	struct slice slice;
	struct group group;
	char op;
}

%code {
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int weir_lex(WEIR_STYPE *v, struct loc *at, struct parse *p);
static void weir_error(struct loc *at, struct parse *p, const char *text);

#define YYLLOC_DEFAULT(cur, rhs, n) ((cur) = (n) ? YYRHSLOC(rhs, 1) : YYRHSLOC(rhs, 0))
#define slice_of(text) ((struct slice){ text, sizeof(text) - 1 })
#define DO(x) do { if (x) YYABORT; } while (0)
}

/* In the order in which "expected …" lists them. */
%token INTERFACE "interface" SET "set" MAP "map" CHAIN "chain" SERVICE "service"
%token TYPE "type" FLAGS "flags" ELEMENTS "elements" POLICY "policy" AUDIT "audit"
%token ACCEPT "accept" DROP "drop" REJECT "reject" WITH "with" JUMP "jump" GOTO "goto" RETURN "return" COUNTER "counter" PACKETS "packets" BYTES "bytes"
%token LIMIT "limit" RATE "rate" OVER "over" BURST "burst" PER "per"
%token LOG "log" PREFIX "prefix" ADD "add" UPDATE "update" TIMEOUT "timeout" EXPIRES "expires"
%token LISTEN "listen" FORWARD "forward" BACKEND "backend" WEIGHT "weight"
%token COMMENT "comment"
%token AND "and" OR "or" XOR "xor" ASSIGN
%token <slice> HEAD "a match" IFNAME "iifname" RAW "@nh"
%token OPTION "option" SIZE "size" VMAP "vmap" DOT "." COLON ":"
%token EQ "==" NE "!=" LT "<" GT ">" LE "<=" GE ">="
%token <slice> WORD "a value" STRING "a text in quotes" SETREF "@set"
%token SEP "end of line" UNSUPPORTED
%token START_CONFIG START_RULE START_SET START_ELEMENTS START_SERVICE START_BACKEND

%type <slice> text
%type <group> word bar any flags mask
%type <op> operator

%%
start:
  START_CONFIG config
| START_RULE seps rule seps
| START_SET set_body		{ DO(build_set_end(p, @1)); }
| START_ELEMENTS seps loose seps
| START_ELEMENTS seps '{' loose '}' seps
| START_SERVICE service_body	{ DO(build_service_end(p, @1)); }
| START_BACKEND seps server seps
;

seps: %empty | seps SEP;

config: statement | config SEP statement;

statement:
  %empty
| INTERFACE text	{ DO(build_interface(p, $2, @2)); }
| SET WORD		{ DO(build_set(p, $2, @2)); }
	'{' set_body '}'	{ DO(build_set_end(p, @2)); }
| MAP WORD		{ DO(build_set(p, $2, @2)); p->set->map = true; }
	'{' set_body '}'	{ DO(build_set_end(p, @2)); }
| CHAIN WORD		{ DO(build_chain(p, $2, @2)); }
	'{' chain_body '}'	{ p->chain = NULL; }
| SERVICE WORD		{ DO(build_service(p, $2, @2)); }
	'{' service_body '}'	{ DO(build_service_end(p, @2)); }
;

/* sets */
set_body: %empty | set_body SEP | set_body set_statement;

set_statement:
  TYPE types
| TYPE types COLON WORD	{ DO(build_map_type(p, $4, @4)); }
| FLAGS set_flags
| COMMENT text		{ DO(build_set_comment(p, $2, @2)); }
| TIMEOUT WORD		{ DO(build_set_timeout(p, $2, @2)); }
| SIZE WORD		{ DO(build_set_size(p, $2, @2)); }
| COUNTER		{ DO(build_set_counter(p)); }
| ELEMENTS '=' '{'	{ DO(build_elements(p, @1)); }
	elements '}'
;

types:
  WORD			{ DO(build_set_type(p, $1, @1)); }
| types DOT WORD	{ DO(build_set_more(p, $3, @3)); }
;

set_flags:
  WORD			{ DO(build_set_flag(p, $1, @1)); }
| set_flags ',' WORD	{ DO(build_set_flag(p, $3, @3)); }
;

elements: %empty | list | list ',';
list: element | list ',' element;
loose: plain | loose plain | loose ',' plain;	/* words of a command line */
plain: parts notes		{ DO(build_element(p, @1)); };

notes: %empty | notes noted;
noted:
  TIMEOUT WORD			{ DO(build_note_time(p, $2, false, @2)); }
| EXPIRES WORD			{ DO(build_note_time(p, $2, true, @2)); }
| COUNTER			{ DO(build_note_counter(p, (struct slice){ "0", 1 }, (struct slice){ "0", 1 }, @1)); }
| COUNTER PACKETS WORD BYTES WORD	{ DO(build_note_counter(p, $3, $5, @3)); }
| COMMENT text			{ DO(build_note_comment(p, $2, @2)); }
;

element:
  plain
| parts COLON WORD		{ DO(build_element_verdict(p, $3, (struct slice){ 0 }, @3, @3) || build_element(p, @1)); }
| parts COLON WORD WORD		{ DO(build_element_verdict(p, $3, $4, @3, @4) || build_element(p, @1)); }
;

parts: part | parts DOT { DO(build_dot(p, @2)); } part;

part:
  bar				{ DO(build_value(p, &$1)); }
| word '-' WORD			{ DO(build_range(p, $1.first, $3, @1, @3)); }
| word '/' WORD			{ DO(build_prefix(p, $1.first, $3, @1, @3)); }
| SETREF			{ DO(refuse(p, @1, "a set inside a set is not supported")); }
;

bar:
  word
| bar '|' WORD			{ $$ = $1; DO(build_join(p, &$$, $3, @2, @3)); }
;

word:
  WORD				{ $$ = (struct group){ .first = $1, .at = @1, .n = 1 }; }
| STRING			{ $$ = (struct group){ .first = $1, .at = @1, .n = 1 }; }
;

/* chains */
chain_body: chain_statement | chain_body SEP chain_statement;

chain_statement:
  %empty
| POLICY WORD			{ DO(build_policy(p, $2, @2)); }
| AUDIT				{ DO(build_audit(p, @1)); }
| rule
;

rule: rule_body { DO(build_rule_end(p, @1)); };

rule_body:
  steps
| steps verdict
| steps note
| steps verdict note
| verdict
| verdict note
| note
;

steps: step | steps step;

step:
  match
| COUNTER			{ p->rule.counter = true; }
| limit				{ DO(build_limit_end(p)); }
| update SETREF			{ DO(build_update(p, p->rule.update.how, $2, @2)); }
	'{' keys update_time '}'	{ DO(build_update_end(p)); }
| mark
| LOG				{ p->rule.log = true; }
| LOG PREFIX text		{ DO(build_log_prefix(p, $3, @3)); }
| COUNTER PACKETS WORD BYTES WORD	{
	p->rule.counter = true;
	DO(build_number(p, $3, @3) || build_number(p, $5, @5));
}
;

update: ADD { p->rule.update.how = UPDATE_ADD; } | UPDATE { p->rule.update.how = UPDATE_RENEW; };
update_time: %empty | TIMEOUT WORD	{ DO(build_update_time(p, $2, @2)); };

mark: HEAD WORD ASSIGN		{ DO(build_mark(p, $1, @1)); } marking;

marking:
  WORD				{ DO(build_mark_value(p, $1, @1)); }
| WORD				{ DO(build_mark_itself(p, (struct slice){ 0 }, $1, @1)); } operations
| WORD WORD			{ DO(build_mark_itself(p, $1, $2, @1)); } operations
;

operations: operation | operations operation;
operation: operator WORD	{ DO(build_mark_operator(p, $1, $2, @2)); };
operator: AND { $$ = '&'; } | '&' { $$ = '&'; } | OR { $$ = '|'; } | '|' { $$ = '|'; } | XOR { $$ = '^'; } | '^' { $$ = '^'; };

limit: rate burst per;

rate:
  LIMIT RATE over WORD '/' WORD	{ DO(build_limit(p, $4, (struct slice){ 0 }, $6, @4, @4, @6)); }
| LIMIT RATE over WORD WORD '/' WORD	{ DO(build_limit(p, $4, $5, $7, @4, @5, @7)); }
;

over: %empty { p->rule.limit.over = false; } | OVER { p->rule.limit.over = true; };

burst: %empty | BURST WORD WORD	{ DO(build_burst(p, $2, $3, @2, @3)); };

per: %empty | PER per_keys;
per_keys: per_key | per_keys DOT per_key;
per_key:
  WORD WORD			{ DO(build_per(p, $1, $2, @1)); }
| WORD WORD '/' WORD		{ DO(build_per(p, $1, $2, @1) || build_per_length(p, $4, @4)); }
;

verdict:
  ACCEPT			{ p->rule.verdict = RULE_ACCEPT; }
| DROP				{ p->rule.verdict = RULE_DROP; }
| REJECT			{ DO(build_reject(p, slice_of("icmpx"), slice_of("port-unreachable"), @1, @1)); }
| REJECT WITH WORD WORD		{ DO(build_reject(p, $3, $4, @3, @4)); }
| REJECT WITH WORD TYPE WORD	{ DO(build_reject(p, $3, $5, @3, @5)); }
| RETURN			{ p->rule.verdict = RULE_RETURN; }
| JUMP WORD			{ DO(build_jump(p, RULE_JUMP, $2, @2)); }
| GOTO WORD			{ DO(build_jump(p, RULE_GOTO, $2, @2)); }
| keys VMAP			{ DO(build_tuples(p, true)); }
	vmap			{ DO(build_vmap_end(p)); }
;

vmap:
  '{' list '}'
| '{' list ',' '}'
| SETREF			{ DO(build_match_set(p, $1, @1)); }
;

keys: key | concatenation;
concatenation: key DOT key | concatenation DOT key;

note: COMMENT text		{ DO(build_comment(p, $2, @2)); };

text: STRING | WORD;

key:
  HEAD WORD			{ DO(build_key(p, &(struct key_words){ .head = $1, .field = $2 }, @1, @2)); }
| HEAD OPTION WORD		{ DO(build_key(p, &(struct key_words){ $1, $3, "option", NULL }, @1, @3)); }
| HEAD OPTION WORD SIZE		{ DO(build_key(p, &(struct key_words){ $1, $3, "option", "size" }, @1, @3)); }
| IFNAME			{ DO(build_key(p, &(struct key_words){ .head = $1 }, @1, @1)); }
| RAW				{ DO(build_raw(p, $1, @1)); }
;

match:
  key compare operand		{ DO(build_match_end(p)); }
| concatenation compare		{ DO(build_tuples(p, false)); }
	tuples			{ DO(build_match_end(p)); }
| key '!' flags			{ DO(build_match_none_of(p, &$3) || build_match_end(p)); }
| key '&' mask relation flags	{ DO(build_match_masked(p, &$3, &$5) || build_match_end(p)); }
;

tuples:
  '{' list '}'
| '{' list ',' '}'
| SETREF			{ DO(build_match_set(p, $1, @1)); }
;

compare: %empty { p->op = 0; } | relation | order;
relation: EQ { p->op = '='; } | NE { p->op = '!'; };

order:
  LT				{ DO(build_order(p, '<', @1)); }
| GT				{ DO(build_order(p, '>', @1)); }
| LE				{ DO(build_order(p, 'l', @1)); }
| GE				{ DO(build_order(p, 'g', @1)); }
;

operand:
  flags				{ DO(build_match_plain(p, &$1)); }
| flags '/' flags		{ DO(build_match_slash(p, &$1, &$3, @2)); }
| word '-' WORD			{ DO(build_range(p, $1.first, $3, @1, @3)); }
| '{' list '}'
| '{' list ',' '}'
| SETREF			{ DO(build_match_set(p, $1, @1)); }
;

flags: any | '(' any ')' { $$ = $2; };
mask: word | '(' any ')' { $$ = $2; };

any:
  word
| any ',' WORD			{ $$ = $1; DO(build_join(p, &$$, $3, @2, @3)); }
| any '|' WORD			{ $$ = $1; DO(build_join(p, &$$, $3, @2, @3)); }
;

/* services */
service_body: %empty | service_body SEP | service_body service_statement;

service_statement:
  LISTEN WORD '/' WORD		{ DO(build_listen(p, $2, $4, @2, @4)); }
| FORWARD WORD			{ DO(build_forward(p, $2, @2)); }
| backend
;

backend: BACKEND server;

server: WORD { DO(build_backend(p, $1, @1)); } weight;

weight: %empty | WEIGHT WORD { DO(build_weight(p, $2, @2)); };

%%

static void weir_error(struct loc *at, struct parse *p, const char *text)
{
	refuse(p, *at, "%s", text);	/* only the parser's own: its stack is bounded */
}

enum { SLASH = 5 };

/* How near to what was meant a symbol is: the nearest ones are listed. -1: never. */
static int distance(const struct parse *p, yysymbol_kind_t k)
{
	const char *name = yysymbol_name(k);

	if (k == YYSYMBOL_WORD)
		return 0;
	if (p->values && (k == YYSYMBOL_TIMEOUT || k == YYSYMBOL_EXPIRES || k == YYSYMBOL_COUNTER || k == YYSYMBOL_COMMENT))
		return -1;	/* behind an element: what it ends with is nearer */
	if (k >= YYSYMBOL_INTERFACE && k <= YYSYMBOL_RAW)
		return 1;
	if (k == YYSYMBOL_EQ || k == YYSYMBOL_NE || (name[0] == '\'' && strchr("{},=)", name[1])))
		return 2;
	return k == YYSYMBOL_SEP ? 3 : k == YYSYMBOL_YYEOF ? 4 : name[0] == '\'' && name[1] == '/' ? SLASH : -1;
}

static const char *shown(const struct parse *p, yysymbol_kind_t k)
{
	switch (k) {
	case YYSYMBOL_WORD: return p->expects ? p->expects : "a value";
	case YYSYMBOL_HEAD:
	case YYSYMBOL_IFNAME:
	case YYSYMBOL_RAW: return "a match";
	case YYSYMBOL_YYEOF: return "the end of the text";
	default: return distance(p, k) == SLASH ? "/tcp or /udp" : yysymbol_name(k);	/* only listen asks for the sign */
	}
}

/* The kinds of one distance behind what is in `list` already; they come in the order of the %token lines. */
static int list_words(const struct parse *p, const char **list, int n, const yysymbol_kind_t *kinds, int n_kinds, int at)
{
	for (int i = 0; i < n_kinds; i++)
		if (distance(p, kinds[i]) == at && (!n || strcmp(list[n - 1], shown(p, kinds[i]))))
			list[n++] = shown(p, kinds[i]);
	return n;
}

/* ", expected a, b or c"; a sign such as '{' loses its quotes. */
static void tell_expected(FILE *f, const struct parse *p, const yysymbol_kind_t *kinds, int n_kinds)
{
	const char *list[YYNTOKENS + 1];
	int n = 0;

	for (int at = 0; at <= SLASH && !n; at++)
		n = list_words(p, list, n, kinds, n_kinds, at);
	if (n <= 2 && n && distance(p, kinds[0]) != 0)
		n = list_words(p, list, n, kinds, n_kinds, 3);
	for (int i = 0; i < n; i++) {
		bool sign = list[i][0] == '\'';

		fprintf(f, "%s%.*s", i == 0 ? ", expected " : i == n - 1 ? " or " : ", ", sign ? 1 : 64, list[i] + sign);
	}
}

static void tell_unexpected(FILE *f, const struct parse *p, yysymbol_kind_t k)
{
	if (k == YYSYMBOL_YYEOF)
		fputs("unexpected end of the text", f);
	else if (k == YYSYMBOL_SEP && p->last.s[0] == '\n')
		fputs("unexpected end of line", f);
	else
		fprintf(f, "unexpected \"%s\"", SHOW(p->last));
}

static int yyreport_syntax_error(const yypcontext_t *context, struct parse *p)
{
	yysymbol_kind_t kinds[YYNTOKENS], k = yypcontext_token(context);
	struct loc at = *yypcontext_location(context);
	int n = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
	size_t size;
	char *text;
	FILE *f;

	if (k == YYSYMBOL_UNSUPPORTED)
		return refuse_foreign(p, at);
	if (k == YYSYMBOL_TYPE && p->chain)
		return refuse(p, at, "type and hook are not supported: a chain is bound by its name");
	if (k == YYSYMBOL_YYEOF && p->open)
		return refuse(p, at, "the text ends before the { of line %d is closed", p->open_lines[p->open - 1]);
	f = must(open_memstream(&text, &size));
	tell_unexpected(f, p, k);
	tell_expected(f, p, kinds, n);
	fclose(f);
	refuse(p, at, "%s", text);
	free(text);
	return 0;
}

