/* SPDX-License-Identifier: GPL-2.0-only */
/* active: which generation is in force, the lock of who changes it, the files of their texts. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

int active_lock(void);				/* until the process ends; may be asked for again */
int active_read(uint64_t *active);		/* number << 8 | slot, as control.active has it */
int active_switch(uint64_t number, uint32_t slot);	/* what packets see; all else must have been done */
/* The same where rules may have changed; `full`: they need FEATURE_FULL, so all interfaces get such programs first. */
int active_switch_rules(uint64_t number, uint32_t slot, bool full);
const char *active_text(uint64_t number);	/* path, in a buffer of run_path() */
/* The path of a text to be: what a command that was killed left there is gone. It may be another name of the text in force. */
const char *active_fresh_text(uint64_t number);
void active_forget_texts(uint64_t keep);	/* of generations that are over */
