/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_owner: which process has an end of a flow. */
#pragma once
#include <stdbool.h>
#include "../maps/session.h"
#include "flow.h"

/* Look at all sockets of the host, once. An exit code. */
int tcp_owners_read(void);

/* The owner of the flow's source or destination; NULL: not on this host, or no TCP. */
const struct session_process *tcp_owner_of(const struct flow_view *v, bool destination);
