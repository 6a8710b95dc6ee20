/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* fail() with EXIT_NOTHING: what service.c and backend.c say alike. */
int no_such_service(const char *name);
