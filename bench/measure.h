/* SPDX-License-Identifier: GPL-2.0-only */
/* measure: runs a trial's subjects in turn, and the unit in between, and fills in the trial's figures. */
#pragma once
#include "trial.h"

int unit_load(void);
double unit_now(void);		/* ns of H */

int trial_measure(struct trial *t);
