/* SPDX-License-Identifier: GPL-2.0-only */
/* trace_report: what there is: lists of sockets, histograms, counts; and what the running kernel has. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <string.h>
#include "../lib/err.h"
#include "trace_private.h"

/* kfree_skb() has had a fourth argument of its own since 6.11; the first in BTF is the tracepoint's. */
static bool drop_tells_socket(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "btf_trace_kfree_skb", BTF_KIND_TYPEDEF);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;

	while (t && !btf_is_func_proto(t))
		t = btf__type_by_id(btf, t->type);
	return t && btf_vlen(t) > 4;
}

/* Since 6.11 the queues of a closing socket are emptied under a reason; ~0: before. */
static uint32_t purge_reason(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), "SKB_DROP_REASON_QUEUE_PURGE"))
			return btf_enum(t)[i].val;
	return ~0u;
}

void trace_kernel_facts(struct session_filter *f, const struct btf *btf)
{
#if defined(__x86_64__) || defined(__i386__) || defined(__s390x__)
	f->ordered = true;
#endif
	f->casts = btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
	f->drop_sk = drop_tells_socket(btf);
	f->drop_purge = purge_reason(btf);
}

int trace_list(struct trace *t, uint32_t mask, void (*session)(void *ctx, const struct session *s), void *ctx)
{
	int err;

	t->shared->listing = mask;
	err = trace_walk_owners(t, t->list, session, ctx);
	return err ? fail(EXIT_FAILED, "listing sockets: %s", strerror(-err)) : 0;
}

int trace_sample(struct trace *t)
{
	int err;

	t->shared->listing = 1 << SESSION_EVENT_OPEN;
	err = trace_walk_owners(t, t->sample, NULL, NULL);
	return err ? fail(EXIT_FAILED, "sampling sockets: %s", strerror(-err)) : 0;
}

void trace_hists(struct trace *t, bool reset, void (*hist)(void *ctx, const struct session_hist_key *key, const struct session_hist *h),
		 void *ctx)
{
	int fd = bpf_object__find_map_fd_by_name(t->object, "session_hists");
	struct session_hist_key key, next;
	struct session_hist h;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (bpf_map_lookup_elem(fd, &key, &h))
			continue;
		if (reset)
			bpf_map_delete_elem(fd, &key);
		hist(ctx, &key, &h);
	}
}

static uint64_t open_sessions(const struct trace *t)
{
	uint64_t n = 0;

	for (size_t b = 0; b < 1u << t->bucket_bits; b++)
		for (int i = 0; i < SESSION_WAYS; i++)
			n += t->table[b].sock[i] && t->table[b].state[i].flags & SESSION_COUNTED;
	return n;
}

static uint64_t skipped_runs(const struct bpf_object *object)
{
	struct bpf_program *p;
	uint64_t n = 0;

	bpf_object__for_each_program(p, object) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);

		if (bpf_program__fd(p) >= 0 && !bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			n += info.recursion_misses;
	}
	return n;
}

void trace_totals(struct trace *t, struct trace_totals *totals)
{
	uint64_t *sum = (uint64_t *)&totals->counts;

	memset(totals, 0, sizeof(*totals));
	for (int cpu = 0; cpu < t->cpus; cpu++)
		for (size_t i = 0; i < sizeof(totals->counts) / sizeof(*sum); i++)
			sum[i] += trace_count((const __u64 *)&t->shared->counts[cpu] + i);
	totals->open = open_sessions(t) + totals->counts.spill_in - totals->counts.spill_out;
	totals->skipped = skipped_runs(t->object);
}
