/* SPDX-License-Identifier: GPL-2.0-only */
/* marks: where marks of a configuration that has just been applied get lost. */
#pragma once
#include "config.h"

void marks_note(const struct config *c);
