/* SPDX-License-Identifier: GPL-2.0-only */
/* verdict: a judgement for people and scripts. */
#pragma once
#include "judge.h"

void verdict_tell(const struct judge *j, const struct judgement *r, const void *frame, unsigned int n);

/* A line or an object a frame; out_list_end() closes. */
void verdict_lines(void);
void verdict_tell_line(const struct judge *j, const struct judgement *r, uint64_t frame);
