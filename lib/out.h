/* SPDX-License-Identifier: GPL-2.0-only */
/* out: verbs emit keys and values, only out.c knows formats: a table for people (libsmartcols), or one JSON document
 * (json-c). A key is the JSON name; its upper case is the column's heading. Calls nest:
 *
 *	out_list("services");			{"services":[
 *	out_row();				  {
 *	out_text("name", "web");		   "name":"web",
 *	out_list("backends");			   "backends":[	in a table: child lines of a tree
 *	out_row(); out_number("weight", 1);	     {"weight":1}
 *	out_list_end();				   ]}
 *	out_list_end();				]}
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

void out_start(bool json);	/* once, before all else */
bool out_is_json(void);
void out_list(const char *key);	/* an array: of the document, or inside a row */
void out_row(void);		/* the next object of the innermost list */
void out_list_end(void);
void out_object(const char *key);	/* a nested object; in a table its keys are plain "key.name" columns */
void out_object_end(void);
void out_text(const char *key, const char *value);	/* NULL: null, an empty cell */
void out_number(const char *key, uint64_t value);
void out_signed(const char *key, int64_t value);
void out_bool(const char *key, bool value);	/* table: yes / no */
void out_address(const char *key, int family, const void *addr);	/* AF_INET or AF_INET6, network order */
void out_ns(const char *key, uint64_t ns);	/* JSON: ns. Table: readable ("1.5s", "23ms") */
void out_hidden(bool hide);	/* keys until out_hidden(false) are in JSON only */
void out_strings(const char *key, const char *const *values, int n);	/* array of text; table: joined by ", " */
void out_column(const char *key, int width);	/* before out_lines(), a column of its table; negative width: left-aligned */
void out_lines(void);		/* rows of the outermost list are printed as they come: one JSON object a line, no document
				 * around them, or a header and the declared columns in this order (other keys are skipped) */
void out_csv(void);		/* as out_lines(), the columns separated by commas */
int out_flush(void);		/* lines mode: end the current row and print what is there; as out_finish() */
int out_finish(void);		/* print what is left; 0 or an exit code (standard output closed, disk full) */
