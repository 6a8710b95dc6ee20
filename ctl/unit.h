/* SPDX-License-Identifier: GPL-2.0-only */
/* unit: what the bits of the filter's tables stand for. Of few rows each is one; of many, those of a common shape share a hash table. */
#pragma once
#include "flatten.h"

/* A row, or a part of one whose values are not one prefix and one range, as it stands in a group. Addresses stand left in their words. */
struct part {
	__u64 saddr[2], daddr[2];
	uint16_t sport[2], dport[2];	/* from, to */
	uint8_t slength, dlength;	/* of the prefixes */
	uint8_t proto, proto_mask;
	uint8_t family;
	bool needs_ports;
	uint32_t entry;
	uint32_t row;			/* index */
	uint32_t unit;
};

struct unit {
	uint32_t position;	/* of the first row */
	uint32_t row;		/* index, when it is one row */
	int group;		/* index, or -1 */
};

struct group {
	struct filter_group masks;	/* without the place and number of its buckets */
	uint32_t *parts;		/* indices */
	uint32_t n_parts;
};

struct units {
	struct unit *unit;	/* in the order of their positions */
	struct group *group;
	struct part *part;
	uint32_t n_units, n_groups, n_parts;
	uint32_t *unit_of;	/* a row's unit when it is one row; ~0: its parts are in groups */
};

/* More rows than this are put in groups where they can be. */
enum { UNITS_UNGROUPED = 2048 };

/* `grouped`: whether to group at all. Units are at most FILTER_MAX_UNITS, or EXIT_FAILED after fail(). */
int units_make(struct units *u, const struct rows *rows, bool grouped);
uint32_t part_hash(const struct filter_group *g, const struct part *p);	/* its bucket */

/* Append the parts of a row for packets of a family (4 or 6), none where it matches none of them, under `entry`; what it asks beside addresses, ports and protocol is left out. False: they
 * would be more than `most`, of UNITS_PARTS. */
enum { UNITS_PARTS = 1024 };
bool units_cut(struct units *u, const struct row *r, uint32_t index, int family, uint32_t entry, int most);
void units_free(struct units *u);
