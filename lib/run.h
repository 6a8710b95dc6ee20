/* SPDX-License-Identifier: GPL-2.0-only */
/* run: where an instance lives: /run/weir, or --run-dir DIR, or WEIR_RUN_DIR. DIR/bpf is a bpffs with maps/ and links/; DIR/config/
 * has the text of each generation; DIR/lock is held by whoever changes anything. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

extern const char *run_dir;		/* set by the option before anything is asked */

const char *run_dir_get(void);		/* the directory in force */

/* printf-style path below the run directory, in one of eight static buffers. */
const char *run_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Take the instance's lock (waits at most ten seconds); held until the process ends. Returns an exit code. */
int run_lock(void);

/* Open a pinned map by name, if the instance's tables are of our schema. Returns an fd, or -1 after fail(). */
int run_map(const char *name, bool write);

/* mmap a whole array map. *size: bytes mapped. NULL after fail(). */
void *run_map_memory(const char *name, bool write, size_t *size);
