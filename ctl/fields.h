/* SPDX-License-Identifier: GPL-2.0-only */
/* fields: a frame → the values that rules ask for, by the datapath's own parser and readers of fields, natively compiled. */
#pragma once
#include "compile.h"
#include "../xdp/packet.h"

struct seen {
	struct pkt pkt;
	struct field_values values;
	enum reason malformed;		/* 0: the filter is asked */
};

/* What the hook knows beside the bytes. */
struct beside_frame {
	const char *interface;		/* NULL: none, rules on its name do not match */
};

void fields_read(struct seen *out, const struct config *c, const void *frame, size_t n, const struct beside_frame *beside);
