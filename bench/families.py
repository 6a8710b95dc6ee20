#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rule sets in the manner of ClassBench's families (Taylor and Turner 2007), from a seed:

    families.py acl|fw|ipc|mix|adversarial COUNT [SEED] [HEADERS FILE]
    families.py PATH 0 [SEED] [HEADERS FILE]

prints a configuration whose ingress chain has COUNT five-tuple rules. acl: long prefixes on both ends, exact destination ports, many rules of one
server; fw: wildcards and short prefixes, ranges of ports; ipc: in between, source ports too. adversarial: every combination of
prefix lengths and wildcards, drawn evenly, on overlapping addresses. PATH, which has a slash, is a rule file as ClassBench's db_generator writes it: each line's
addresses, ports and protocol, with a verdict drawn; its flags are left out. With FILE it also writes HEADERS packet headers that hit rules drawn evenly: struct { u32 saddr,
daddr; u16 sport, dport; u8 proto, pad[3]; }, network order."""
import random
import re
import socket
import struct
import sys

PORTS = [22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 445, 514, 993, 1433, 1521, 3306, 3389, 5060, 5432, 6379, 8080, 8443, 9092]
ECHO = 0x0800	# ICMP: type and code of an echo request stand where ports would
RANGES = [(1024, 65535), (0, 1023), (5000, 5100), (6000, 6063), (33434, 33534), (49152, 65535), (8000, 8100), (135, 139)]


class Space:
    """Addresses as a network has them: few /16s, some /24s in them, hosts in those."""

    def __init__(self, rng, nets, subnets):
        self.rng = rng
        self.nets = [rng.getrandbits(16) << 16 for _ in range(nets)]
        self.subnets = [rng.choice(self.nets) | rng.getrandbits(8) << 8 for _ in range(subnets)]

    def prefix(self, length):
        address = (self.rng.choice(self.subnets) if length > 16 else self.rng.choice(self.nets)) | self.rng.getrandbits(8)
        if 16 < length < 24:
            address |= self.rng.getrandbits(8) << 8
        return address & (0xffffffff << 32 - length) & 0xffffffff if length else 0, length


# weights of prefix lengths (source, destination), of port kinds (any, range, exact), of protocols
FAMILIES = {
    'acl': dict(src={0: 8, 16: 6, 20: 4, 24: 22, 28: 10, 32: 50}, dst={16: 2, 24: 18, 27: 10, 30: 10, 32: 60},
                sport=(96, 3, 1), dport=(15, 15, 70), proto={6: 75, 17: 18, 1: 2, None: 5}),
    'fw': dict(src={0: 30, 8: 6, 16: 12, 24: 22, 32: 30}, dst={0: 12, 16: 14, 24: 26, 32: 48},
               sport=(70, 20, 10), dport=(30, 25, 45), proto={6: 62, 17: 25, 1: 4, None: 9}),
    'ipc': dict(src={0: 12, 16: 8, 24: 25, 28: 10, 32: 45}, dst={0: 6, 16: 8, 24: 26, 28: 10, 32: 50},
                sport=(75, 10, 15), dport=(25, 15, 60), proto={6: 65, 17: 25, 1: 3, None: 7}),
    'adversarial': dict(src={n: 1 for n in range(0, 33, 2)}, dst={n: 1 for n in range(0, 33, 2)},
                        sport=(34, 33, 33), dport=(34, 33, 33), proto={6: 40, 17: 40, None: 20}),
}


def weighted(rng, table):
    return rng.choices(list(table), list(table.values()))[0]


def ports(rng, weights):
    kind = rng.choices(('any', 'range', 'exact'), weights)[0]
    if kind == 'any':
        return None
    if kind == 'range':
        return rng.choice(RANGES)
    port = rng.choice(PORTS) if rng.random() < 0.7 else rng.randrange(1, 65536)
    return port, port


def rule(rng, family, src, dst):
    f = FAMILIES[family]
    proto = weighted(rng, f['proto'])
    with_ports = proto in (6, 17)
    return dict(src=src.prefix(weighted(rng, f['src'])), dst=dst.prefix(weighted(rng, f['dst'])), proto=proto,
                sport=ports(rng, f['sport']) if with_ports else None, dport=ports(rng, f['dport']) if with_ports else None,
                verdict='drop' if rng.random() < 0.5 else 'accept')


def rules(family, count, seed):
    """COUNT different rules; those that say least stand last, as people write them."""
    rng = random.Random(seed)
    names = ('acl', 'fw', 'ipc') if family == 'mix' else (family,)
    spaces = {n: (Space(rng, 8 + count // 400, 16 + count // 12), Space(rng, 8 + count // 800, 16 + count // 20)) for n in names}
    seen, out = set(), []
    while len(out) < count:
        name = rng.choice(names)
        r = rule(rng, name, *spaces[name])
        key = (r['src'], r['dst'], r['proto'], r['sport'], r['dport'])
        if key in seen or (not r['src'][1] and not r['dst'][1] and r['proto'] not in (6, 17)):
            continue
        seen.add(key)
        out.append(r)
    out.sort(key=lambda r: -(r['src'][1] + r['dst'][1]) // 16)
    return out


LINE = re.compile(r'@([\d.]+)/(\d+)\s+([\d.]+)/(\d+)\s+(\d+)\s*:\s*(\d+)\s+(\d+)\s*:\s*(\d+)\s+0x([0-9a-fA-F]+)/0x([0-9a-fA-F]+)')


def from_file(path, seed):
    """A rule that asks for ports of any protocol becomes one for TCP and one for UDP; where a protocol has no ports they are not asked for."""
    rng, out = random.Random(seed), []
    for number, line in enumerate(open(path), 1):
        if not line.strip() or line.startswith('#'):
            continue
        m = LINE.match(line)
        if not m:
            sys.exit(f'{path}:{number}: not a line of a ClassBench rule file: @SADDR/LEN DADDR/LEN LOW : HIGH LOW : HIGH PROTO/MASK')
        sport, dport = [None if (low, high) == (0, 65535) else (low, high) for low, high in ((int(m[5]), int(m[6])), (int(m[7]), int(m[8])))]
        prefixes = [(int.from_bytes(socket.inet_aton(m[i]), 'big') & (0xffffffff << 32 - int(m[i + 1])) & 0xffffffff, int(m[i + 1])) for i in (1, 3)]
        verdict = rng.choice(('drop', 'accept'))
        proto = int(m[9], 16) if int(m[10], 16) else None
        for p in (6, 17) if proto is None and (sport or dport) else (proto,):
            has = p in (6, 17, 132)
            out.append(dict(src=prefixes[0], dst=prefixes[1], proto=p, sport=sport if has else None, dport=dport if has else None, verdict=verdict))
    return out


def dotted(address):
    return socket.inet_ntoa(struct.pack('!I', address))


def text(r):
    words = []
    for key in ('src', 'dst'):
        address, length = r[key]
        if length:
            words.append(f"ip {key[0]}addr {dotted(address)}{'/%d' % length if length < 32 else ''}")
    name = {6: 'tcp', 17: 'udp', 132: 'sctp', 1: 'icmp'}.get(r['proto'], r['proto'])
    said = False
    for key in ('sport', 'dport'):
        if r[key]:
            low, high = r[key]
            words.append(f"{name} {key} {low}{'' if low == high else '-%d' % high}")
            said = True
    if r['proto'] is not None and not said:
        words.append(f'meta l4proto {name}')
    return ' '.join(words + [r['verdict']])


def header(rng, r):
    def address(prefix):
        return prefix[0] | rng.getrandbits(32) & ((1 << 32 - prefix[1]) - 1)

    def port(span):
        return rng.randint(*span) if span else rng.randrange(65536)

    proto = 6 if r['proto'] is None else r['proto']
    sport = ECHO if proto == 1 else port(r['sport'])
    return struct.pack('!IIHHBxxx', address(r['src']), address(r['dst']), sport, port(r['dport']), proto)


def main():
    family, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    made = from_file(family, seed) if '/' in family else rules(family, count, seed)
    print('chain ingress {\n    policy accept')
    for r in made:
        print('    ' + text(r))
    print('}')
    if len(sys.argv) > 5:
        rng = random.Random(seed + 1)
        with open(sys.argv[5], 'wb') as f:
            for _ in range(int(sys.argv[4])):
                f.write(header(rng, rng.choice(made)))


if __name__ == '__main__':
    main()
