/* SPDX-License-Identifier: GPL-2.0-only */
/* capture: libpcap reads both kinds of file. */
#include <pcap/pcap.h>
#include <string.h>
#include "../lib/err.h"
#include "capture.h"

static int next_frame(pcap_t *p, const char *path, uint64_t n, const void **bytes, unsigned int *size)
{
	struct pcap_pkthdr *h;
	int got = pcap_next_ex(p, &h, (const u_char **)bytes);

	if (got == PCAP_ERROR_BREAK)
		return -1;
	if (got != 1)
		return fail(EXIT_FAILED, "%s: frame %llu: %s", path, (unsigned long long)n, pcap_geterr(p));
	if (h->caplen < h->len)
		return fail(EXIT_FAILED, "%s: frame %llu: the capture has %u of its %u bytes: capture whole frames (tcpdump -s 0)", path,
			    (unsigned long long)n, h->caplen, h->len);
	*size = h->caplen;
	return 0;
}

int capture_each(const char *path, int (*frame)(void *ctx, uint64_t n, const void *bytes, unsigned int size), void *ctx)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline(path, why);
	const void *bytes;
	unsigned int size = 0;
	int err = 0;

	if (!p)
		return fail(EXIT_FAILED, "%s%s%s", strncmp(why, path, strlen(path)) ? path : "", strncmp(why, path, strlen(path)) ? ": " : "", why);
	if (pcap_datalink(p) != DLT_EN10MB)
		err = fail(EXIT_FAILED, "%s: the frames are of link type %s, not Ethernet", path, pcap_datalink_val_to_name(pcap_datalink(p)) ?: "unknown");
	for (uint64_t n = 1; !err; n++) {
		err = next_frame(p, path, n, &bytes, &size);
		if (!err)
			err = frame(ctx, n, bytes, size);
	}
	pcap_close(p);
	return err < 0 ? 0 : err;
}
