/* SPDX-License-Identifier: GPL-2.0-only */
/* judge: one frame asked twice: the program as it runs, and the model. They are two ways to the same answer, so where they differ one is wrong. */
#pragma once
#include "../loader/probe.h"
#include "explain.h"
#include "fields.h"

struct judge {
	struct config config;
	uint64_t generation;		/* 0: of a file, or nothing is in force */
	int chain;
	struct probe *probe;		/* NULL: the model alone */
	const char *interface;		/* or NULL */
	struct probed *probed;		/* of the last frame */
};

struct judgement {
	struct seen seen;
	struct explained explained;	/* unless seen.malformed */
	uint32_t live;			/* entry the program found; 0: it asked no rule */
	uint32_t live_mark;		/* what its rules made of the packet's mark */
	enum verdict verdict;		/* PASS, TX, REDIRECT or DROP */
	enum reason reason;		/* of DROP */
	char differs[256];		/* how program and model differ; empty: they agree */
};

/* Exit code. `differs` is not one. */
int judge(struct judge *j, const void *frame, unsigned int n, struct judgement *out);

extern const char *const reason_name[];		/* by enum reason */
