/* SPDX-License-Identifier: GPL-2.0-only */
/* print: see print.h. */
#include <stdio.h>
#include <string.h>
#include "feed.h"
#include "measure.h"
#include "options.h"
#include "print.h"
#include "program.h"
#include "../lib/err.h"

static bool first = true;

/* In H, or as a multiple; 0: none. */
static double limit_of(const struct trial *t, const struct figure *f)
{
	if (!f->than)
		return f->limit;
	for (unsigned i = 0; i < n_pipeline_trials; i++) {
		const struct trial *other = &pipeline_trials[i];

		if (other->figure[0].ns > 0 && other->flows == t->flows && !strcmp(other->figure[0].name, f->than))
			return f->limit * other->figure[0].h;
	}
	return 0;
}

/* A trial of the command line may have a name for all of its figures. */
static const char *name_of(const struct figure *f)
{
	static char text[128];

	if (!options.name)
		return f->name;
	snprintf(text, sizeof(text), *f->name ? "%s: %s" : "%s", options.name, f->name);
	return text;
}

static void print_json(const struct trial *t, const struct figure *f, double limit)
{
	printf("%s{\"name\":\"%s\",\"flows\":%u,", first ? "" : ",\n", name_of(f), t->flows);
	if (f->times)
		printf("\"times\":%.3f,\"%s\":", f->h, f->least ? "least" : "most");
	else
		printf("\"ns\":%.2f,\"ns_quartiles\":[%.2f,%.2f],\"h_ns\":%.2f,\"h\":%.3f,\"h_limit\":", f->ns, f->low, f->high, f->unit, f->h);
	if (limit > 0)
		printf("%.3f,", limit);
	else
		printf("null,");
	printf("\"verified_insns\":%u}", f->verified);
}

static void print_row(const struct trial *t, const struct figure *f, double limit)
{
	if (first && !options.bare)
		printf("%-46s %8s %8s %17s %7s %7s %9s\n", "", "FLOWS", "NS", "QUARTILES", "H", "LIMIT", "VERIFIED");
	printf("%-46s %8u ", name_of(f), t->flows);
	if (f->times)
		printf("%8s %17s %6.2fx ", "", "", f->h);
	else
		printf("%8.1f %8.1f %8.1f %7.2f ", f->ns, f->low, f->high, f->h);
	if (limit > 0)
		printf("%6.2f%s", limit, (f->least ? f->h < limit : f->h > limit) ? "!" : " ");
	else
		printf("%7s", "");
	if (f->verified)
		printf(" %9u", f->verified);
	putchar('\n');
	fflush(stdout);
}

void print_begin(void)
{
	if (options.json)
		printf("{\"rows\":[");
}

void print_trial(const struct trial *t)
{
	for (int k = 0; k < trial_figures(t); k++) {
		const struct figure *f = &t->figure[k];

		(options.json ? print_json : print_row)(t, f, limit_of(t, f));
		first = false;
	}
}

int print_wholes(void)
{
	printf(options.json ? "],\n\"programs\":[" : "\n%-46s %8s\n", "", "VERIFIED");
	for (unsigned i = 0; i < n_wholes; i++) {
		unsigned verified = subject_verified(&wholes[i].subject);

		if (!verified)
			return EXIT_FAILED;
		if (options.json)
			printf("%s{\"name\":\"%s\",\"verified_insns\":%u}", i ? ",\n" : "", wholes[i].name, verified);
		else
			printf("%-46s %8u\n", wholes[i].name, verified);
	}
	return 0;
}

void print_end(void)
{
	if (options.json)
		printf("]}\n");
	else if (!first && !options.bare)
		printf("\nH: one hit in a BPF hash of %d entries, here %.1f ns. NS: median of %lu loads x %lu pairs (5 to 22 of 64k flows and more), net of the floor.\n",
		       COST_ENTRIES, unit_now(), options.loads, options.repeats);
}
