/* SPDX-License-Identifier: GPL-2.0-only */
/* status: report what is attached, to out. Exit code; EXIT_NOTHING without an instance. */
#pragma once

int status(void);
