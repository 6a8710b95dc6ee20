/* SPDX-License-Identifier: GPL-2.0 */
/* lpm: keys of the tries that sets are compared with. */
#pragma once
#include <linux/types.h>

#define LPM_ENTRIES (1 << 20)

struct lpm_key4 { __u32 length, address; };		/* in bits; network order */
struct lpm_key6 { __u32 length, address[4]; };

#ifndef __bpf__
#include <bpf/libbpf.h>

/* Both maps of the object are those that all loads share; filled from the file of elements at the first call. */
int lpm_share(struct bpf_object *o);
#endif
