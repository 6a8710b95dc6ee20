/* SPDX-License-Identifier: GPL-2.0-only */
/* tcp_kernel: the running kernel's own names: of drop reasons (BTF) and of addresses of its code (/proc/kallsyms). */
#include <bpf/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/err.h"
#include "tcp.h"

static const struct btf_type *reasons(const struct btf *btf)
{
	int id = btf ? btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM) : -1;

	return id > 0 ? btf__type_by_id(btf, id) : NULL;
}

/* "TCP_OVERWINDOW", or the number. Reasons of subsystems (high half) have enums of their own. */
const char *tcp_reason_text(uint32_t reason)
{
	static const char prefix[] = "SKB_DROP_REASON_";
	static struct btf *btf;
	static char text[16];
	const struct btf_type *t;

	if (!btf)
		btf = btf__load_vmlinux_btf();
	t = reasons(btf);
	for (int i = 0; t && i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(btf, btf_enum(t)[i].name_off);

		if ((uint32_t)btf_enum(t)[i].val == reason)
			return strncmp(name, prefix, sizeof(prefix) - 1) ? name : name + sizeof(prefix) - 1;
	}
	snprintf(text, sizeof(text), "%#x", reason);
	return text;
}

struct symbol {
	uint64_t address;
	char name[64];
};

static struct symbol *symbols;
static size_t n_symbols;

static void read_symbols(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	size_t size = 0;
	char line[512], type;

	while (f && fgets(line, sizeof(line), f)) {
		if (n_symbols == size) {
			size = size ? 2 * size : 1 << 16;
			symbols = must(realloc(symbols, size * sizeof(*symbols)));
		}
		if (sscanf(line, "%llx %c %63s", &address, &type, symbols[n_symbols].name) == 3 && strchr("tTwW", type) && address)
			symbols[n_symbols++].address = address;
	}
	if (f)
		fclose(f);
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* "tcp_v4_rcv+0x1b2", or the bare address where the kernel hides its symbols. */
const char *tcp_place_text(uint64_t address)
{
	static char text[96];
	static bool read;
	size_t low = 0, high;

	if (!read) {
		read = true;
		read_symbols();
		if (n_symbols)
			qsort(symbols, n_symbols, sizeof(*symbols), by_address);
	}
	for (high = n_symbols; low < high;) {
		size_t middle = (low + high) / 2;

		if (symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low)
		snprintf(text, sizeof(text), "%s+%#llx", symbols[low - 1].name, (unsigned long long)(address - symbols[low - 1].address));
	else
		snprintf(text, sizeof(text), "%#llx", (unsigned long long)address);
	return text;
}
