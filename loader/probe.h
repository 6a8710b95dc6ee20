/* SPDX-License-Identifier: GPL-2.0-only */
/* probe: frames through the programs of an attached interface, without a trace: the same instructions (their tags are compared), constants and tables
 * of rules and services, but accounts, flows and scratch of their own. The attached program itself would count what it is shown, and counting back
 * races with the traffic. */
#pragma once
#include <stdbool.h>
#include "../maps/interface.h"
#include "../maps/reason.h"
#include "../xdp/key.h"

struct probe;

/* By the interface's name; NULL: the only one. Takes the program that runs the chain ingress or egress there. Exit code. */
int probe_open(struct probe **out, const char *interface, bool egress);
void probe_close(struct probe *p);	/* NULL is fine */

const struct interface_slot *probe_interface(const struct probe *p);
enum hook probe_hook(const struct probe *p);

struct probed {
	enum verdict verdict;
	enum reason reason;		/* of DROP */
	bool classified;		/* the filter was asked: key holds what it saw, and what it found */
	struct filter_key key;
	unsigned char frame[1 << 17];	/* as the program left it */
	unsigned int n;
};

/* Each frame is the first of its flow. Exit code. */
int probe_run(struct probe *p, const void *frame, unsigned int n, struct probed *out);
