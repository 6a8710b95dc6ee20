/* SPDX-License-Identifier: GPL-2.0-only */
/* attach: interfaces and the programs on their hooks, as one step each. All return exit codes. */
#pragma once
#include <stdbool.h>
#include "hooks.h"
#include "../maps/interface.h"

struct attach_options {
	const char *netns;	/* name or path; NULL: here */
	enum mode mode;		/* of XDP */
	bool chain, clsact, decap, no_frags, no_flows, no_balance, full;
	unsigned hooks;		/* bitmap of enum hook */
	unsigned long flows;	/* room for IPv4 flows, when the instance is made; 0: default */
	unsigned long inserts;	/* new flows a second and CPU */
};

int attach(const char *ifname, const struct attach_options *o);
int detach(const char *ifname, const char *netns);
int detach_all(void);
int upgrade(void);

/* Programs with FEATURE_FULL for all interfaces that have others, before rules that need it come into force. The lock is held. Those that were not replaced when it fails, or the process ends, are
 * as they were. */
int attached_need_full(void);

/* One attached interface with its hooks. */
struct attached {
	int slot;
	struct interface_slot interface;
	struct hook_state hooks[HOOK_COUNT];
	char pins[HOOK_COUNT][32];
	int n_hooks;
};

/* Read what is attached as `slot`; false: nothing. */
bool attached_read(int slot, struct attached *a);

/* The constants of an interface's programs. */
struct program_config attach_config(int slot, const struct interface_slot *s, const struct datapath *d);

/* Call f for each attached interface, in order of slots; stops at the first non-zero answer and returns it. */
int attached_each(int (*f)(const struct attached *a, void *data), void *data);
