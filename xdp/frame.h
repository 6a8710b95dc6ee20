/* SPDX-License-Identifier: GPL-2.0 */
/* frame: how long a frame is that may have more buffers than the one between data and data_end. The helper that knows costs more than the parser
 * (16 to 20 ns), so the kernel's own flag is read first. */
#pragma once
#include "program.h"

#define XDP_HAS_FRAGS 1		/* XDP_FLAGS_HAS_FRAGS, include/net/xdp.h, since 5.18 */

struct xdp_buff {
	__u32 flags;
} __attribute__((preserve_access_index));

/* The verifier makes a register move of it. Kernel 6.2. */
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;
extern int LINUX_KERNEL_VERSION __kconfig;
#define KERNEL_6_2 0x60200

static __always_inline __u32 frame_length(struct xdp_md *ctx)
{
	struct xdp_buff *x;

	if (LINUX_KERNEL_VERSION < KERNEL_6_2)
		return bpf_xdp_get_buff_len(ctx);
	x = bpf_cast_to_kern_ctx(ctx);
	if (x->flags & XDP_HAS_FRAGS)
		return bpf_xdp_get_buff_len(ctx);
	return ctx->data_end - ctx->data;
}
