/* SPDX-License-Identifier: GPL-2.0-only */
/* owner: whose is the XDP program that stands in our way. */
#pragma once
#include <stddef.h>

/* "xdp_filter (id 12, loaded by uid 0, held by xdp-filter[123])"; buf is returned. Called in the interface's namespace. */
const char *owner_of_xdp(int ifindex, char *buf, size_t size);
