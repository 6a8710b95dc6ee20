/* SPDX-License-Identifier: GPL-2.0-only */
/* check: config_check() with the text at hand, so that what was parsed from it is shown with a caret. */
#pragma once
#include "config.h"

int check_text(struct config *c, const char *file, const char *text);
char *text_line(const char *text, int line);	/* a copy of the line, counted from 1 */
