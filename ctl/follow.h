/* SPDX-License-Identifier: GPL-2.0-only */
/* follow: the reader of the log's ring. It says by a lease that it reads: whoever is killed has left a moment later. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "../maps/log.h"

struct follow_sink {
	int (*record)(void *ctx, const struct log_record *r);	/* what is not 0 ends it: an exit code */
	int (*batch)(void *ctx);				/* after each look at the ring */
	void *ctx;
	bool drops;		/* dropped packets too */
	uint64_t duration_ns;	/* 0: until SIGINT or SIGTERM */
};

struct follow_totals {
	uint64_t sent, suppressed, lost;	/* since it began */
};

int follow(const struct follow_sink *sink, struct follow_totals *totals);
