/* SPDX-License-Identifier: GPL-2.0 */
/* handover: XDP metadata in front of a frame that tc shall mark, or send to a backend because the next hop's MAC is not known yet. XDP writes, tc reads:
 * all that it needs, so that it does not parse again. It stands at the end of metadata that is larger by a MAC header and a bit: after
 * generic XDP tc may see the packet from layer 3 on, and its metadata 14 bytes off (see tc/main.bpf.c). */
#pragma once
#include <linux/types.h>

#define HANDOVER_MAGIC 0x77656972u
#define HANDOVER_META 32	/* bytes of metadata: as many as kernels before 6.12 have */
#define HANDOVER_MARKED 8
#define HANDOVER_AT 16		/* where in them */
#define HANDOVER_AT_L3 2	/* and where they seem to be when the MAC header is not counted */

struct handover {
	__u32 magic;
	__u16 backend;		/* 0: none, only marked */
	__u16 total;		/* IP bytes */
	__u16 frame_len;
	__u8 tos;
	__u8 family_vlans;	/* family << 4 | HANDOVER_MARKED | VLAN tags */
	__u32 mark;
} __attribute__((packed));
_Static_assert(sizeof(struct handover) == HANDOVER_META - HANDOVER_AT, "the end of the metadata");
