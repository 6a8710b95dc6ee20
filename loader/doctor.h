/* SPDX-License-Identifier: GPL-2.0-only */
/* doctor: check what weir needs of the kernel, the process and an interface, and explain. */
#pragma once

/* ifname NULL: kernel and process only. Exit code: EXIT_FAILED when a check fails. */
int doctor(const char *ifname, const char *netns);
