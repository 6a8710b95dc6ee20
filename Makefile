# SPDX-License-Identifier: GPL-2.0-only
# weir: `make help` lists the targets. Products go to out/. V=1 shows the commands.

PREFIX ?= /usr/local
OUT := out
CC ?= gcc
CLANG ?= clang
VERSION := 0.1.0
ARCH_INCLUDE := /usr/include/$(shell uname -m)-linux-gnu

WARN := -Wall -Wextra -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(CFLAGS) $(WARN) -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DBPF_DIR='"$(OUT)/bpf"' -I. -Ictl -I$(GEN) -MMD -MP
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 $(WARN) -I$(ARCH_INCLUDE) -MMD -MP
LDLIBS := -lbpf -lxdp -lpcap -lelf -lnl-route-3 -lnl-3 -lsmartcols -ljson-c -lcap -lm
GEN := $(OUT)/gen
SAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' $(1) $(2))

BPF := $(OUT)/bpf/xdp.bpf.o $(OUT)/bpf/tc.bpf.o $(patsubst trace/%.bpf.c,$(OUT)/bpf/%.bpf.o,$(wildcard trace/*.bpf.c))
LIB := $(patsubst %.c,$(OUT)/%.o,$(wildcard lib/*.c))
GRAMMAR := $(OUT)/gen/grammar.tab.o $(OUT)/gen/lexer.o
TRACE := $(patsubst %.c,$(OUT)/%.o,$(wildcard loader/trace*.c))
LOADER := $(patsubst %.c,$(OUT)/%.o,$(filter-out loader/main.c loader/trace%,$(wildcard loader/*.c)))
PROBE := $(filter-out $(OUT)/loader/status.o $(OUT)/loader/doctor.o,$(LOADER))
CTL := $(patsubst %.c,$(OUT)/%.o,$(filter-out ctl/main.c,$(wildcard ctl/*.c))) $(GRAMMAR) $(TRACE) $(PROBE)
UNIT := $(patsubst tests/%.c,$(OUT)/tests/%,$(wildcard tests/unit_*.c))
HELPERS := $(OUT)/tests/config_check $(OUT)/tests/libweirtest.so $(OUT)/tests/libblind.so $(OUT)/tests/libcloser.so
BENCH := $(OUT)/bench/bench $(OUT)/bench/peer $(patsubst bench/%.bpf.c,$(OUT)/bench/%.bpf.o,$(wildcard bench/*.bpf.c)) \
	$(OUT)/bench/plain.bpf.o
LANGUAGE := $(addprefix ctl/,config.c spans.c tuples.c raw.c value.c names.c build.c build_rule.c build_limit.c build_set.c build_value.c parse.c foreign.c check.c \
	check_chain.c reject.c mark.c print.c diff.c)
IMPORT := $(addprefix ctl/import,.c _scan.c _nft.c _nft_read.c _iptables.c _iptables_option.c)
FUZZ := $(patsubst tests/fuzz_%.c,$(OUT)/fuzz/%,$(wildcard tests/fuzz_*.c))

.PHONY: all help deps check bench bench-sessions fuzz fuzz-filter demo demo-down install clean sanitized tests
.DELETE_ON_ERROR:

all: $(OUT)/weir-loader $(OUT)/weirctl

help:
	@echo 'make              build weir-loader and weirctl into $(OUT)/'
	@echo 'make demo         show it on namespaces and veth pairs (root; KEEP=1 leaves it up)'
	@echo 'make demo-down    remove what KEEP=1 left'
	@echo 'make check        install what tests need, build, run all tests (root)'
	@echo 'make bench        ns per packet, net of the measured floor (root)'
	@echo 'make bench-sessions  what tracing TCP sessions costs, beside tcplife (root)'
	@echo 'make fuzz         fuzz the parser and the grammar (SECONDS=60 each)'
	@echo 'make fuzz-filter  compiled rules against the model, ten million random pairs'
	@echo 'make install      DESTDIR= PREFIX=$(PREFIX)'
	@echo 'make deps         install the Debian packages that building and testing need (root)'
	@echo 'make clean'

deps:
	$(Q)tests/deps.sh $(DEPS)

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(OUT)/bpf/%.bpf.o: %/main.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(OUT)/bpf/%.bpf.o: trace/%.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(GEN)/grammar.tab.c: ctl/grammar.y
	@mkdir -p $(@D)
	$(call say,BISON,$<)
	$(Q)bison -Werror -d -o $@ $<

$(GEN)/lexer.c: ctl/lexer.l $(GEN)/grammar.tab.c
	$(call say,FLEX,$<)
	$(Q)flex -o $@ $<

$(GEN)/%.o: $(GEN)/%.c
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Ictl -c $< -o $@

# the grammar's header is generated, and objects are embedded
$(CTL): $(GEN)/grammar.tab.c
$(OUT)/loader/trace.o: $(filter-out $(OUT)/bpf/xdp.bpf.o $(OUT)/bpf/tc.bpf.o,$(BPF))
$(OUT)/loader/object.o: $(OUT)/bpf/xdp.bpf.o $(OUT)/bpf/tc.bpf.o

$(OUT)/weir-loader: $(OUT)/loader/main.o $(LOADER) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

$(OUT)/weirctl: $(OUT)/ctl/main.o $(CTL) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

# ---- tests

tests: all $(UNIT) $(HELPERS) $(OUT)/bench/bench $(OUT)/bench/feed.bpf.o $(OUT)/bench/plain.bpf.o

$(OUT)/tests/unit_%: tests/unit_%.c tests/random.h $(CTL) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(CTL) $(LIB) -lcmocka $(LDLIBS)

$(OUT)/tests/config_check: tests/config_check_main.c $(CTL) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(CTL) $(LIB) $(LDLIBS)

# what Python tests call in-process: the parser, natively compiled, and test runs of loaded programs
$(OUT)/tests/libweirtest.so: tests/weirtest.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $< -lbpf

$(OUT)/tests/libblind.so: tests/blind.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $<

$(OUT)/tests/libcloser.so: tests/closer.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $< -lbpf

check: deps
	$(Q)$(MAKE) --no-print-directory tests sanitized
	$(Q)tests/run $(TESTS)

# the same sources under ASan and UBSan; the unit tests run from there too
sanitized:
	$(Q)$(MAKE) --no-print-directory OUT=$(OUT)/san CFLAGS='$(SAN)' $(patsubst $(OUT)/%,$(OUT)/san/%,$(UNIT) $(HELPERS)) $(OUT)/san/weirctl

bench: all $(BENCH)
	$(Q)bench/run $(BENCH_ARGS)

bench-sessions: all $(OUT)/bench/sessions $(OUT)/bench/empty.bpf.o
	$(Q)OUT=$(OUT) bench/sessions $(BENCH_ARGS)

$(OUT)/bench/sessions: bench/sessions.c $(CTL) $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(CTL) $(LIB) $(LDLIBS)

$(OUT)/bench/bench: $(addprefix $(OUT)/bench/,bench.o lpm.o measure.o packet.o print.o program.o samples.o trials.o) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $(filter %.o,$^) $(LDLIBS)

$(OUT)/bench/peer: bench/peer.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(LIB) $(LDLIBS)

$(OUT)/bench/%.bpf.o: bench/%.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

# XDP's program without what few rules use, to compare with
$(OUT)/bench/plain.bpf.o: xdp/main.bpf.c
	@mkdir -p $(@D)
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPF_CFLAGS) -DWEIR_PLAIN -c $< -o $@

SECONDS ?= 60
fuzz: $(FUZZ)
	$(Q)for f in $(FUZZ); do \
		mkdir -p $(OUT)/corpus/$${f##*/}; \
		$$f -max_total_time=$(SECONDS) -print_final_stats=1 $(OUT)/corpus/$${f##*/} $$(test -d tests/corpus/$${f##*/} && echo tests/corpus/$${f##*/}) || exit 1; \
	done

# random rule sets and packets: compiled tables against the model and against a naive reading; ten million pairs
ROUNDS ?= 24
fuzz-filter: $(OUT)/tests/unit_compile
	$(Q)WEIR_ROUNDS=$(ROUNDS) $<

$(OUT)/fuzz/%: tests/fuzz_%.c $(GEN)/grammar.tab.c $(GEN)/lexer.c
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CLANG) -std=gnu11 $(SAN) -fsanitize=fuzzer -D_GNU_SOURCE -I. -I$(GEN) -Ictl -o $@ $< \
		$(if $(filter config import,$*),$(LANGUAGE) $(IMPORT) $(GEN)/grammar.tab.c $(GEN)/lexer.c lib/err.c -ljson-c)

demo: DEPS := demo
demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)demo/demo $(if $(KEEP),--keep)

demo-down:
	$(Q)demo/demo --down

install: all
	install -D -m 755 $(OUT)/weir-loader $(DESTDIR)$(PREFIX)/sbin/weir-loader
	install -D -m 755 $(OUT)/weirctl $(DESTDIR)$(PREFIX)/sbin/weirctl
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/weir/README.md

clean:
	rm -rf $(OUT)

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
