/* SPDX-License-Identifier: GPL-2.0-only */
/* wire: the datapath's parser and the layouts it reads, natively compiled. Each file that includes it has its own copy. */
#pragma once
#include <linux/types.h>

#pragma GCC diagnostic ignored "-Wunknown-pragmas"	/* clang's unroll */
#define __noinline static __attribute__((noinline, unused))
struct frame_context { void *data, *data_end; };
#define PARSE_CONTEXT struct frame_context
#include "../xdp/parse.h"
