/* SPDX-License-Identifier: GPL-2.0-only */
/* samples: measurements of one thing, and their quantiles. */
#pragma once

#define MAX_SAMPLES 512

struct samples {
	double v[MAX_SAMPLES];
	int n;
};

void sample(struct samples *s, double v);		/* beyond MAX_SAMPLES: not kept */
double quantile(struct samples *s, double q);		/* sorts; 0.5 for the median, NAN of none */
