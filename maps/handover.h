/* SPDX-License-Identifier: GPL-2.0 */
/* handover: XDP metadata in front of a frame that tc shall send to a backend, because the next hop's MAC is not known yet. XDP writes, tc reads. */
#pragma once
#include <linux/types.h>

#define HANDOVER_MAGIC 0x77656972u

struct handover {
	__u32 magic;
	__u32 backend;
};
