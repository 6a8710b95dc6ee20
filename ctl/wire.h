/* SPDX-License-Identifier: GPL-2.0-only */
/* wire: the datapath's parser and the layouts it reads, natively compiled. Each file that includes it has its own copy. */
#pragma once
#include <linux/types.h>

#pragma GCC diagnostic ignored "-Wunknown-pragmas"	/* clang's unroll */
#define __noinline static __attribute__((noinline, unused))
struct frame_context { void *data, *data_end; };
#define PARSE_CONTEXT struct frame_context
#include "../xdp/parse.h"

#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"

enum { WIRE_ALIGN = 2 };	/* as network cards do it: what stands behind Ethernet is on words of 32 bits */

/* A frame where the parser may read it; the block to free() is *block. */
static inline struct frame_context wire_frame(void **block, const void *frame, size_t n)
{
	char *at = must(malloc(n + WIRE_ALIGN)) + WIRE_ALIGN;

	*block = at - WIRE_ALIGN;
	memcpy(at, frame, n);
	return (struct frame_context){ at, at + n };
}
