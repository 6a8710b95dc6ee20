/* SPDX-License-Identifier: GPL-2.0-only */
/* jiffies: the clock that programs read for nothing, as user space can know it. */
#pragma once
#include <stdint.h>

uint64_t jiffy_ns(void);		/* of one */
uint64_t jiffies_now64(void);		/* jiffies_64; where the kernel does not say, by its clock: to a quarter of a second */
