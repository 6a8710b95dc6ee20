/* SPDX-License-Identifier: GPL-2.0-only */
/* pcapng: blocks of 32-bit words, each with its length in front and behind. Byte order is the host's: the section header tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "pcapng.h"

enum { BLOCK_SECTION = 0x0a0d0d0a, BLOCK_INTERFACE = 1, BLOCK_PACKET = 6 };
enum { OPTION_END = 0, OPTION_COMMENT = 1, OPTION_NAME = 2, OPTION_APPLICATION = 4, OPTION_RESOLUTION = 9 };
enum { LINKTYPE_ETHERNET = 1, NANOSECONDS = 9, SNAPLEN = 262144 };

struct block {
	char *v;
	size_t n;
	FILE *f;
};

static void put(struct block *b, const void *data, size_t n)
{
	fwrite(data, 1, n, b->f);
}

static void put_word(struct block *b, uint32_t word)
{
	put(b, &word, sizeof(word));
}

static void put_padded(struct block *b, const void *data, size_t n)
{
	put(b, data, n);
	put(b, "\0\0\0", -n & 3);
}

static void put_option(struct block *b, uint16_t code, const void *data, size_t n)
{
	uint16_t head[2] = { code, n };

	put(b, head, sizeof(head));
	put_padded(b, data, n);
}

static void begin(struct block *b)
{
	*b = (struct block){};
	b->f = must(open_memstream(&b->v, &b->n));
}

static int failed(const struct pcapng *p)
{
	return fail(EXIT_FAILED, "%s: %s", p->path, strerror(errno));
}

static int end(struct pcapng *p, struct block *b, uint32_t type)
{
	uint32_t frame[2] = { type, 0 };
	bool ok;

	put_option(b, OPTION_END, "", 0);
	fclose(b->f);
	frame[1] = b->n + 12;
	ok = fwrite(frame, sizeof(frame), 1, p->file) == 1 && fwrite(b->v, b->n, 1, p->file) == 1 && fwrite(&frame[1], 4, 1, p->file) == 1;
	free(b->v);
	return ok ? 0 : failed(p);
}

int pcapng_open(struct pcapng *p, const char *path)
{
	struct block b;

	*p = (struct pcapng){ .path = path };
	p->file = strcmp(path, "-") ? fopen(path, "we") : stdout;
	if (!p->file)
		return failed(p);
	begin(&b);
	put_word(&b, 0x1a2b3c4d);
	put_word(&b, 1);	/* version 1.0: minor, major as 16-bit words */
	put_word(&b, ~0u);	/* length of the section: not said, 64 bits */
	put_word(&b, ~0u);
	put_option(&b, OPTION_APPLICATION, "weirctl", 7);
	return end(p, &b, BLOCK_SECTION);
}

int pcapng_interface(struct pcapng *p, const char *name, uint32_t *number)
{
	uint8_t resolution = NANOSECONDS;
	struct block b;

	begin(&b);
	put_word(&b, LINKTYPE_ETHERNET);
	put_word(&b, SNAPLEN);
	put_option(&b, OPTION_NAME, name, strlen(name));
	put_option(&b, OPTION_RESOLUTION, &resolution, 1);
	*number = p->interfaces++;
	return end(p, &b, BLOCK_INTERFACE);
}

int pcapng_packet(struct pcapng *p, const struct pcapng_packet *k)
{
	struct block b;

	begin(&b);
	put_word(&b, k->interface);
	put_word(&b, k->time_ns >> 32);
	put_word(&b, k->time_ns);
	put_word(&b, k->captured);
	put_word(&b, k->n);
	put_padded(&b, k->bytes, k->captured);
	put_option(&b, OPTION_COMMENT, k->comment, strlen(k->comment));
	return end(p, &b, BLOCK_PACKET);
}

int pcapng_flush(struct pcapng *p)
{
	return fflush(p->file) ? failed(p) : 0;
}

int pcapng_close(struct pcapng *p)
{
	int err = 0;

	if (!p->file)
		return 0;
	if (p->file == stdout)
		err = fflush(p->file);
	else
		err = fclose(p->file);
	p->file = NULL;
	return err ? failed(p) : 0;
}
