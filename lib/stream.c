/* SPDX-License-Identifier: GPL-2.0-only */
/* stream: what goes to standard output, through one buffer; a write error is kept. Not for two threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "err.h"
#include "stream.h"

struct stream stream;

void stream_flush(void)
{
	size_t done = 0;

	while (done < stream.len && !stream.error) {
		ssize_t n = write(STDOUT_FILENO, stream.data + done, stream.len - done);

		if (n >= 0)
			done += n;
		else if (errno != EINTR)
			stream.error = errno;
	}
	stream.len = 0;
}

static char *reserve(size_t n)
{
	if (stream.len + n > stream.size) {
		size_t size = (stream.len + n) * 2 + STREAM_FULL;

		stream.data = must(realloc(stream.data, size));
		stream.size = size;
	}
	return stream.data + stream.len;
}

void put(const char *s, size_t n)
{
	memcpy(reserve(n), s, n);
	stream.len += n;
}

void put_text(const char *s)
{
	put(s, strlen(s));
}

void put_char(char c)
{
	*reserve(1) = c;
	stream.len++;
}

/* Length of the UTF-8 sequence at s (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF), 0 if it is none. */
static int utf8_length(const unsigned char *s)
{
	unsigned int least = 0x80, most = 0xbf;
	int n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (s[0] == 0xe0)
		least = 0xa0;
	else if (s[0] == 0xed)
		most = 0x9f;
	else if (s[0] == 0xf0)
		least = 0x90;
	else if (s[0] == 0xf4)
		most = 0x8f;
	for (int i = 1; i < n; i++, least = 0x80, most = 0xbf)
		if (s[i] < least || s[i] > most)
			return 0;
	return n;
}

void put_string(const char *s)
{
	static const char hex[] = "0123456789abcdef";
	const char *short_form;

	put_char('"');
	while (*s) {
		unsigned char c = *s;
		int n = utf8_length((const unsigned char *)s);

		if (!n) {
			put_text("\\ufffd");	/* JSON is UTF-8; names of processes are any bytes */
			s++;
		} else if (c >= 0x20 && c != '"' && c != '\\') {
			put(s, n);
			s += n;
		} else {
			short_form = strchr("\"\"\\\\\bb\ff\nn\rr\tt", c);
			put_char('\\');
			if (short_form)
				put_char(short_form[1]);
			else
				put((char []){ 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 5);
			s++;
		}
	}
	put_char('"');
}

void put_spaces(int n)
{
	if (n > 0) {
		memset(reserve(n), ' ', n);
		stream.len += n;
	}
}

void stream_free(void)
{
	free(stream.data);
	stream.data = NULL;
	stream.len = stream.size = 0;
}
