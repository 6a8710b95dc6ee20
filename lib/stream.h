/* SPDX-License-Identifier: GPL-2.0-only */
/* stream: what goes to standard output, through one buffer. */
#pragma once
#include <stddef.h>

enum { STREAM_FULL = 256 << 10 };	/* bytes after which it is worth writing */

extern struct stream {
	char *data;
	size_t len, size;
	int error;			/* errno of the first failed write */
} stream;

void put(const char *s, size_t n);
void put_text(const char *s);
void put_char(char c);
void put_spaces(int n);
void put_string(const char *s);		/* as a JSON string (RFC 8259); what is not UTF-8 becomes U+FFFD */
void stream_flush(void);
void stream_free(void);
