/* SPDX-License-Identifier: GPL-2.0-only */
/* interfaces: slot number → name, for reports. */
#include <bpf/bpf.h>
#include <unistd.h>
#include "../lib/run.h"
#include "interfaces.h"

const struct interface_slot *interfaces_read(void)
{
	static struct interface_slot slots[MAX_INTERFACES];
	int fd = run_map("interfaces", false);

	if (fd < 0)
		return NULL;
	for (__u32 i = 1; i < MAX_INTERFACES; i++)
		bpf_map_lookup_elem(fd, &i, &slots[i]);
	close(fd);
	return slots;
}
