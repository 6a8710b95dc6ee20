/* SPDX-License-Identifier: GPL-2.0-only */
/* instance: the run directory, its bpffs and the parameters all programs of the instance share. */
#pragma once
#include <stdbool.h>
#include "../maps/datapath.h"
#include "../maps/interface.h"

/* Make the run directory and mount its bpffs where they are missing. Exit code. */
int instance_prepare(void);

/* Is there a bpffs under the run directory? */
bool instance_mounted(void);

/* The shared parameters; made and pinned (one atomic step) when there are none. `flows`: IPv4 flows wanted then, 0 the default.
 * Exit code. */
int instance_datapath(struct datapath *d, unsigned long flows);

/* As above, but only read: EXIT_NOTHING when there is no instance. */
int instance_read(struct datapath *d);

/* Slot of an interface, by name and namespace; a new one when it has none. Writes *s. Slot number, or -1 after fail(). */
int instance_slot(const char *name, __u64 netns, struct interface_slot *s);
int instance_slot_write(int slot, const struct interface_slot *s);

/* The generation in force, 0: none. */
__u64 instance_generation(void);

/* Do the rules in force need programs with FEATURE_FULL? */
bool instance_full(void);

/* Remove everything of an instance without attached interfaces: maps, configuration. Exit code. */
int instance_remove(void);
