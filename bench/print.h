/* SPDX-License-Identifier: GPL-2.0-only */
/* print: figures as a table, or as one JSON document. */
#pragma once
#include "trial.h"

void print_begin(void);
void print_trial(const struct trial *t);
int print_wholes(void);
void print_end(void);
