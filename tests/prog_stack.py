# SPDX-License-Identifier: GPL-2.0-only
"""prog_stack: what Linux 6.1 allows the programs' stacks to be, read from the built objects. Its verifier adds the frames of a chain of calls, each
rounded up to 32 bytes and at least that, static and global functions and callbacks alike: 512 bytes and eight frames at most. Newer kernels
round otherwise where they compile programs, so that they do not tell. A frame is as deep as the lowest address that an instruction makes of r10,
whether the loader leaves that instruction in or not."""
import functools
import glob
import os
import re
import shutil
import subprocess

import pytest

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", os.environ.get("WEIR_OUT", "out"))
OBJECTS = sorted(os.path.basename(path) for path in glob.glob(os.path.join(OUT, "bpf", "*.bpf.o")))
STACK, FRAMES, ROUND, FP = 512, 8, 32, 10
LOAD64, MOVE, ADD, ADD_REGISTER, CALL = 0x18, 0xBF, 0x07, 0x0F, 0x85
FUNCTION = re.compile(r"^[0-9a-f]+ <(?!LBB\d)(.+)>:$")
INSTRUCTION = re.compile(r"^ +(\d+):\t((?:[0-9a-f]{2} )+)")
RELOCATION = re.compile(r"^\t+[0-9a-f]+:  R_BPF_64_(32|64)\t(\S+)$")


class Function:
    def __init__(self, section, name, start):
        self.section, self.name, self.start, self.code, self.relocated = section, name, start, [], {}

    def frame(self):
        """Bytes of stack."""
        deepest, pointers = 0, {FP: 0}
        for _, op, dst, src, off, imm in self.code:
            memory = dst if op & 7 in (2, 3) else src if op & 7 == 1 else None
            if memory in pointers:
                deepest = min(deepest, pointers[memory] + off)
            if op == MOVE and src in pointers:
                pointers[dst] = pointers[src]
            elif op == ADD and dst in pointers and dst != FP:
                pointers[dst] += imm
                deepest = min(deepest, pointers[dst])
            elif op == ADD_REGISTER and (dst in pointers or src in pointers):
                pointers[dst] = pointers.get(dst, pointers.get(src))
            elif op & 7 in (0, 1, 4, 7):
                pointers.pop(dst, None)
        return -(min(deepest, -1) // ROUND) * ROUND

    def calls(self):
        """Section and instruction of the functions called, or named as callbacks; a name instead, if it is in no section yet."""
        for at, op, _, src, _, imm in self.code:
            symbol = self.relocated.get(at)
            if op == CALL and src == 1:
                yield (self.section, at + 1 + imm) if not symbol else (symbol, imm + 1)
            elif op == LOAD64 and symbol:
                yield symbol, imm // 8


def decoded(at, text):
    b = bytes.fromhex(text)
    return (at, b[0], b[1] & 15, b[1] >> 4, int.from_bytes(b[2:4], "little", signed=True), int.from_bytes(b[4:8], "little", signed=True))


def functions(path):
    """All of an object, in the order of its sections."""
    text = subprocess.run(["llvm-objdump", "-d", "-r", path], check=True, capture_output=True, text=True).stdout
    found, section = [], None
    for line in text.splitlines():
        if line.startswith("Disassembly of section "):
            section = line.split()[-1].rstrip(":")
        elif m := FUNCTION.match(line):
            found.append(Function(section, m[1], None))
        elif m := INSTRUCTION.match(line):
            if found[-1].start is None:
                found[-1].start = int(m[1])
            found[-1].code.append(decoded(int(m[1]), m[2]))
        elif m := RELOCATION.match(line):
            found[-1].relocated[found[-1].code[-1][0]] = m[2]
    return found


class Program:
    """The deepest chains of an object's functions."""

    def __init__(self, path):
        self.functions = functions(path)
        self.named = {f.name: f for f in self.functions}
        self.placed = {(f.section, f.start): f for f in self.functions}

    @property
    def entries(self):
        return [f for f in self.functions if f.section != ".text"]

    def callees(self, f):
        found = [self.named.get(where) or self.placed.get((where, at)) for where, at in f.calls()]
        sections = {s for s, _ in self.placed}
        assert all(c or where not in sections for c, (where, _) in zip(found, f.calls())), f"{f.name} calls what is no function"
        return {c.name: c for c in found if c}.values()

    @functools.cache
    def deepest(self, f):
        """Bytes of the deepest chain from f on, and its frames."""
        below = max((self.deepest(c) for c in self.callees(f)), key=lambda chain: chain[0], default=(0, ()))
        return f.frame() + below[0], ((f.name, f.frame()), *below[1])

    @functools.cache
    def longest(self, f):
        return 1 + max((self.longest(c) for c in self.callees(f)), default=0)


@pytest.fixture(scope="module", params=OBJECTS)
def program(request):
    if not shutil.which("llvm-objdump"):
        pytest.skip("no llvm-objdump (package llvm)")
    return Program(os.path.join(OUT, "bpf", request.param))


def test_there_are_objects():
    assert {"session.bpf.o", "tc.bpf.o", "xdp.bpf.o"} <= set(OBJECTS)


def test_chains_of_calls_fit_the_stack(program):
    chains = {f.name: program.deepest(f) for f in program.entries}
    for name, (depth, chain) in chains.items():
        print(f"{name}: {depth} = " + " + ".join(f"{function} {frame}" for function, frame in chain))
    assert chains and {name: chain for name, (depth, chain) in chains.items() if depth > STACK} == {}


def test_chains_of_calls_are_not_too_long(program):
    assert {f.name: program.longest(f) for f in program.entries if program.longest(f) > FRAMES} == {}
