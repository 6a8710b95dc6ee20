# SPDX-License-Identifier: GPL-2.0-only
"""weirtest: Python's side of tests/weirtest.c: the parser and test runs of loaded programs, in-process. WEIR_OUT is where the products are,
WEIR_SAN=out/san takes the parser that was built with the sanitizers (their runtime must be preloaded then: unit_parse.py does that)."""
import ctypes
import os
import random

TESTS = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(TESTS)
OUT = os.path.join(TOP, os.environ.get("WEIR_OUT", "out"))
SEED = int(os.environ.get("WEIR_SEED") or random.SystemRandom().randrange(2**32))

PORTS, FRAGMENT, LATER_FRAGMENT, QUOTE, ICMP, OPTIONS = 1, 2, 4, 8, 16, 32
XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT = range(5)
TC_UNSPEC, TC_SHOT, TC_REDIRECT = -1, 2, 7


class Parsed(ctypes.Structure):
    _fields_ = ([(n, ctypes.c_uint32) for n in "verdict len ip_bytes packets frame_len total frag_id".split()] +
                [(n, ctypes.c_uint16) for n in ("l3 l4 payload ether_type l3_type vlan_id sport dport quote_sport quote_dport").split()] +
                [(n, ctypes.c_uint8) for n in ("vlans family proto tos flags tcp_flags icmp_type icmp_code quote_family quote_proto "
                                               "pad0 pad1").split()] +
                [(n, ctypes.c_uint8 * 16) for n in "saddr daddr quote_saddr quote_daddr".split()])


FIELDS = [n for n, _ in Parsed._fields_ if not n.startswith("pad") and n != "verdict"]
ADDRESSES = {"saddr", "daddr", "quote_saddr", "quote_daddr"}
_sanitized = os.environ.get("WEIR_SAN")
_lib = ctypes.CDLL(os.path.join(os.path.join(TOP, _sanitized) if _sanitized else OUT, "tests", "libweirtest.so"))
_lib.weir_verdict_name.restype = ctypes.c_char_p
_lib.weir_prog_verified.restype = ctypes.c_long
_parsed = Parsed()
_out = ctypes.create_string_buffer(1 << 16)


def verdict_name(number):
    return _lib.weir_verdict_name(number).decode()


VERDICTS = {}
while _lib.weir_verdict_name(len(VERDICTS)):
    VERDICTS[verdict_name(len(VERDICTS))] = len(VERDICTS)


def verdict(frame, linear=None, packets=1):
    """Number of the verdict; what was found is in the one static Parsed."""
    got = _lib.weir_parse(frame, len(frame), len(frame) if linear is None else linear, packets, ctypes.byref(_parsed))
    assert got >= 0, os.strerror(-got)
    return got


def fields():
    """What the last verdict() left, as a dict; addresses are bytes, IPv4 the first four of sixteen."""
    return {n: bytes(getattr(_parsed, n)) if n in ADDRESSES else getattr(_parsed, n) for n in FIELDS}


def parse(frame, linear=None, packets=1):
    number = verdict(frame, linear, packets)
    return verdict_name(number), fields()


# ---- programs in the kernel

def _check(result, what):
    if result < -1:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")
    return result


def enter_netns(path):
    _check(_lib.weir_enter_netns(path.encode()), path)


def verified(prog_id):
    return _check(_lib.weir_prog_verified(prog_id), f"program {prog_id}")


class Program:
    """A loaded program by id; its file descriptor is closed with the object."""

    def __init__(self, prog_id):
        self.fd = _check(_lib.weir_prog_by_id(prog_id), f"program {prog_id}")

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def xdp(self, frame, ifindex):
        """(XDP action, frame afterwards)"""
        size = ctypes.c_uint32(len(_out))
        action = _check(_lib.weir_run_xdp(self.fd, frame, len(frame), ifindex, _out, ctypes.byref(size)), "test run")
        return action, _out.raw[:size.value]

    def xdp_repeat(self, frame, ifindex, n):
        """n runs on the same frame, which the program must leave as it is; returns n."""
        result = _lib.weir_repeat_xdp(self.fd, frame, len(frame), ifindex, n)
        if result:
            raise OSError(-result, f"test run: {os.strerror(-result)}")
        return n

    def flood(self, frame, ifindex, times):
        return _check(_lib.weir_flood_xdp(self.fd, frame, len(frame), ifindex, times), "test run")

    def skb(self, frame, ifindex, gso_segs=0, gso_size=0, mark=0):
        """(TC_ACT_ action, skb afterwards); self.mark is the skb's then"""
        size, marked = ctypes.c_uint32(len(_out)), ctypes.c_uint32(mark)
        action = _lib.weir_run_skb(self.fd, frame, len(frame), ifindex, gso_segs, gso_size, ctypes.byref(marked), _out, ctypes.byref(size))
        self.mark = marked.value
        return _check(action, "test run"), _out.raw[:size.value]
