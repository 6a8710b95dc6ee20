/* SPDX-License-Identifier: GPL-2.0-only */
/* import_nft: tables of nft as they were read: what import_nft_read.c fills and import_nft.c takes. */
#pragma once
#include "import.h"
#include "import_scan.h"

struct nft_rule { char *text; int line; };

struct nft_chain {
	char *name, *ours, *hook, *type, *device;
	int line, priority, hook_line;
	bool drops;		/* its policy */
	struct nft_rule *rules;
	int n_rules;
};

struct nft_set { char *name, *ours, *body; bool map; int line; };

struct nft_table {
	char *family, *name;
	struct nft_chain *chains;
	struct nft_set *sets;
	int n_chains, n_sets;
};

struct nft {
	struct import *im;
	struct scan scan;
	struct nft_table *tables;
	int n_tables;
};

void nft_read(struct nft *n);	/* the whole text; what is no table is left out */
