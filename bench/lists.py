#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Long lists of addresses and prefixes, from a seed, and packet headers whose sources are in them, and others whose are not:

    lists.py 4|6 COUNT SEED DIR

writes DIR/list, an element a line, and headers as in families.py: DIR/hits and DIR/misses, of 65,536 sources each, and DIR/few, of 256 that are in the list. IPv4: half addresses, half /24, drawn evenly from all of the
space. IPv6: 60 % /64, 20 % /48, 20 % addresses, below 2001::/16; a header has bytes 2 to 9 of the source (feed.h)."""
import ipaddress
import random
import struct
import sys

HEADERS = 65536
TO4 = ipaddress.ip_address("203.0.113.11")


def list4(rng, count):
    hosts = rng.sample(range(1 << 24, 224 << 24), count // 2)
    nets = rng.sample(range(1 << 16, 224 << 16), count - count // 2)
    lines = [str(ipaddress.IPv4Address(a)) for a in hosts] + [f"{ipaddress.IPv4Address(n << 8)}/24" for n in nets]
    return lines, hosts, nets


def sources4(rng, hosts, nets):
    """Who is in the list, half by each kind, and who is not."""
    hit = rng.sample(hosts, HEADERS // 2) + [n << 8 | rng.getrandbits(8) for n in rng.sample(nets, HEADERS // 2)]
    hosts, nets = set(hosts), set(nets)
    miss = (a for a in iter(lambda: rng.randrange(1 << 24, 224 << 24), None) if a not in hosts and a >> 8 not in nets)
    return hit, [next(miss) for _ in range(HEADERS)]


LENGTHS = {64: 0.6, 48: 0.2, 128: 0.2}


def list6(rng, count):
    """Of the 64 bits behind 2001: a /48 is the first 32 of them, a /64 48, an address all."""
    parts = {n: rng.sample(range(1 << bits), int(count * LENGTHS[n])) for n, bits in ((48, 32), (64, 48))}
    parts[128] = [rng.getrandbits(64) for _ in range(count - sum(map(len, parts.values())))]
    lines = [f"{ipaddress.IPv6Address(0x2001 << 112 | p << 112 - {48: 32, 64: 48, 128: 64}[n])}/{n}" for n in parts for p in parts[n]]
    return lines, parts


def sources6(rng, parts):
    hit = rng.sample(parts[64], int(HEADERS * 0.6)), rng.sample(parts[48], int(HEADERS * 0.2))
    hit = [p << 16 | rng.getrandbits(16) for p in hit[0]] + [p << 32 | rng.getrandbits(32) for p in hit[1]]
    hit += rng.sample(parts[128], HEADERS - len(hit))
    sets = {n: set(parts[n]) for n in parts}
    miss = (a for a in iter(lambda: rng.getrandbits(64), None) if a not in sets[128] and a >> 16 not in sets[64] and a >> 32 not in sets[48])
    return hit, [next(miss) for _ in range(HEADERS)]


def write(path, rng, sources, family):
    rng.shuffle(sources)
    with open(path, "wb") as f:
        for i, a in enumerate(sources):
            saddr, daddr = (a, int(TO4)) if family == 4 else (a >> 32, a & 0xffffffff)
            f.write(struct.pack("!IIHHBxxx", saddr, daddr, 1024 + i % 64000, 443, 6))


def main():
    family, count, rng, folder = int(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3])), sys.argv[4]
    if family == 4:
        lines, hosts, nets = list4(rng, count)
        hits, misses = sources4(rng, hosts, nets)
    else:
        lines, parts = list6(rng, count)
        hits, misses = sources6(rng, parts)
    with open(folder + "/list", "w") as f:
        f.writelines(line + "\n" for line in lines)
    write(folder + "/hits", rng, hits, family)
    write(folder + "/few", rng, [hits[i % 256] for i in range(HEADERS)], family)
    write(folder + "/misses", rng, misses, family)


if __name__ == "__main__":
    main()
