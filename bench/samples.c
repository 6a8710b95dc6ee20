/* SPDX-License-Identifier: GPL-2.0-only */
/* samples: see samples.h. */
#include <math.h>
#include <stdlib.h>
#include "samples.h"

void sample(struct samples *s, double v)
{
	if (s->n < MAX_SAMPLES)
		s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double quantile(struct samples *s, double q)
{
	qsort(s->v, s->n, sizeof(*s->v), by_value);
	return s->n ? s->v[(int)(q * (s->n - 1) + 0.5)] : NAN;
}
