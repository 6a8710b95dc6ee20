/* SPDX-License-Identifier: GPL-2.0-only */
/* ring: backends with weights → slots of a consistent-hash ring. Deterministic: the same backends give the same ring on every node. */
#pragma once
#include <stdint.h>
#include "config.h"

/* Slots of the ring for that many backends that take new flows: a power of two. */
uint32_t ring_size(int n_backends);

/* Fill ring[size] with indices into backends. Each gets the nearest whole number of slots to its weight's share, largest remainders first;
 * within its quota a slot goes to the backend that scores highest for it (rendezvous hashing: Thaler and Ravishankar 1998; weighted scores
 * after Schindelhauer and Schomaker 2005), so that few slots move when the pool changes. Backends of weight 0 get none. Returns how many
 * backends take part; 0: ring is untouched. */
int ring_build(uint16_t *ring, uint32_t size, const struct backend *backends, int n);
