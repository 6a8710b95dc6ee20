/* SPDX-License-Identifier: GPL-2.0-only */
/* options: what the command line says (bench.c has the table). */
#pragma once
#include <stdbool.h>

struct options {
	const char *interface, *only, *headers, *name, *trial, *beside, *elements;
	unsigned long cpu, loads, repeats, packets, tenths;
	bool json, study, fair, bare;
	unsigned ifindex;
};
extern struct options options;
