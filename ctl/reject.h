/* SPDX-License-Identifier: GPL-2.0-only */
/* reject: the kinds of maps/reject.h in words. */
#pragma once
#include <stdint.h>
#include <stdio.h>

/* What a packet must be for this answer, as a match would ask for it; 0: anything. */
uint8_t reject_family(uint8_t kind);
uint8_t reject_proto(uint8_t kind);
void reject_print(FILE *f, uint8_t kind);
