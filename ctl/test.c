/* SPDX-License-Identifier: GPL-2.0-only */
/* test: which rule decides on a packet, by the program that runs and by the model. Telling is verdict.c's. */
#include <stdlib.h>
#include <string.h>
#include "../lib/out.h"
#include "capture.h"
#include "generation.h"
#include "ids.h"
#include "packet.h"
#include "test.h"
#include "verb.h"
#include "verdict.h"

enum { NO_VLAN = 4096 };

static const char *iif, *hex, *pcap_path, *file;
static bool model_only;
static unsigned long vlan = NO_VLAN;

const struct opt test_opts[] = {
	{ "iif", 0, OPT_TEXT, &iif, "NAME", "interface it comes in by, or for egress leaves by (default: the only one)" },
	{ "vlan", 0, OPT_NUMBER, &vlan, "N", "with a tag of this VLAN" },
	{ "hex", 0, OPT_TEXT, &hex, "BYTES", "the frame as hexadecimal digits, instead of a packet in words" },
	{ "pcap", 0, OPT_TEXT, &pcap_path, "FILE", "each frame of a pcap or pcapng file, a line each" },
	{ "model", 0, OPT_FLAG, &model_only, NULL, "ask the rules alone, not the program" },
	{ "file", 0, OPT_TEXT, &file, "FILE", "ask the rules of a configuration file; needs nothing attached" },
	{}
};

static int check_words(int argc)
{
	int sources = !!hex + !!pcap_path + (argc > 1);

	if (!argc || sources != 1)
		return fail(EXIT_USAGE, "takes a chain and one of: a packet (\"tcp 192.0.2.1:1234 > 203.0.113.10:443 flags syn\"), --hex, --pcap");
	if (vlan != NO_VLAN && (hex || pcap_path))
		return fail(EXIT_USAGE, "--vlan is for packets in words: the tag of a frame stands in its bytes");
	if (vlan != NO_VLAN && vlan > 4095)
		return fail(EXIT_USAGE, "--vlan %lu: VLAN ids go from 0 to 4095", vlan);
	return 0;
}

/* Rules of a file have no ids: they get those that a fresh instance would give. */
static int read_file(struct config *c)
{
	struct config none = {};
	struct ids ids = {};
	int err = config_parse_file(c, file);

	if (err)
		return err;
	err = ids_assign(&ids, &none, c);
	ids_free(&ids);
	return err;
}

static int find_chain(struct judge *j, const char *word)
{
	j->chain = words_chain(&j->config, word);
	if (j->chain < 0)
		return EXIT_USAGE;
	if (j->chain >= CHAIN_COUNT)
		return fail(EXIT_USAGE, "%s: packets come to ingress and egress only", word);
	return 0;
}

static int open_judge(struct judge *j, const char *chain)
{
	int err = file ? read_file(&j->config) : generation_read_whole(&j->config, &j->generation);

	if (!err)
		err = find_chain(j, chain);
	if (err)
		return err;
	j->interface = iif;
	if (file || model_only) {
		if (!iif && j->config.n_interfaces == 1)
			j->interface = j->config.interfaces[0].name;
		return 0;
	}
	err = probe_open(&j->probe, iif, j->chain == CHAIN_EGRESS);
	if (err)
		return err;
	j->interface = probe_interface(j->probe)->name;
	j->probed = must(malloc(sizeof(*j->probed)));
	return 0;
}

static int test_frame(struct judge *j, const void *frame, unsigned int n)
{
	struct judgement *r = must(malloc(sizeof(*r)));
	int err = judge(j, frame, n, r);

	if (!err) {
		verdict_tell(j, r, frame, n);
		if (r->differs[0])
			err = fail(EXIT_FAILED, "THE PROGRAM AND THE MODEL DO NOT AGREE: %s: a defect of weir, please report it with the configuration "
				   "(weirctl export) and this packet", r->differs);
	}
	free(r);
	return err;
}

struct capture {
	struct judge *judge;
	uint64_t differ, first;
};

static int test_captured(void *ctx, uint64_t number, const void *bytes, unsigned int n)
{
	struct capture *c = ctx;
	struct judgement *r = must(malloc(sizeof(*r)));
	int err = judge(c->judge, bytes, n, r);

	if (!err) {
		verdict_tell_line(c->judge, r, number);
		if (r->differs[0] && !c->differ++)
			c->first = number;
	}
	free(r);
	return err;
}

static int test_capture(struct judge *j)
{
	struct capture c = { .judge = j };
	int err;

	verdict_lines();
	err = capture_each(pcap_path, test_captured, &c);
	out_list_end();
	if (!err && c.differ)
		err = fail(EXIT_FAILED, "THE PROGRAM AND THE MODEL DO NOT AGREE on %llu frames, frame %llu is the first: a defect of weir, please report it with "
			   "the configuration (weirctl export) and the file", (unsigned long long)c.differ, (unsigned long long)c.first);
	return err;
}

static int test_words(struct judge *j, int argc, char **argv)
{
	struct frame *f = must(malloc(sizeof(*f)));
	struct packet_words p;
	char *text = words_join(argc, argv);
	int err;

	if (hex) {
		err = frame_parse_hex(f, hex);
	} else {
		err = packet_parse(&p, text);
		if (vlan != NO_VLAN)
			p.vlan = vlan;
		if (!err)
			err = packet_frame(f, &p);
	}
	if (!err)
		err = open_judge(j, argv[-1]);
	if (!err)
		err = test_frame(j, f->v, f->n);
	free(text);
	free(f);
	return err;
}

int rule_test(int argc, char **argv)
{
	struct judge j = {};
	int err = check_words(argc);

	if (err)
		return err;
	if (pcap_path)
		err = open_judge(&j, argv[0]) ?: test_capture(&j);
	else
		err = test_words(&j, argc - 1, argv + 1);
	probe_close(j.probe);
	free(j.probed);
	config_free(&j.config);
	return err;
}
