/* SPDX-License-Identifier: GPL-2.0-only */
/* test: the verb `rule test`. */
#pragma once
#include "../lib/opt.h"

int rule_test(int argc, char **argv);
extern const struct opt test_opts[];
