/* SPDX-License-Identifier: GPL-2.0-only */
/* footprint: the memory of the configuration's tables. */
#pragma once

/* The verb `memory`: one row for each chain's tables, of the generation in force and of the one before, whose maps the next one is written into, and for each set's. */
int footprint_verb(int argc, char **argv);
