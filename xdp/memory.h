/* SPDX-License-Identifier: GPL-2.0 */
/* memory: where a chain's memory is (maps/rule.h). */
#pragma once
#include "../maps/rule.h"
#include "words.h"
#include <bpf/bpf_helpers.h>

static __always_inline const void *filter_memory(__u32 chain, __u32 size)
{
	void *outer = size == FILTER_SMALL ? (void *)&filter_small : size == FILTER_MEDIUM ? (void *)&filter_medium : (void *)&filter_large;
	void *inner = bpf_map_lookup_elem(outer, &chain);

	return inner ? bpf_map_lookup_elem(inner, &first_element) : 0;
}
