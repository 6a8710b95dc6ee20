/* SPDX-License-Identifier: GPL-2.0-only */
/* interfaces: slot number → name, for reports. */
#pragma once
#include "../maps/interface.h"

/* Read all slots; a static table, NULL after fail(). */
const struct interface_slot *interfaces_read(void);
