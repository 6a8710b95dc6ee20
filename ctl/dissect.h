/* SPDX-License-Identifier: GPL-2.0-only */
/* dissect: a frame in one line, in the words that `rule test` takes where it has them. */
#pragma once
#include <stddef.h>

/* `captured` bytes of a frame of `n`. */
void dissect(char *to, size_t size, const void *frame, unsigned int captured, unsigned int n);
