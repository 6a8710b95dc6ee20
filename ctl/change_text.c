/* SPDX-License-Identifier: GPL-2.0-only */
/* change_text: see change_text.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "../maps/rule.h"
#include "change_text.h"

static bool read_text(struct change_text *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool done;

	if (fd < 0)
		return false;
	done = !fstat(fd, &st);
	if (done) {
		t->n = st.st_size;
		t->v = must(malloc(t->n + 1));
		done = read(fd, t->v, t->n) == (ssize_t)t->n;
		t->v[t->n] = 0;
	}
	close(fd);
	return done && !memchr(t->v, 0, t->n);
}

/* Behind the first line that begins with the words; NULL: none does. */
static const char *find_line(const char *text, const char *words)
{
	size_t n = strlen(words);

	for (; text && *text; text = strchr(text, '\n'), text += !!text)
		if (!strncmp(text, words, n))
			return text + n;
	return NULL;
}

static const char *find_ids(const struct change_text *t, const char *chain)
{
	char words[300];

	snprintf(words, sizeof(words), "#ids rule %s", chain);
	return find_line(strstr(t->v, "\n#ids ") + 1, words);
}

/* Those of all chains. */
static bool read_ids(struct change_text *t)
{
	const char *line = strstr(t->v, "\n#ids ");

	t->used = must(calloc(MAX_RULES, 1));
	while (line && (line = find_line(line + 1, "#ids rule "))) {
		line += strcspn(line, " \n");
		while (*line == ' ')
			t->used[strtoul(line, (char **)&line, 10) % MAX_RULES] = true;
		line--;
		line = strchr(line, '\n');
	}
	return strstr(t->v, "\n#ids ");
}

/* The id's index in a line of ids, or how many there are, with its place. -1: it is not there. */
static int find_id(struct change_text *t, const char *line, unsigned long id)
{
	const char *p = line;
	int n = 0;

	for (; *p == ' '; n++) {
		char *end;
		unsigned long v = strtoul(p, &end, 10);

		t->id = p - t->v;
		t->id_end = end - t->v;
		if (v == id)
			return n;
		p = end;
	}
	if (id)
		return -1;
	t->id = t->id_end = p - t->v;
	return n;
}

static uint32_t count_ids(const char *line)
{
	uint32_t n = 0;

	for (; *line == ' '; n++)
		strtoul(line, (char **)&line, 10);
	return n;
}

/* The line of the rule at t->at. Policy and audit stand in front of the rules. */
static bool find_rule(struct change_text *t, const char *chain)
{
	static const char audit[] = "    audit\n", policy[] = "    policy ";
	char words[300];
	const char *p;
	uint32_t n = 0;

	snprintf(words, sizeof(words), "chain %s {\n", chain);
	p = find_line(t->v, words);
	if (!p || strncmp(p, policy, sizeof(policy) - 1))
		return false;
	t->policy_drop = !strncmp(p + sizeof(policy) - 1, "drop\n", 5);
	p = strchr(p, '\n') + 1;
	t->audit = !strncmp(p, audit, sizeof(audit) - 1);
	if (t->audit)
		p += sizeof(audit) - 1;
	for (; *p == ' '; n++) {
		const char *end = strchr(p, '\n');

		if (!end)
			return false;
		if (n == t->at) {
			t->line = p - t->v;
			t->line_end = end + 1 - t->v;
		}
		p = end + 1;
	}
	if (n == t->at)
		t->line = t->line_end = p - t->v;
	return n == t->rules && !strncmp(p, "}\n", 2);
}

static int find_chain(const struct change_text *t, const char *name, unsigned long has)
{
	for (int i = 0; i < CHAIN_COUNT; i++) {
		const char *ids = find_ids(t, chain_name[i]);
		struct change_text any = *t;

		if (ids && (name ? !strcmp(name, chain_name[i]) : find_id(&any, ids, has) >= 0))
			return i;
	}
	return -1;
}

int change_text_open(struct change_text *t, const char *path, const char *chain, unsigned long has, unsigned long at)
{
	const char *ids;
	int k, n;

	memset(t, 0, sizeof(*t));
	if (!read_text(t, path) || !read_ids(t))
		return -1;
	k = find_chain(t, chain, has);
	if (k < 0)
		return -1;
	ids = find_ids(t, chain_name[k]);
	n = find_id(t, ids, at);
	t->at = n;
	t->rules = count_ids(ids);
	return n >= 0 && find_rule(t, chain_name[k]) ? k : -1;
}

uint32_t change_text_free_id(const struct change_text *t)
{
	for (uint32_t id = RULE_FIRST; id < MAX_RULES; id++)
		if (!t->used[id])
			return id;
	return 0;
}

static struct iovec piece(const char *from, const char *to)
{
	return (struct iovec){ (void *)from, to - from };
}

static int write_all(int fd, struct iovec *v, int n)
{
	while (n) {
		ssize_t done = writev(fd, v, n);

		if (done < 0)
			return -1;
		for (; n && (size_t)done >= v->iov_len; v++, n--)
			done -= v->iov_len;
		if (n)
			*v = piece((char *)v->iov_base + done, (char *)v->iov_base + v->iov_len);
	}
	return fsync(fd);
}

int change_text_write(const struct change_text *t, const char *path, const struct rule *rule, bool replace)
{
	const char *v = t->v;
	char *text = rule ? rule_text(rule) : NULL, *line = NULL, *id = NULL;
	size_t n_line = 0, n_id = 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), err = 0;

	if (rule && asprintf(&line, "    %s\n", text) > 0 && asprintf(&id, " %u", rule->id) > 0) {
		n_line = strlen(line);
		n_id = strlen(id);
	}
	if (fd < 0 || (rule && !n_id) || write_all(fd, (struct iovec[]){
			piece(v, v + t->line), piece(line, line + n_line), piece(v + (replace ? t->line_end : t->line), v + t->id),
			piece(id, id + n_id), piece(v + (replace ? t->id_end : t->id), v + t->n) }, 5)) {
		err = fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
		unlink(path);
	}
	if (fd >= 0)
		close(fd);
	free(text);
	free(line);
	free(id);
	return err;
}

void change_text_close(struct change_text *t)
{
	free(t->v);
	free(t->used);
	memset(t, 0, sizeof(*t));
}
