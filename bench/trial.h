/* SPDX-License-Identifier: GPL-2.0-only */
/* trial: what is measured in one go: subjects that get the same packets in turn, and figures, differences between two of them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define MAX_SUBJECTS 5
#define MAX_FIGURES 5

/* A program behind the feeder. Without a name: the feeder's floor, which only changes the length as the trial says. */
struct subject {
	const char *object;	/* xdp, tc: the datapath's; others are below out/bench/ */
	const char *program;
	unsigned features;
	bool beside;		/* with the tables of the second instance */
	unsigned verdict;	/* if it is not the trial's */
};

struct figure {
	const char *name;
	int of, off;		/* ns of one subject less those of another; of `times`: earlier figures, one divided by the other */
	double limit;		/* in H, or times the figure `than` at as many flows; 0: none */
	const char *than;
	bool times;
	bool least;		/* the limit is one from below */
	/* results */
	double ns, low, high, h, unit;
	unsigned verified;
};

struct trial {
	const char *name;	/* those of the command line have one, and may share it */
	int family;
	unsigned flows;
	const char *to;		/* destination address; port 443 */
	unsigned grows;
	unsigned verdict;	/* 0: each packet has its own */
	bool headers;		/* packets are those of a file, which all hit a rule if `decided` */
	bool decided;
	unsigned sources;	/* each packet's source is one of so many, at random; `flows` is what is printed */
	bool opens;		/* each packet opens its flow: tables are emptied */
	struct subject subject[MAX_SUBJECTS];
	struct figure figure[MAX_FIGURES];
};

static inline int trial_subjects(const struct trial *t)
{
	int n = 1;	/* the first may be the floor */

	while (n < MAX_SUBJECTS && t->subject[n].program)
		n++;
	return n;
}

static inline int trial_figures(const struct trial *t)
{
	int n = 0;

	while (n < MAX_FIGURES && t->figure[n].name)
		n++;
	return n;
}

/* trials.c */
extern struct trial pipeline_trials[], layout_trials[], named_trials[];
extern const unsigned n_pipeline_trials, n_layout_trials, n_named_trials;

/* What the verifier goes through for the whole of each program: printed, not measured. */
struct whole { const char *name; struct subject subject; };
extern const struct whole wholes[];
extern const unsigned n_wholes;
