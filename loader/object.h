/* SPDX-License-Identifier: GPL-2.0-only */
/* object: the embedded BPF objects, opened for one interface: constants filled in, maps shared through their pins. */
#pragma once
#include <stdbool.h>
#include "../maps/datapath.h"

enum object_kind { OBJECT_XDP, OBJECT_TC };

struct bpf_object;

/* Open and load. `config` becomes the programs' .rodata. `frags`: XDP programs take frames of several buffers. The caller closes it.
 * NULL after fail(). */
struct bpf_object *object_load(enum object_kind kind, const struct program_config *config, const struct datapath *datapath, bool frags);

/* As above with the instance's configuration and accounts, flows and scratch of its own (the smallest): what these programs do, nobody sees. */
struct bpf_object *object_load_private(enum object_kind kind, const struct program_config *config, const struct datapath *datapath, bool frags);

/* fd of a program of a loaded object, by the hook it is for. */
int object_program(const struct bpf_object *o, enum hook hook);

extern const char *const hook_name[HOOK_COUNT];		/* "xdp", "tc-ingress", "tc-egress" */
