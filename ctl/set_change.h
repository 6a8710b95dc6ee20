/* SPDX-License-Identifier: GPL-2.0-only */
/* set_change: elements of a set come and go. */
#pragma once

enum set_change { SET_CHANGE_ADD, SET_CHANGE_DEL, SET_CHANGE_ALL };	/* ALL: these and no others */

/* In place where the set has a table of its own, else by a new generation. `name`: of the text, for errors; NULL: words of the command line. All of the text or
 * nothing of it. Exit code. */
int set_change(const char *set, enum set_change how, const char *name, const char *text);
