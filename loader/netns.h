/* SPDX-License-Identifier: GPL-2.0-only */
/* netns: work inside another network namespace and come back. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/* Enter the namespace named (below /run/netns) or given as a path; NULL or "": stay. *inode: of the namespace entered. Exit code. */
int netns_enter(const char *name, __u64 *inode);
int netns_leave(void);

/* Name of the namespace with this inode: "" for the current one, a name below /run/netns, or "inode:N". */
const char *netns_name(__u64 inode, char *buf, size_t size);

/* Was this process started in a namespace that has a name below /run/netns, as `ip netns exec` does it? */
bool netns_home_is_named(void);

/* Enter by inode (the current one or one below /run/netns). 0 or -1. */
int netns_enter_inode(__u64 inode);
