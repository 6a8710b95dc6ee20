/* SPDX-License-Identifier: GPL-2.0-only */
/* hooks: one program on one hook of one interface, held by a pin below bpf/links/SLOT/. The pin's name says hook and mode: "xdp-native",
 * "xdp-skb", "tc-ingress-tcx" are links; "tc-egress-clsact" and "xdp-chain" are pinned programs, since there is no link to pin. */
#pragma once
#include <stdbool.h>
#include "../maps/datapath.h"

enum mode { MODE_NATIVE, MODE_SKB, MODE_AUTO, MODE_TCX, MODE_CLSACT, MODE_CHAIN, MODE_COUNT };
extern const char *const mode_name[MODE_COUNT];

struct hook_state {
	enum hook hook;
	enum mode mode;
	__u32 prog_id, link_id;
	int ifindex;		/* 0: the device is gone */
};

/* Attach prog to the hook of ifindex in the current namespace and pin it below `dir`. *mode: what is asked for, then what was obtained. Exit
 * code; nothing is left behind on failure. */
int hook_attach(enum hook hook, enum mode *mode, int prog, const char *ifname, int ifindex, const char *dir);

/* What stands behind a pin; `pin` is its file name in `dir`. false: no such thing. */
bool hook_read(const char *dir, const char *pin, struct hook_state *h);

/* Put prog in the place of the program in force. Called in the interface's namespace. */
int hook_update(const char *dir, const char *pin, const struct hook_state *h, int prog);

/* Detach and unpin. Called in the interface's namespace when that exists. */
int hook_detach(const char *dir, const char *pin, const struct hook_state *h);
