#!/usr/bin/env python3
"""A client of the kdht network, written from FORMAT.md alone.

It shares no code with the node: it is an independent reading of the wire format, and a test
of that text. Python 3.9 or newer, standard library only. Section numbers (§) are those of
FORMAT.md.

    client.py vectors DIR                 hold this implementation against golden datagrams
    client.py check ADDR [ADDR...]        hold live nodes against the format
    client.py ping ADDR
    client.py find-node ADDR KEY          one request, or the whole lookup with --recurse
    client.py find-value ADDR KEY         all pages of one node's values
    client.py lookup ADDR KEY             iterative lookup: the nodes closest to a key
    client.py store ADDR [KEY] VALUE      one STORE
    client.py put ADDR [KEY] VALUE        lookup, then STORE at the closest
    client.py get ADDR KEY                lookup, then FIND_VALUE at the closest

Every request has the CLIENT flag: this program answers nobody. `--network-key FILE` enters a
private network; the file has one or two lines of a number and 32 hexadecimal digits.
"""

import argparse
import dataclasses
import hashlib
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# ---------------------------------------------------------------------------------------
# SipHash-2-4 (Aumasson, Bernstein 2012)

M64 = (1 << 64) - 1


def siphash(key, data):
    """The 64-bit SipHash-2-4 of `data` under 16 bytes of key, as an integer."""
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rotl(x, n):
        return ((x << n) | (x >> (64 - n))) & M64

    def rounds(count):
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & M64
            v2 = (v2 + v3) & M64
            v1 = rotl(v1, 13) ^ v0
            v3 = rotl(v3, 16) ^ v2
            v0 = rotl(v0, 32)
            v2 = (v2 + v1) & M64
            v0 = (v0 + v3) & M64
            v1 = rotl(v1, 17) ^ v2
            v3 = rotl(v3, 21) ^ v0
            v2 = rotl(v2, 32)

    tail = len(data) % 8
    last = data[len(data) - tail:] + bytes(7 - tail) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", data[:len(data) - tail] + last):
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


# ---------------------------------------------------------------------------------------
# ed25519 (RFC 8032, section 5.1); points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def point_mul(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = point_add(total, point)
        point = point_add(point, point)
        scalar >>= 1
    return total


def point_encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def point_decode(data):
    """The point, or None if these 32 bytes are none."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_M1 % P
    if x * x % P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def sha512_int(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def ed25519_expand(secret):
    digest = hashlib.sha512(secret).digest()
    scalar = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return scalar, digest[32:]


def ed25519_public(secret):
    return point_encode(point_mul(ed25519_expand(secret)[0], BASE))


def ed25519_sign(secret, message):
    scalar, prefix = ed25519_expand(secret)
    public = point_encode(point_mul(scalar, BASE))
    nonce = sha512_int(prefix, message) % L
    commitment = point_encode(point_mul(nonce, BASE))
    answer = (nonce + sha512_int(commitment, public, message) * scalar) % L
    return commitment + answer.to_bytes(32, "little")


def ed25519_verify(public, signature, message):
    key, commitment = point_decode(public), point_decode(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or answer >= L:
        return False
    challenge = sha512_int(signature[:32], public, message) % L
    expected = point_add(commitment, point_mul(challenge, key))
    return point_encode(point_mul(answer, BASE)) == point_encode(expected)


# ---------------------------------------------------------------------------------------
# The format: numbers, names

MAGIC, VERSION = b"KD", 1
HEAD = struct.Struct("<2sBBHBBIIQQ20s20s")  # §3
HEAD_LEN, OUTLINE_LEN, MAC_LEN = 72, 24, 8
DATAGRAM_MAX, STREAM_MAX = 1232, 1_049_064
VALUE_MAX, DATAGRAM_VALUE_MAX = 1_048_576, 1000
EXTENSIONS_MAX, CLOCK_SLACK_S = 8, 120
K, ALPHA = 20, 3
DRAWS_CONTACTS, DRAWS_ANY = 300, 411  # §9: what a first request is padded to
COOKIE_LIFE_S = 300  # §9: at least this long
RECURSION_S = 10  # §8.2

PING, FIND_NODE, FIND_VALUE, STORE, FAULT = range(1, 6)
KINDS = dict(enumerate(["ping", "find_node", "find_value", "store", "fault"], 1))
FINDS = (FIND_NODE, FIND_VALUE)

REPLY, CLIENT, RECURSE, FORWARD, MORE, WANT4, WANT6, KEYED = (1 << n for n in range(8))
FLAGS = ["reply", "client", "recurse", "forward", "more", "want4", "want6", "keyed"]
FLAGS_RESERVED, FLAGS_IGNORED = 0x0F00, 0xF000

FILTERS = ["any", "immutable", "signed", "plain"]
VALUE_KINDS = {1: "immutable", 2: "signed", 3: "plain"}
IMMUTABLE, SIGNED, PLAIN = 1, 2, 3
DURABILITIES = {1: "memory", 2: "os", 3: "disk"}
FAULTS = dict(enumerate([
    "version", "kind", "malformed", "cookie", "busy", "draining", "too_long", "hash",
    "signature", "sequence", "cas", "plain", "key_full", "source_full", "full", "expired",
    "recurse"], 1))
ANNOUNCED, RECORD_RESERVED = 0x01, 0x0E
PADDING, FORWARDED = 0, 1
UNCONDITIONAL = M64

RECORD = struct.Struct("<IIBBH")  # §6
SIGNED_TAIL = struct.Struct("<Q32s64s16s")
FIND_VALUE_BODY = struct.Struct("<HBB32s")  # §5.3
FAULT_INFO = struct.Struct("<BBHIQI")  # §7
FORWARD_DATA = struct.Struct("<QQ18sBBI")  # §8.3


class Refused(Exception):
    """A message that a receiver refuses; the reason is the name that the vectors give it."""


# ---------------------------------------------------------------------------------------
# §4 Endpoints: (16 bytes of address, port)

MAPPED = bytes(10) + b"\xff\xff"
NOWHERE = (bytes(16), 0)


def endpoint_bytes(endpoint):
    return endpoint[0] + struct.pack(">H", endpoint[1])


def endpoint_parse(data):
    return data[:16], int.from_bytes(data[16:18], "big")


def endpoint_from_text(text):
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return ipaddress.IPv6Address(host[1:-1]).packed, int(port)
    return MAPPED + ipaddress.IPv4Address(host).packed, int(port)


def endpoint_text(endpoint):
    ip, port = endpoint
    if ip.startswith(MAPPED):
        return f"{ipaddress.IPv4Address(ip[12:])}:{port}"
    return f"[{ipaddress.IPv6Address(ip)}]:{port}"


def endpoint_usable(endpoint):
    """Whether a contact there can be sent to (§4)."""
    ip, port = endpoint
    if ip.startswith(MAPPED):
        address = ipaddress.IPv4Address(ip[12:])
        if address == ipaddress.IPv4Address("255.255.255.255"):
            return False
    else:
        address = ipaddress.IPv6Address(ip)
    return not (port == 0 or address.is_unspecified or address.is_multicast
                or address.is_link_local)


@dataclass
class Contact:
    id: bytes = bytes(20)
    endpoint: tuple = NOWHERE
    flags: int = 0


@dataclass
class Record:
    """A value as it travels (§6); `value` is empty and `value_len` tells if announced."""
    kind: int = IMMUTABLE
    remaining_s: int = 0
    flags: int = 0
    cursor: int = 0
    value: bytes = b""
    value_len: int = 0
    sequence: int = 0
    public_key: bytes = bytes(32)
    signature: bytes = bytes(64)
    salt: bytes = bytes(16)
    publisher: bytes = bytes(20)

    @property
    def announced(self):
        return bool(self.flags & ANNOUNCED)

    def encode(self):
        data = RECORD.pack(self.value_len, self.remaining_s, self.kind, self.flags, self.cursor)
        if self.kind == SIGNED:
            data += SIGNED_TAIL.pack(self.sequence, self.public_key, self.signature, self.salt)
        elif self.kind == PLAIN:
            data += self.publisher
        return data + self.value

    def signed_bytes(self, key):
        """The 88 bytes that the signature is over."""
        return (b"kdht-value\x01\x00" + key + struct.pack("<Q", self.sequence) + self.salt
                + hashlib.sha256(self.value).digest())

    def verifies(self, key):
        """Whether the value proves that it belongs under the key. A plain one proves nothing."""
        if self.announced:
            return False
        if self.kind == IMMUTABLE:
            return hashlib.sha256(self.value).digest()[:20] == key
        if self.kind == SIGNED:
            return ed25519_verify(self.public_key, self.signature, self.signed_bytes(key))
        return True


def immutable_record(value, lifetime):
    return Record(IMMUTABLE, lifetime, value=value, value_len=len(value))


def signed_record(secret, key, sequence, value, lifetime, salt=bytes(16)):
    record = Record(SIGNED, lifetime, value=value, value_len=len(value), sequence=sequence,
                    public_key=ed25519_public(secret), salt=salt)
    record.signature = ed25519_sign(secret, record.signed_bytes(key))
    return record


def plain_record(publisher, value, lifetime):
    return Record(PLAIN, lifetime, value=value, value_len=len(value), publisher=publisher)


def immutable_key(value):
    return hashlib.sha256(value).digest()[:20]


def name_key(text):
    """The key that a tool is told: 40 hexadecimal digits, or else a name (§6)."""
    if len(text) == 40 and all(c in "0123456789abcdefABCDEF" for c in text):
        return bytes.fromhex(text)
    return hashlib.sha256(b"kdht-name\x00" + text.encode()).digest()[:20]


# ---------------------------------------------------------------------------------------
# §2, §3, §5 Messages

@dataclass
class Message:
    """Any message. Members that its kind does not have keep their defaults."""
    kind: int = PING
    flags: int = 0
    key_id: int = 0
    arg: int = 0
    time_s: int = 0
    tx_id: int = 0
    cookie: int = 0
    target: bytes = bytes(20)
    sender: bytes = bytes(20)
    observed: tuple = NOWHERE  # replies but FAULTs
    total: int = 0
    contacts: list = field(default_factory=list)  # FIND replies
    records: list = field(default_factory=list)  # FIND_VALUE replies; STORE: exactly one
    cursor: int = 0  # FIND_VALUE requests
    filter: int = 0
    publisher: bytes = bytes(32)
    cas: int = 0  # STORE requests
    extensions: list = field(default_factory=list)  # (type, data)
    mac: bytes = None  # with KEYED; None: the encoder makes it

    @property
    def is_reply(self):
        return bool(self.flags & REPLY)

    @property
    def more(self):
        return bool(self.flags & MORE)

    @property
    def fault(self):
        """What a FAULT tells (§7): version_min, version_max, kinds, value_len_max, sequence,
        retry_ms."""
        return FAULT_INFO.unpack(self.target)

    @property
    def fault_name(self):
        return FAULTS[self.arg] if self.kind == FAULT else None

    @property
    def held_sequence(self):
        return self.fault[4]

    @property
    def retry_ms(self):
        return self.fault[5]

    def body(self):
        data = b""
        if self.kind == FAULT:
            pass
        elif self.is_reply:
            data += endpoint_bytes(self.observed) + struct.pack("<H", self.total)
            for contact in self.contacts:
                data += contact.id + endpoint_bytes(contact.endpoint)
                data += struct.pack("<H", contact.flags)
        elif self.kind == FIND_VALUE:
            data += FIND_VALUE_BODY.pack(self.cursor, self.filter, 0, self.publisher)
        elif self.kind == STORE:
            data += struct.pack("<Q", self.cas)
        data += b"".join(record.encode() for record in self.records)
        for kind, content in self.extensions:
            data += struct.pack("<HH", kind, len(content)) + content
        return data

    def encode(self, ring=()):
        """The message's bytes, with a MAC if KEYED: its own, or one made under the ring."""
        data = craft(self.body(), **{name: getattr(self, name) for name in HEAD_MEMBERS})
        if not self.flags & KEYED:
            return data
        return data + (mac_of(dict(ring)[self.key_id], data) if self.mac is None else self.mac)

    def size(self):
        return HEAD_LEN + len(self.body()) + (MAC_LEN if self.flags & KEYED else 0)

    def pad(self, size):
        """Pads to `size` bytes; 1 to 4 bytes are filled by an empty extension (§5.6, §9)."""
        lacking = size - self.size()
        if lacking > 0:
            self.extensions = self.extensions + [(PADDING, bytes(max(lacking - 4, 0)))]
        return self


HEAD_MEMBERS = ["kind", "flags", "key_id", "arg", "time_s", "tx_id", "cookie", "target", "sender"]


def craft(body, kind, flags, key_id, arg, time_s, tx_id, cookie, target, sender,
          magic=MAGIC, version=VERSION, body_len=None):
    """Head and body without MAC, sound or not."""
    return HEAD.pack(magic, version, kind, flags, key_id, arg,
                     len(body) if body_len is None else body_len,
                     time_s, tx_id, cookie, target, sender) + body


def mac_of(key, data):
    return siphash(key, data).to_bytes(MAC_LEN, "little")


# ---------------------------------------------------------------------------------------
# §8.1, §10 Receiving

def admit(data, ring, now_s):
    """Step 2 of §10: whether the sender is a member. `ring` is a list of (id, key)."""
    readable = len(data) >= OUTLINE_LEN and data[:2] == MAGIC
    if not ring:
        if readable and data[4] & KEYED:
            raise Refused("mac Unexpected")
        return
    if not readable:
        raise Refused("mac Short")
    if not data[4] & KEYED:
        raise Refused("mac Missing")
    if len(data) < HEAD_LEN + MAC_LEN:
        raise Refused("mac Short")
    key = dict(ring).get(data[6])
    if key is None:
        raise Refused("mac UnknownKey")
    if mac_of(key, data[:-MAC_LEN]) != data[-MAC_LEN:]:
        raise Refused("mac Wrong")
    ahead = (int.from_bytes(data[12:16], "little") - now_s) % 2**32
    if CLOCK_SLACK_S < ahead < 2**32 - CLOCK_SLACK_S:
        raise Refused("mac Stale")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, size, lacking):
        if self.left() < size:
            raise Refused(f"parse {lacking}")
        self.at += size
        return self.data[self.at - size:self.at]


def require(condition, name):
    if not condition:
        raise Refused(f"parse {name}")


def parse(data, stream=False):
    """Steps 1 and 3 to 6 of §10; raises Refused. `stream`: a message by TCP."""
    require(stream or len(data) <= DATAGRAM_MAX, "Oversize")
    require(not stream or len(data) <= STREAM_MAX, "Oversize")
    require(len(data) >= OUTLINE_LEN, "Short")
    require(data[:2] == MAGIC, "Magic")
    require(data[2] == VERSION, "Version")
    require(len(data) >= HEAD_LEN, "Short")
    _, _, kind, flags, key_id, arg, body_len, *rest = HEAD.unpack_from(data)
    mac_len = MAC_LEN if flags & KEYED else 0
    require(len(data) == HEAD_LEN + body_len + mac_len, "Length")
    require(not flags & FLAGS_RESERVED, "Reserved")
    require(kind in KINDS, "Kind")
    m = Message(kind, flags, key_id, arg, *rest)
    m.mac = data[len(data) - mac_len:] if mac_len else None
    reader = Reader(data[HEAD_LEN:HEAD_LEN + body_len])
    if m.kind == FAULT:
        require(m.is_reply, "FaultRequest")
        require(arg in FAULTS, "FaultCode")
    elif m.is_reply:
        parse_reply(m, reader)
    else:
        parse_request(m, reader)
    parse_extensions(m, reader)
    return m


def parse_reply(m, reader):
    fixed = reader.take(20, "Body")
    m.observed, m.total = endpoint_parse(fixed), int.from_bytes(fixed[18:], "little")
    if m.kind == STORE:
        require(m.arg in DURABILITIES, "Store")
    elif m.kind == FIND_VALUE and m.total:
        m.records = [parse_record(reader) for _ in range(m.arg)]
    elif m.kind in FINDS:
        m.contacts = [parse_contact(reader) for _ in range(m.arg)]


def parse_request(m, reader):
    if m.kind == FIND_VALUE:
        fixed = reader.take(FIND_VALUE_BODY.size, "Body")
        m.cursor, m.filter, reserved, m.publisher = FIND_VALUE_BODY.unpack(fixed)
        require(m.filter < len(FILTERS), "Filter")
        require(reserved == 0, "Reserved")
    elif m.kind == STORE:
        m.cas = int.from_bytes(reader.take(8, "Body"), "little")
        m.records = [parse_record(reader)]
        require(not m.records[0].announced, "Store")


def parse_contact(reader):
    data = reader.take(40, "Items")
    contact = Contact(data[:20], endpoint_parse(data[20:]), int.from_bytes(data[38:], "little"))
    require(not contact.flags & 0x00FF, "Reserved")
    return contact


def parse_record(reader):
    r = Record()
    r.value_len, r.remaining_s, r.kind, r.flags, r.cursor = RECORD.unpack(
        reader.take(RECORD.size, "Items"))
    require(r.kind in VALUE_KINDS, "ValueKind")
    require(not r.flags & RECORD_RESERVED, "Reserved")
    require(r.value_len <= VALUE_MAX, "ValueLength")
    if r.kind == SIGNED:
        tail = reader.take(SIGNED_TAIL.size, "Items")
        r.sequence, r.public_key, r.signature, r.salt = SIGNED_TAIL.unpack(tail)
    elif r.kind == PLAIN:
        r.publisher = reader.take(20, "Items")
    if not r.announced:
        r.value = reader.take(r.value_len, "Items")
    return r


def parse_extensions(m, reader):
    while reader.left():
        require(len(m.extensions) < EXTENSIONS_MAX, "ExtensionCount")
        kind, length = struct.unpack("<HH", reader.take(4, "Extension"))
        data = reader.take(length, "Extension")
        if kind == PADDING:
            require(not any(data), "Padding")
        elif kind == FORWARDED:
            require(length == FORWARD_DATA.size, "Extension")
            hops, reserved = data[34:36]
            require(hops <= 8 and reserved == 0, "Reserved")
        m.extensions.append((kind, data))


def receive(data, ring, now_s, stream=False):
    """All of §10: the message, or Refused."""
    if not stream and len(data) > DATAGRAM_MAX:
        raise Refused("parse Oversize")
    admit(data, ring, now_s)
    return parse(data, stream)


def stamp_of(key, data):
    """The stamp of a forward extension (§8.3): over tx_id, origin and epoch_s."""
    return siphash(key, data[:8] + data[16:34] + data[36:40])


# ---------------------------------------------------------------------------------------
# §12 JSON

def hex_int(value):
    return f"{value:016x}"


def digits(count):
    """Reads exactly `count` hexadecimal digits as bytes."""
    def read(text):
        if not isinstance(text, str) or (count is not None and len(text) != count):
            raise ValueError(f"not {count} hexadecimal digits: {text!r}")
        return bytes.fromhex(text)
    return read


def int64(text):
    return int.from_bytes(digits(16)(text), "big")


def hexed(data):
    return data.hex()


def same(value):
    return value


# Members that are the same both ways: name -> (to JSON, from JSON).
HEAD_JSON = {"key_id": (same, int), "time_s": (same, int), "tx_id": (hex_int, int64),
             "cookie": (hex_int, int64), "sender": (hexed, digits(40))}
TARGET_JSON = {"target": (hexed, digits(40))}
REPLY_JSON = {"observed": (endpoint_text, endpoint_from_text), "total": (same, int)}
FIND_VALUE_JSON = {"cursor": (same, int), "publisher": (hexed, digits(64)),
                   "filter": (FILTERS.__getitem__, FILTERS.index)}
STORE_JSON = {"cas": (hex_int, int64)}
CONTACT_JSON = {"id": (hexed, digits(40)), "endpoint": (endpoint_text, endpoint_from_text),
                "flags": (same, int)}
RECORD_JSON = {"remaining_s": (same, int), "cursor": (same, int), "flags": (same, int)}
SIGNED_JSON = {"sequence": (hex_int, int64), "public_key": (hexed, digits(64)),
               "signature": (hexed, digits(128)), "salt": (hexed, digits(32))}
PLAIN_JSON = {"publisher": (hexed, digits(40))}
FAULT_MEMBERS = ["version_min", "version_max", "kinds", "value_len_max", "sequence", "retry_ms"]


def message_members(kind, is_reply):
    """The members that are listed for such a message and map to one attribute each."""
    members = dict(HEAD_JSON)
    if kind != FAULT:
        members.update(TARGET_JSON)
        if is_reply:
            members.update(REPLY_JSON)
        elif kind == FIND_VALUE:
            members.update(FIND_VALUE_JSON)
        elif kind == STORE:
            members.update(STORE_JSON)
    return members


def record_members(kind):
    return {**RECORD_JSON, **{SIGNED: SIGNED_JSON, PLAIN: PLAIN_JSON}.get(kind, {})}


def write_members(thing, members):
    """The members that differ from the default: those that are zero are left out."""
    default = type(thing)()
    return {name: to(getattr(thing, name)) for name, (to, _) in members.items()
            if getattr(thing, name) != getattr(default, name)}


def read_members(thing, members, source):
    """Moves these members from the JSON object into the thing."""
    for name, (_, read) in members.items():
        if name in source:
            setattr(thing, name, read(source.pop(name)))


def nothing_left(source, of):
    if source:
        raise ValueError(f"{of} has no member {sorted(source)[0]!r}")


def to_json(m):
    out = {"version": VERSION, "kind": KINDS[m.kind]}
    out["flags"] = [name for bit, name in enumerate(FLAGS) if m.flags >> bit & 1]
    out["flags_ignored"] = m.flags & FLAGS_IGNORED
    out["arg"] = m.arg
    out = {name: value for name, value in out.items() if value}
    out.update(write_members(m, message_members(m.kind, m.is_reply)))
    if m.contacts:
        out["contacts"] = [write_members(contact, CONTACT_JSON) for contact in m.contacts]
    if m.records:
        out["records"] = [record_to_json(record) for record in m.records]
    if m.kind == FAULT:
        out["fault"] = {"code": m.fault_name, **dict(zip(FAULT_MEMBERS, m.fault))}
        out["fault"]["sequence"] = hex_int(m.held_sequence)
    if m.extensions:
        out["extensions"] = [{"type": kind, "data": data.hex()} for kind, data in m.extensions]
    if m.mac is not None:
        out["mac"] = m.mac.hex()
    return out


def record_to_json(record):
    out = {"kind": VALUE_KINDS[record.kind], **write_members(record, record_members(record.kind))}
    if record.announced:
        out["value_len"] = record.value_len
    else:
        out["value"] = record.value.hex()
    return out


def unique(pairs):
    """For json.loads: an object whose members stand once each."""
    out = dict(pairs)
    if len(out) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"twice: {next(n for n in names if names.count(n) > 1)!r}")
    return out


def from_json(text):
    source = json.loads(text, object_pairs_hook=unique) if isinstance(text, str) else dict(text)
    if source.pop("version", VERSION) != VERSION:
        raise ValueError("version")
    m = Message(kind=number_of(KINDS, source.pop("kind")))
    m.flags = sum(1 << FLAGS.index(name) for name in source.pop("flags", []))
    m.flags |= source.pop("flags_ignored", 0)
    read_members(m, message_members(m.kind, m.is_reply), source)
    if m.is_reply and m.kind in FINDS:
        if m.kind == FIND_VALUE and m.total:
            m.records = [record_from_json(record) for record in source.pop("records", [])]
        else:
            for item in source.pop("contacts", []):
                contact, item = Contact(), dict(item)
                read_members(contact, CONTACT_JSON, item)
                nothing_left(item, "a contact")
                m.contacts.append(contact)
        m.arg = len(m.contacts) + len(m.records)
    elif m.kind == STORE and not m.is_reply:
        m.records = [record_from_json(record) for record in source.pop("records")]
        if len(m.records) != 1:
            raise ValueError("a STORE has one record")
    elif m.kind == FAULT:
        info = {**dict.fromkeys(FAULT_MEMBERS, 0), "sequence": hex_int(0), **source.pop("fault")}
        m.arg = number_of(FAULTS, info.pop("code"))
        info["sequence"] = int64(info["sequence"])
        m.target = FAULT_INFO.pack(*(info.pop(name) for name in FAULT_MEMBERS))
        nothing_left(info, "a fault")
    told = source.pop("arg", m.arg)
    if m.arg and told != m.arg:
        raise ValueError("arg is not what the items or the code tell")
    m.arg = told
    for item in source.pop("extensions", []):
        kind, data = item.get("type", 0), item.get("data", "")
        nothing_left(set(item) - {"type", "data"}, "an extension")
        m.extensions.append((kind, bytes.fromhex(data)))
    if m.flags & KEYED and "mac" in source:
        m.mac = digits(16)(source.pop("mac"))
    nothing_left(source, f"such a {KINDS[m.kind]}")
    return m


def record_from_json(source):
    source = dict(source)
    record = Record(number_of(VALUE_KINDS, source.pop("kind")))
    read_members(record, record_members(record.kind), source)
    if not record.announced:
        record.value = digits(None)(source.pop("value", ""))
    record.value_len = source.pop("value_len", len(record.value))
    nothing_left(source, f"such a {VALUE_KINDS[record.kind]} value")
    return record


def number_of(names, name):
    """The number that has this name."""
    for number, known in names.items():
        if known == name:
            return number
    raise ValueError(f"no such name: {name!r}")


# ---------------------------------------------------------------------------------------
# The client

class NoAnswer(Exception):
    """Nobody answered in time."""


class FaultError(Exception):
    """A request was refused."""

    def __init__(self, reply):
        held = f", sequence held {reply.held_sequence}" if reply.held_sequence else ""
        retry = f", retry in {reply.retry_ms} ms" if reply.retry_ms else ""
        super().__init__(f"FAULT {reply.fault_name}{held}{retry}")
        self.reply = reply


def sockaddr(endpoint):
    ip, port = endpoint
    if ip.startswith(MAPPED):
        return str(ipaddress.IPv4Address(ip[12:])), port
    return str(ipaddress.IPv6Address(ip)), port


def family(endpoint):
    return socket.AF_INET if endpoint[0].startswith(MAPPED) else socket.AF_INET6


def endpoint_of_sockaddr(address):
    host, port = address[0].partition("%")[0], address[1]
    ip = ipaddress.ip_address(host)
    return (MAPPED + ip.packed if ip.version == 4 else ip.packed), port


def now():
    return int(time.time()) % 2**32


class Client:
    """One asker: an id, a socket per family, the cookies that its peers gave it."""

    def __init__(self, ring=(), timeout=1.5):
        self.ring, self.timeout = list(ring), timeout
        self.id = os.urandom(20)
        self.sockets = {}
        self.cookies = {}  # endpoint -> (cookie, when)

    def socket(self, endpoint):
        kind = family(endpoint)
        if kind not in self.sockets:
            sock = socket.socket(kind, socket.SOCK_DGRAM)
            sock.bind(("", 0))
            self.sockets[kind] = sock
        return self.sockets[kind]

    def close(self):
        for sock in self.sockets.values():
            sock.close()

    def own_endpoint(self, peer):
        """Where the peer sees this client, if there is no NAT between."""
        with socket.socket(family(peer), socket.SOCK_DGRAM) as route:
            route.connect(sockaddr(peer))
            host = route.getsockname()[0]
        return endpoint_of_sockaddr((host, self.socket(peer).getsockname()[1]))

    def cookie(self, peer):
        """The cookie last got from the peer while it is good for sure, or 0 (§9)."""
        cookie, when = self.cookies.get(peer, (0, 0))
        return cookie if time.monotonic() - when < COOKIE_LIFE_S - 10 else 0

    def head(self):
        """The head members that all requests of this client share."""
        key_id = self.ring[0][0] if self.ring else 0
        return {"flags": CLIENT | (KEYED if self.ring else 0), "key_id": key_id,
                "time_s": now(), "tx_id": int.from_bytes(os.urandom(8), "little"),
                "cookie": 0, "arg": 0, "target": self.id, "sender": self.id}

    def make(self, peer, kind, target=None, flags=0, pad=True, cookie=None, **members):
        """A request. Without a cookie it is padded to draw a whole reply (§9)."""
        m = Message(kind=kind, **{**self.head(), **members})
        m.flags |= flags
        m.target = self.id if target is None else target
        m.cookie = self.cookie(peer) if cookie is None else cookie
        if pad and not m.cookie:
            m.pad({FIND_NODE: DRAWS_CONTACTS, FIND_VALUE: DRAWS_ANY}.get(kind, 0))
        return m

    def exchange(self, requests, timeout=None, tries=2):
        """Sends requests [(peer, message, id or None)] at once; replies in the same order,
        None where none came. A reply is matched by tx_id, endpoint and id (§5)."""
        timeout = timeout or self.timeout
        open_ones = {message.tx_id: at for at, (_, message, _) in enumerate(requests)}
        replies = [None] * len(requests)
        for attempt in range(tries):
            for at in open_ones.values():
                peer, message, _ = requests[at]
                self.socket(peer).sendto(message.encode(self.ring), sockaddr(peer))
            deadline = time.monotonic() + timeout / tries
            while open_ones and (left := deadline - time.monotonic()) > 0:
                for sock in select.select(list(self.sockets.values()), [], [], left)[0]:
                    self.take(*sock.recvfrom(65536), requests, open_ones, replies)
        return replies

    def take(self, data, source, requests, open_ones, replies):
        try:
            reply = receive(data, self.ring, now())
        except Refused:
            return
        at = open_ones.get(reply.tx_id)
        if at is None or not reply.is_reply:
            return
        peer, message, expected = requests[at]
        if endpoint_of_sockaddr(source) != peer or reply.kind not in (message.kind, FAULT):
            return
        if expected is not None and reply.sender != expected:
            return
        if reply.cookie:
            self.cookies[peer] = reply.cookie, time.monotonic()
        del open_ones[reply.tx_id]
        replies[at] = reply

    def once(self, peer, *what, **how):
        """One request, one reply: whatever it says."""
        recursive = how.get("flags", 0) & RECURSE
        timeout = RECURSION_S + 2 if recursive else None
        request = self.make(peer, *what, **how)
        reply = self.exchange([(peer, request, None)], timeout, 1 if recursive else 2)[0]
        if reply is None:
            raise NoAnswer(f"no answer from {endpoint_text(peer)}")
        return reply

    def ask(self, peer, *what, **how):
        """One request, asked again with the cookie or later where that helps (§7)."""
        for _ in range(4):
            reply = self.once(peer, *what, **how)
            if reply.fault_name in ("busy", "recurse"):
                time.sleep(min(reply.retry_ms, 2000) / 1000)
            elif reply.fault_name != "cookie":
                break
        if reply.kind == FAULT:
            raise FaultError(reply)
        return reply

    def stream(self, peer, message):
        """One request and its reply by TCP, where no cookie is needed (§9)."""
        with socket.create_connection(sockaddr(peer), self.timeout) as sock:
            sock.settimeout(RECURSION_S + 2 if message.flags & RECURSE else 5)
            sock.sendall(message.encode(self.ring))
            data = read_exactly(sock, HEAD_LEN)
            rest = int.from_bytes(data[8:12], "little") + (MAC_LEN if data[4] & KEYED else 0)
            if data[:2] != MAGIC or HEAD_LEN + rest > STREAM_MAX:
                raise Refused("no reply of this format")
            reply = receive(data + read_exactly(sock, rest), self.ring, now(), stream=True)
        if not reply.is_reply or reply.tx_id != message.tx_id:
            raise Refused("a reply to something else")
        return reply

    # Compound operations

    def page(self, peer, key, filter=0, publisher=bytes(32), flags=0, page_log=None):
        """All records that the peer holds under the key and that pass the filter, by as many
        requests as it takes; (records, contacts if there are none). With RECURSE the first
        page only: cursors are positions with a holder (§6), and who that was is not told."""
        found, cursor = [], 0
        while cursor <= 0xFFFF:
            had_cookie = self.cookie(peer)
            reply = self.ask(peer, FIND_VALUE, key, flags, cursor=cursor, filter=filter,
                             publisher=publisher)
            if page_log is not None:
                page_log.append(reply)
            if reply.total == 0:
                return found, reply.contacts
            found += reply.records
            if not reply.more or flags & RECURSE:
                return found, []
            if reply.records:
                if reply.records[-1].cursor < cursor:
                    raise Refused("the cursors do not rise")
                cursor = reply.records[-1].cursor + 1
            elif had_cookie:
                raise Refused("MORE, yet nothing although the cookie is good")
        return found, []

    def fetch(self, peer, key, record):
        """The record with its value: an announced one by TCP (§6)."""
        if not record.announced:
            return record
        publisher = record.public_key if record.kind == SIGNED else (
            record.publisher + bytes(12) if record.kind == PLAIN else bytes(32))
        request = self.make(peer, FIND_VALUE, key, pad=False, cursor=record.cursor,
                            filter=record.kind, publisher=publisher)
        reply = self.stream(peer, request)
        if reply.kind == FAULT:
            raise FaultError(reply)
        for got in reply.records:
            if got.cursor == record.cursor and not got.announced:
                return got
        raise Refused("announced, but not there by TCP")

    def send_store(self, peer, key, record, cas=UNCONDITIONAL, flags=0):
        """A STORE, after a PING for the cookie if there is none; by TCP if it is long."""
        if len(record.value) > DATAGRAM_VALUE_MAX:
            request = self.make(peer, STORE, key, flags, cas=cas, records=[record])
            reply = self.stream(peer, request)
            if reply.kind == FAULT:
                raise FaultError(reply)
            return reply
        if not self.cookie(peer):
            self.ask(peer, PING)
        return self.ask(peer, STORE, key, flags, cas=cas, records=[record])

    def lookup(self, target, seeds):
        """The closest K contacts to the target that answer, nearest first: rounds of ALPHA
        FIND_NODE requests until the K closest known have all been asked (Kademlia §2.3)."""
        def distance(node_id):
            return int.from_bytes(node_id, "big") ^ int.from_bytes(target, "big")

        known, answered, dead = {}, {}, set()
        batch = [(None, seed) for seed in seeds]
        while batch:
            replies = self.exchange([(peer, self.make(peer, FIND_NODE, target), node_id)
                                     for node_id, peer in batch])
            for (node_id, peer), reply in zip(batch, replies):
                if reply is None or reply.kind == FAULT:
                    dead.add(node_id)
                    continue
                known[reply.sender] = answered[reply.sender] = peer
                for contact in reply.contacts:
                    if contact.id != self.id and endpoint_usable(contact.endpoint):
                        known.setdefault(contact.id, contact.endpoint)
            closest = sorted((n for n in known if n not in dead), key=distance)[:K]
            batch = [(n, known[n]) for n in closest if n not in answered][:ALPHA]
        return [Contact(n, answered[n]) for n in sorted(answered, key=distance)[:K]]

    def put(self, key, record, seeds, cas=UNCONDITIONAL):
        """STORE at the K closest: [(contact, reply or exception)]."""
        results = []
        for contact in self.lookup(key, seeds):
            try:
                results.append((contact, self.send_store(contact.endpoint, key, record, cas)))
            except (FaultError, NoAnswer, OSError) as error:
                results.append((contact, error))
        return results

    def get(self, key, seeds, filter=0, publisher=bytes(32)):
        """The values that the K closest hold: [(contact, record)], each value once and of each
        slot the highest sequence. What does not verify is left out."""
        best = {}
        for contact in self.lookup(key, seeds):
            try:
                records, _ = self.page(contact.endpoint, key, filter, publisher)
                records = [self.fetch(contact.endpoint, key, record) for record in records]
            except (FaultError, NoAnswer, Refused, OSError):
                continue
            for record in records:
                if not record.verifies(key) or (filter and record.kind != filter):
                    continue
                slot = record.kind, record.public_key, record.publisher
                if slot not in best or best[slot][1].sequence < record.sequence:
                    best[slot] = contact, record
        return list(best.values())


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 65536))
        if not piece:
            raise NoAnswer("the peer closed the connection")
        data += piece
    return data


def read_ring(path):
    """A network key file: one or two lines `NUMBER 32-hex-digits`."""
    return [ring_line(line) for line in Path(path).read_text().splitlines() if line.strip()]


def ring_line(line):
    number, secret = line.split()
    return int(number), digits(32)(secret)


# ---------------------------------------------------------------------------------------
# `vectors`: golden datagrams

def read_vectors(path):
    """The vectors of a file: runs of `key: value` lines; `key` may stand twice."""
    vector = {"key": []}
    for line in path.read_text().splitlines() + [""]:
        if not line:
            if "name" in vector:
                yield vector
            vector = {"key": []}
            continue
        name, _, value = line.partition(": ")
        if name == "key":
            vector["key"].append(value)
        else:
            vector[name] = value


def check_vector(vector):
    """Raises AssertionError if this implementation disagrees with the vector."""
    data, stream = bytes.fromhex(vector.get("hex", "")), vector["transport"] == "tcp"
    ring = [ring_line(line) for line in vector["key"]]
    now_s = int(vector.get("now_s", 0))
    try:
        message, verdict = receive(data, ring, now_s, stream), "ok"
    except Refused as refused:
        message, verdict = None, str(refused)
    assert verdict == vector["verdict"], f"verdict {verdict}, not {vector['verdict']}"
    if message is None:
        return
    assert message.encode() == data, "encoding what was parsed gives other bytes"
    named = from_json(vector["json"])
    assert named == message, f"its JSON says {named}, not {message}"
    assert named.encode() == data, "encoding its JSON gives other bytes"
    assert from_json(json.dumps(to_json(message))) == message, "own JSON does not lead back"
    if message.flags & KEYED:
        remade = dataclasses.replace(named, mac=None).encode(ring)
        assert remade == data, "another MAC"
    for kind, content in message.extensions:
        if kind == FORWARDED and ring:
            stamp = int.from_bytes(content[8:16], "little")
            assert stamp == stamp_of(ring[0][1], content), "another stamp"
    for record in message.records:
        if record.kind == SIGNED and not record.announced:
            check_golden_signature(record, message.target)


def check_golden_signature(record, key):
    """Golden signed values are all made with one secret, and ed25519 signs one way."""
    assert record.verifies(key), "the signature does not verify"
    made = signed_record(b"\x42" * 32, key, record.sequence, record.value, 0, record.salt)
    assert made.public_key == record.public_key, "another public key"
    assert made.signature == record.signature, "another signature"
    record = dataclasses.replace(record, sequence=record.sequence ^ 1)
    assert not record.verifies(key), "a forged sequence verifies"


def command_vectors(args):
    tally = Tally(quiet=True)
    for path in sorted(Path(args.dir).glob("*.txt")):
        for vector in read_vectors(path):
            tally.run(vector["name"], check_vector, vector)
    return tally.end()


class Tally:
    """Runs named checks and counts them."""

    def __init__(self, quiet=False):
        self.passed = self.failed = 0
        self.quiet = quiet

    def run(self, name, check, *args):
        """A check fails by any exception."""
        try:
            check(*args)
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            print(f"FAIL {name} {type(error).__name__}: {error}", flush=True)
            return
        self.passed += 1
        if not self.quiet:
            print(f"ok {name}", flush=True)

    def end(self):
        if self.passed + self.failed == 0:
            self.failed = 1
            print("FAIL nothing was there to check")
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


# ---------------------------------------------------------------------------------------
# `check`: live nodes

LIFETIME_S = 600
QUIET_S = 1.0  # how long an answer that must not come is waited for


def expect(value, wanted, what):
    assert value == wanted, f"{what} is {value!r}, not {wanted!r}"


def expect_fault(reply, name):
    expect(reply.fault_name, name, "the fault")
    low, high, kinds, longest, _, _ = reply.fault
    assert low <= VERSION <= high, f"versions {low} to {high}"
    expect(kinds & 0x3E, 0x3E, "the kinds known")
    assert 0 < longest <= VALUE_MAX, f"value_len_max {longest}"
    assert reply.cookie, "no cookie"


def expect_stored(reply, total=1):
    expect(reply.fault_name, None, "the fault")
    assert reply.arg in DURABILITIES, f"durability {reply.arg}"
    if total is not None:
        expect(reply.total, total, "total")


class Checks:
    """What FORMAT.md promises of a node, asked of live ones. The first address is asked
    most; the others are there to see what it did."""

    def __init__(self, ring, peers, tcp=False):
        self.ring, self.peers, self.peer, self.tcp = ring, peers, peers[0], tcp
        self.client = Client(ring)
        self.tally = Tally()

    def run_all(self):
        run = self.tally.run
        for peer in self.peers:
            run(f"ping_{endpoint_text(peer)}", self.ping, peer)
        for check in (
                self.find_node_cut, self.find_node_padded, self.find_node_with_cookie,
                self.wanted_families, self.client_untold, self.reply_echoes,
                self.store_needs_cookie, self.cookie_bound_to_endpoint, self.ignored_bits,
                self.immutable, self.immutable_wrong_hash, self.store_expired,
                self.value_empty, self.value_longest_datagram, self.signed_replace,
                self.signed_rollback, self.signed_cas, self.signed_bad, self.plain, self.filters,
                self.paging, self.none_fit_without_cookie, self.cursor_past_last,
                self.remaining_counts_down, self.lookup_agrees, self.put_get,
                self.recurse_needs_cookie, self.recurse_find_node, self.recurse_store,
                self.recurse_refusals, self.recurse_find_value, self.recurse_on_ping_ignored,
                self.two_keys, self.fault_version, self.fault_kind):
            run(check.__name__, check)
        for check in (self.announced_then_stream, self.stream_too_long) if self.tcp else ():
            run(check.__name__, check)
        for name, data in self.malformed():
            run(f"malformed_{name}", self.fault_malformed, data)
        self.unanswered()
        return self.tally.end()

    # Helpers

    def key(self):
        return os.urandom(20)

    def raw(self, body=b"", size=None, client=None, **members):
        """A request with any head and body; `size` truncates or fills it before the MAC."""
        head = {**(client or self.client).head(), "kind": PING, **members}
        data = craft(body, **head)
        if size is not None:
            data = data[:size].ljust(size, b"\0")
        if head["flags"] & KEYED:
            data += mac_of(self.ring[0][1] if self.ring else bytes(16), data)
        return data

    def send_raw(self, data):
        """Sends from a socket of its own; the replies that come within QUIET_S."""
        return self.send_all_raw([data])[0]

    def send_all_raw(self, datagrams):
        socks = []
        for data in datagrams:
            sock = socket.socket(family(self.peer), socket.SOCK_DGRAM)
            sock.sendto(data, sockaddr(self.peer))
            socks.append(sock)
        time.sleep(QUIET_S)
        replies = []
        for sock in socks:
            sock.setblocking(False)
            got = []
            try:
                while True:
                    got.append(sock.recv(65536))
            except BlockingIOError:
                pass
            sock.close()
            replies.append(got)
        return replies

    def one_raw(self, data):
        replies = self.send_raw(data)
        expect(len(replies), 1, "the number of replies")
        assert len(replies[0]) <= 3 * len(data), "more than three times the request"
        return receive(replies[0], self.ring, now())

    def fresh(self):
        """A client that no node gave a cookie."""
        return Client(self.ring)

    def with_cookie(self, peer=None):
        self.client.ask(peer or self.peer, PING)

    def store(self, key, record, **how):
        """One STORE at the first node with a cookie; its reply, FAULTs too."""
        self.with_cookie()
        return self.client.once(self.peer, STORE, key, records=[record],
                                **{"cas": UNCONDITIONAL, **how})

    def values(self, key, filter=0, publisher=bytes(32), peer=None):
        return self.client.page(peer or self.peer, key, filter, publisher)[0]

    # §5.1, §5.2, §9

    def ping(self, peer):
        client = self.fresh()
        reply = client.once(peer, PING)
        expect(reply.kind, PING, "the kind")
        expect(endpoint_text(reply.observed), endpoint_text(client.own_endpoint(peer)),
               "observed")
        expect(reply.total, 0, "total")
        assert reply.cookie, "no cookie"
        again = client.once(peer, PING)
        expect(again.sender, reply.sender, "the sender's id")
        client.close()

    def reply_echoes(self):
        for kind in (PING, FIND_NODE, FIND_VALUE):
            target = self.key()
            reply = self.client.ask(self.peer, kind, target)
            expect(reply.target, target, "the target")
            expect(reply.flags & ~(REPLY | MORE | KEYED), 0, "the other flags")
            assert abs(reply.time_s - now()) <= CLOCK_SLACK_S, f"clock {reply.time_s}"

    def find_node_cut(self):
        client = self.fresh()
        request = client.make(self.peer, FIND_NODE, self.key(), pad=False)
        size = len(request.encode(self.ring))
        reply = client.exchange([(self.peer, request, None)])[0]
        assert reply, "no answer"
        head = HEAD_LEN + 20 + (MAC_LEN if self.ring else 0)
        room = (3 * size - head) // 40
        assert reply.total > room, (
            f"this needs a node that knows more than {room}, this one knows {reply.total}")
        assert reply.more, "MORE is not set"
        expect(len(reply.contacts), room, "contacts")
        client.close()

    def find_node_padded(self):
        client, target = self.fresh(), self.key()
        request = client.make(self.peer, FIND_NODE, target)
        expect(len(request.encode(self.ring)), DRAWS_CONTACTS, "the request's size")
        reply = client.exchange([(self.peer, request, None)])[0]
        assert reply, "no answer"
        self.whole(reply)
        client.close()

    def find_node_with_cookie(self):
        target = self.key()
        self.with_cookie()
        request = self.client.make(self.peer, FIND_NODE, target)
        assert request.cookie and not request.extensions
        reply = self.client.exchange([(self.peer, request, None)])[0]
        assert reply, "no answer"
        self.whole(reply)

    def whole(self, reply):
        """That a FIND_NODE reply holds all that there is, each once."""
        assert not reply.more, "MORE is set"
        expect(len(reply.contacts), reply.total, "contacts")
        assert 0 < reply.total <= K, f"total {reply.total}"
        ids = [c.id for c in reply.contacts]
        expect(len(ids), len(set(ids)), "different contacts")
        assert reply.sender not in ids, "the replier is among them"
        assert self.client.id not in ids, "the asker is among them"
        assert all(endpoint_usable(c.endpoint) for c in reply.contacts), "a useless endpoint"

    def wanted_families(self):
        """Contacts come in the request's own family, or in those that are wanted."""
        for flags, families in ((0, {family(self.peer)}), (WANT4, {socket.AF_INET}),
                                (WANT6, {socket.AF_INET6}),
                                (WANT4 | WANT6, {socket.AF_INET, socket.AF_INET6})):
            reply = self.client.ask(self.peer, FIND_NODE, self.key(), flags)
            got = {family(c.endpoint) for c in reply.contacts}
            assert got <= families, f"flags {flags:#x}: families {got}"

    def client_untold(self):
        """A CLIENT is never told of: no node names one after it asked all of them."""
        for peer in self.peers:
            self.client.ask(peer, FIND_NODE, self.client.id)
        other = self.fresh()
        for peer in self.peers:
            reply = other.ask(peer, FIND_NODE, self.client.id)
            ids = [c.id for c in reply.contacts]
            assert self.client.id not in ids, f"{endpoint_text(peer)} tells of a client"
        other.close()

    def ignored_bits(self):
        """Flag bits 12 to 15, arg, key_id without KEYED and unknown extensions are ignored."""
        flags = CLIENT | FLAGS_IGNORED | (KEYED if self.ring else 0)
        members = {} if self.ring else {"key_id": 85}
        body = struct.pack("<HH4s", 0xBEEF, 4, b"what")
        reply = self.one_raw(self.raw(body, flags=flags, arg=238, **members))
        expect(reply.kind, PING, "the kind")
        expect(reply.flags & FLAGS_IGNORED, 0, "bits 12 to 15 of the reply")

    # §5.4, §6, §9: STORE

    def store_needs_cookie(self):
        value = os.urandom(40)
        key, record = immutable_key(value), immutable_record(value, LIFETIME_S)
        client = self.fresh()
        for cookie in (0, 0x1234567890ABCDEF):
            reply = client.once(self.peer, STORE, key, cas=UNCONDITIONAL, records=[record],
                                cookie=cookie)
            expect_fault(reply, "cookie")
        expect(self.values(key), [], "what is held")
        # The cookie of that very FAULT is good.
        reply = client.once(self.peer, STORE, key, cas=UNCONDITIONAL, records=[record],
                            cookie=reply.cookie)
        expect_stored(reply)
        client.close()

    def cookie_bound_to_endpoint(self):
        value, other = os.urandom(40), self.fresh()
        self.with_cookie()
        reply = other.once(self.peer, STORE, immutable_key(value), cas=UNCONDITIONAL,
                           records=[immutable_record(value, LIFETIME_S)],
                           cookie=self.client.cookie(self.peer))
        expect_fault(reply, "cookie")
        other.close()

    def immutable(self):
        value = os.urandom(100)
        key, record = immutable_key(value), immutable_record(value, LIFETIME_S)
        for _ in range(2):  # the second is acknowledged again
            expect_stored(self.store(key, record))
        held = self.values(key)
        expect([r.value for r in held], [value], "what is held")
        assert held[0].verifies(key), "it does not verify"

    def immutable_wrong_hash(self):
        key = self.key()
        expect_fault(self.store(key, immutable_record(b"something", LIFETIME_S)), "hash")
        expect(self.values(key), [], "what is held")

    def store_expired(self):
        value = os.urandom(30)
        reply = self.store(immutable_key(value), immutable_record(value, 0))
        expect_fault(reply, "expired")

    def value_empty(self):
        key = immutable_key(b"")
        expect_stored(self.store(key, immutable_record(b"", LIFETIME_S)))
        expect([r.value for r in self.values(key)], [b""], "what is held")

    def value_longest_datagram(self):
        """A signed value of 1000 bytes still travels in datagrams, both ways."""
        key, secret, value = self.key(), os.urandom(32), os.urandom(DATAGRAM_VALUE_MAX)
        record = signed_record(secret, key, 1, value, LIFETIME_S, salt=os.urandom(16))
        expect_stored(self.store(key, record))
        held = self.values(key)
        expect([r.value for r in held], [value], "what is held")
        expect(held[0].salt, record.salt, "the salt")
        assert held[0].verifies(key), "it does not verify"

    def announced_then_stream(self):
        value = os.urandom(DATAGRAM_VALUE_MAX + 1)
        key = immutable_key(value)
        expect_stored(self.client.send_store(self.peer, key, immutable_record(value, LIFETIME_S)))
        held = self.values(key)
        expect([(r.announced, r.value_len) for r in held], [(True, len(value))], "by UDP")
        expect(self.client.fetch(self.peer, key, held[0]).value, value, "by TCP")

    def stream_too_long(self):
        value = os.urandom(30)
        longest = self.store(self.key(), immutable_record(value, LIFETIME_S)).fault[3]
        if longest == VALUE_MAX:
            return
        value = bytes(longest + 1)
        request = self.client.make(self.peer, STORE, immutable_key(value), cas=UNCONDITIONAL,
                                   records=[immutable_record(value, LIFETIME_S)])
        expect_fault(self.client.stream(self.peer, request), "too_long")

    def slot(self):
        """A key and a function that stores sequences of one signed slot there."""
        key, secret = self.key(), os.urandom(32)

        def store(sequence, value, **how):
            record = signed_record(secret, key, sequence, value, LIFETIME_S)
            return self.store(key, record, **how)
        return key, store

    def signed_replace(self):
        key, store = self.slot()
        expect_stored(store(5, b"five"))
        expect_stored(store(5, b"five"))
        expect_stored(store(6, b"six"))
        held = self.values(key)
        expect([(r.sequence, r.value) for r in held], [(6, b"six")], "what is held")
        assert held[0].verifies(key), "it does not verify"

    def signed_rollback(self):
        key, store = self.slot()
        expect_stored(store(6, b"six"))
        for sequence, value in ((5, b"five"), (6, b"other")):
            reply = store(sequence, value)
            expect_fault(reply, "sequence")
            expect(reply.held_sequence, 6, "the sequence held")
        expect([r.value for r in self.values(key)], [b"six"], "what is held")

    def signed_cas(self):
        key, store = self.slot()
        reply = store(6, b"six", cas=3)
        expect_fault(reply, "cas")
        expect(reply.held_sequence, 0, "the sequence of an empty slot")
        expect_stored(store(6, b"six", cas=0))
        reply = store(7, b"seven", cas=5)
        expect_fault(reply, "cas")
        expect(reply.held_sequence, 6, "the sequence held")
        expect_stored(store(7, b"seven", cas=6))
        expect_stored(store(7, b"seven", cas=6))  # just what is held, whatever its cas
        expect([r.value for r in self.values(key)], [b"seven"], "what is held")

    def signed_bad(self):
        key, secret = self.key(), os.urandom(32)
        good = signed_record(secret, key, 1, b"value", LIFETIME_S)
        flipped = good.signature[:-1] + bytes([good.signature[-1] ^ 1])
        for change in ({"signature": flipped}, {"sequence": 2}, {"salt": b"\x01" + bytes(15)},
                       {"value": b"VALUE"}, {"public_key": ed25519_public(os.urandom(32))}):
            reply = self.store(key, dataclasses.replace(good, **change))
            expect_fault(reply, "signature")
        expect_fault(self.store(self.key(), good), "signature")  # signed for another key
        expect(self.values(key), [], "what is held")

    def plain(self):
        key, publisher = self.key(), self.client.id
        reply = self.store(key, plain_record(publisher, b"first", LIFETIME_S))
        if not self.ring:
            expect_fault(reply, "plain")
            expect(self.values(key), [], "what is held")
            return
        expect_stored(reply)
        expect_stored(self.store(key, plain_record(publisher, b"second", LIFETIME_S)))
        other = self.key()
        expect_stored(self.store(key, plain_record(other, b"other", LIFETIME_S)))
        for whose, value in ((publisher, b"second"), (other, b"other")):
            held = self.values(key, PLAIN, whose + bytes(12))
            expect([(r.publisher, r.value) for r in held], [(whose, value)], "what is held")

    # §5.3: FIND_VALUE

    def filters(self):
        """Under one key an immutable, two signed and (keyed) a plain value."""
        value = os.urandom(20)
        key, secrets = immutable_key(value), [os.urandom(32), os.urandom(32)]
        expect_stored(self.store(key, immutable_record(value, LIFETIME_S)))
        for secret in secrets:
            expect_stored(self.store(key, signed_record(secret, key, 1, b"signed", LIFETIME_S)))
        kinds = [IMMUTABLE, SIGNED, SIGNED]
        if self.ring:
            record = plain_record(self.client.id, b"plain", LIFETIME_S)
            expect_stored(self.store(key, record))
            kinds.append(PLAIN)
            held = self.values(key, PLAIN, self.client.id + bytes(12))
            expect([r.kind for r in held], [PLAIN], "plain ones")
        expect(sorted(r.kind for r in self.values(key)), kinds, "all")
        expect([r.value for r in self.values(key, IMMUTABLE)], [value], "immutable ones")
        for secret in secrets:
            public = ed25519_public(secret)
            held = self.values(key, SIGNED, public)
            expect([r.public_key for r in held], [public], "signed ones")
        none, contacts = self.client.page(self.peer, key, SIGNED, os.urandom(32))
        expect(none, [], "those of a stranger")
        assert contacts, "no contacts instead"

    def fill(self, count, size):
        """A key with `count` signed values of `size` bytes; the values."""
        key, values = self.key(), []
        for _ in range(count):
            values.append(os.urandom(size))
            record = signed_record(os.urandom(32), key, 1, values[-1], LIFETIME_S)
            expect_stored(self.store(key, record))
        return key, values

    def paging(self):
        """More values than a datagram holds come in several, each once, by rising cursors."""
        key, values = self.fill(7, 300)
        for ask_first in (self.client, self.fresh()):
            log = []
            held, _ = ask_first.page(self.peer, key, page_log=log)
            assert len(log) > 1, "one datagram held all"
            expect(sorted(r.value for r in held), sorted(values), "what is held")
            cursors = [r.cursor for r in held]
            expect(cursors, sorted(set(cursors)), "the cursors")
            expect({reply.total for reply in log}, {len(values)}, "total")
            expect([reply.more for reply in log], [True] * (len(log) - 1) + [False], "MORE")
            assert all(r.verifies(key) for r in held), "one does not verify"

    def none_fit_without_cookie(self):
        """A value that does not fit into 3 times the request: none, MORE, and a cookie."""
        key, values = self.fill(1, 900)
        client = self.fresh()
        reply = client.once(self.peer, FIND_VALUE, key, pad=False)
        expect((reply.total, reply.arg, reply.more), (1, 0, True), "total, arg, MORE")
        reply = client.once(self.peer, FIND_VALUE, key)
        expect([r.value for r in reply.records], values, "with the cookie")
        client.close()

    def cursor_past_last(self):
        key, values = self.fill(2, 10)
        last = self.values(key)[-1].cursor
        reply = self.client.ask(self.peer, FIND_VALUE, key, cursor=last)
        expect(len(reply.records), 1, "records from the last cursor")
        reply = self.client.ask(self.peer, FIND_VALUE, key, cursor=last + 1)
        expect((reply.total, reply.arg, reply.more), (len(values), 0, False),
               "total, arg, MORE past the last")

    def remaining_counts_down(self):
        """remaining_s is what was told, never more than a day, and a republish changes it not."""
        value = os.urandom(25)
        key = immutable_key(value)
        expect_stored(self.store(key, immutable_record(value, 1000)))
        expect_stored(self.store(key, immutable_record(value, 5000)))
        remaining = self.values(key)[0].remaining_s
        assert 900 <= remaining <= 1000, f"{remaining} s remain"
        value = os.urandom(25)
        key = immutable_key(value)
        expect_stored(self.store(key, immutable_record(value, 2**32 - 1)))
        remaining = self.values(key)[0].remaining_s
        assert 86_000 <= remaining <= 86_400, f"{remaining} s remain"

    # Lookups, §8.2

    def lookup_agrees(self):
        """Lookups that enter anywhere lead to the same nodes, those given among them."""
        target = self.key()
        results = [[c.id for c in self.client.lookup(target, [peer])] for peer in self.peers]
        for result in results[1:]:
            expect(result, results[0], "the closest")
        if len(results[0]) < K:
            ids = {self.client.ask(peer, PING).sender for peer in self.peers}
            assert ids <= set(results[0]), "a given node was not found"

    def put_get(self):
        key, secret, value = self.key(), os.urandom(32), os.urandom(200)
        record = signed_record(secret, key, 1, value, LIFETIME_S)
        results = self.client.put(key, record, [self.peer])
        assert results, "no node found"
        for _, reply in results:
            assert isinstance(reply, Message), f"a holder said {reply}"
            expect_stored(reply)
        found = self.client.get(key, [self.peers[-1]], SIGNED, record.public_key)
        expect([r.value for _, r in found], [value], "what was found")

    def holders(self, key):
        """Who of the whole network holds values under the key, asked one by one."""
        everybody = {c.endpoint for c in self.client.lookup(key, self.peers)} | set(self.peers)
        return [peer for peer in everybody if self.values(key, peer=peer)]

    def recurse_needs_cookie(self):
        value, client = os.urandom(20), self.fresh()
        key = immutable_key(value)
        expect_fault(client.once(self.peer, FIND_NODE, key, RECURSE, cookie=0), "cookie")
        expect_fault(client.once(self.peer, FIND_VALUE, key, RECURSE, cookie=0), "cookie")
        record = immutable_record(value, LIFETIME_S)
        reply = client.once(self.peer, STORE, key, RECURSE, cookie=0, cas=UNCONDITIONAL,
                            records=[record])
        expect_fault(reply, "cookie")
        client.close()

    def recurse_find_node(self):
        target = self.key()
        self.with_cookie()
        reply = self.client.ask(self.peer, FIND_NODE, target, RECURSE)
        expect(reply.sender, self.client.ask(self.peer, PING).sender, "the replier")
        by_itself = [c.id for c in self.client.lookup(target, self.peers)]
        found = [c.id for c in reply.contacts]
        if reply.sender not in found:  # §5.2: never the replier
            by_itself = [node_id for node_id in by_itself if node_id != reply.sender]
        expect(found[:len(by_itself)], by_itself[:len(found)], "the closest")

    def recurse_store(self):
        value = os.urandom(120)
        key = immutable_key(value)
        self.with_cookie()
        reply = self.client.ask(self.peer, STORE, key, RECURSE, cas=UNCONDITIONAL,
                                records=[immutable_record(value, LIFETIME_S)])
        expect_stored(reply, total=None)
        assert reply.total >= 1, "nobody acknowledged"
        expect(len(self.holders(key)), reply.total, "the number of holders")

    def recurse_refusals(self):
        """What the closest refuse is refused through the first, too."""
        key, store = self.slot()
        expect_stored(store(6, b"six", flags=RECURSE), total=None)
        expect_fault(store(5, b"five", flags=RECURSE), "sequence")
        expect_fault(store(7, b"seven", flags=RECURSE, cas=5), "cas")
        expect([r.value for r in self.values(key, peer=self.holders(key)[-1])], [b"six"],
               "what is held")

    def recurse_find_value(self):
        """What only the last node holds is found through the first."""
        key, secret, value = self.key(), os.urandom(32), os.urandom(150)
        record = signed_record(secret, key, 1, value, LIFETIME_S)
        expect_stored(self.client.send_store(self.peers[-1], key, record))
        expect(len(self.holders(key)), 1, "the number of holders")
        self.with_cookie()
        reply = self.client.ask(self.peer, FIND_VALUE, key, RECURSE)
        expect([r.value for r in reply.records], [value], "what was found")
        assert reply.records[0].verifies(key), "it does not verify"
        reply = self.client.ask(self.peer, FIND_VALUE, self.key(), RECURSE)
        expect((reply.total, reply.records), (0, []), "what nobody holds")
        assert reply.contacts, "no contacts instead"

    def recurse_on_ping_ignored(self):
        expect(self.client.once(self.peer, PING, flags=RECURSE).kind, PING, "the kind")

    # §8.1

    def two_keys(self):
        """What is signed under any key of the ring is accepted."""
        for key_id, key in self.ring:
            head = {**self.client.head(), "kind": PING, "key_id": key_id}
            data = craft(b"", **head)
            expect(self.one_raw(data + mac_of(key, data)).kind, PING, "the kind")

    # §7, §10

    def fault_version(self):
        expect_fault(self.one_raw(self.raw(version=2)), "version")

    def fault_kind(self):
        for kind in (0, 6, 255):
            expect_fault(self.one_raw(self.raw(kind=kind)), "kind")

    def fault_malformed(self, data):
        expect_fault(self.one_raw(data), "malformed")

    def malformed(self):
        """Requests with one thing wrong each, behind a sound head."""
        def extension(kind, content):
            return struct.pack("<HH", kind, len(content)) + content

        value = b"value"
        store = struct.pack("<Q", UNCONDITIONAL)
        record = immutable_record(value, LIFETIME_S)
        forward = FORWARD_DATA.pack(1, 2, bytes(18), 9, 0, 3)
        keyed = KEYED if self.ring else 0
        for name, members in {
                "length_less": {"body_len": 4},
                "length_more": {"body_len": 1},
                "length_wraps": {"body_len": 2**32 - 1},
                "flag_8": {"flags": CLIENT | keyed | 0x0100},
                "flag_11": {"flags": CLIENT | keyed | 0x0800},
                "find_value_short": {"kind": FIND_VALUE, "body": bytes(35)},
                "filter": {"kind": FIND_VALUE, "body": b"\0\0\x04" + bytes(33)},
                "find_value_reserved": {"kind": FIND_VALUE, "body": b"\0\0\0\x01" + bytes(32)},
                "store_short": {"kind": STORE, "body": store[:7]},
                "store_no_record": {"kind": STORE, "body": store},
                "store_announced": {"kind": STORE, "body": store + dataclasses.replace(
                    record, flags=ANNOUNCED, value=b"").encode()},
                "record_flags": {"kind": STORE, "body": store + dataclasses.replace(
                    record, flags=2).encode()},
                "record_cut": {"kind": STORE, "body": store + record.encode()[:-1]},
                "value_kind": {"kind": STORE, "body": store + dataclasses.replace(
                    record, kind=4).encode()},
                "value_len": {"kind": STORE, "body": store + dataclasses.replace(
                    record, value_len=VALUE_MAX + 1).encode()},
                "extension_head": {"body": b"\x34\x12\x04"},
                "extension_overrun": {"body": struct.pack("<HH", 9, 5) + b"data"},
                "nine_extensions": {"body": extension(2, b"") * 9},
                "padding": {"body": extension(PADDING, b"\0\0\x01")},
                "forward_short": {"kind": FIND_NODE, "body": extension(1, forward[:39])},
                "forward_hops": {"kind": FIND_NODE, "body": extension(1, forward)},
        }.items():
            if name == "length_less":
                members = {**members, "body": extension(PADDING, bytes(4))}
            yield name, self.raw(**members)

    def unanswered(self):
        """What must be met with silence; sent at once, then a PING that is answered."""
        keyed = KEYED if self.ring else 0
        reply = CLIENT | keyed | REPLY
        observed = endpoint_bytes(NOWHERE) + bytes(2)
        room = DATAGRAM_MAX - HEAD_LEN - (MAC_LEN if self.ring else 0)
        too_long, longest = (self.raw(struct.pack("<HH", PADDING, size - 4) + bytes(size - 4))
                             for size in (room + 1, room))
        assert (len(too_long), len(longest)) == (DATAGRAM_MAX + 1, DATAGRAM_MAX)
        sound = self.raw()
        silent = {
            "empty": b"",
            "reply": self.raw(observed, flags=reply),
            "reply_store": self.raw(observed, flags=reply, kind=STORE, arg=1),
            "reply_malformed": self.raw(b"\x01", flags=reply),
            "reply_version_2": self.raw(flags=reply, version=2),
            "reply_kind_6": self.raw(flags=reply, kind=6),
            "fault": self.raw(flags=reply, kind=FAULT, arg=3),
            "fault_code_0": self.raw(flags=reply, kind=FAULT, arg=0),
            "fault_without_reply": self.raw(kind=FAULT, arg=3),
            "oversize": too_long,
            "magic": self.raw(magic=b"kD"),
            "json": b"{" + sound[1:],
            "krpc": b"d" + sound[1:],
            "short_23": self.raw(size=23),
            "short_24_version_2": self.raw(size=24, version=2),
            "short_71": self.raw(size=71),
            "short_71_version_2": self.raw(size=71, version=2),
        }
        if self.ring:
            silent.update({
                "mac_missing": self.raw(flags=CLIENT),
                "mac_missing_version_2": self.raw(flags=CLIENT, version=2),
                "mac_wrong": sound[:-1] + bytes([sound[-1] ^ 1]),
                "mac_foreign_key": sound[:-8] + mac_of(os.urandom(16), sound[:-8]),
                "mac_unknown_id": self.raw(key_id=next(
                    n for n in range(1, 256) if n not in dict(self.ring))),
                "mac_truncated": sound[:-1],
                "clock_behind": self.raw(time_s=(now() - 130) % 2**32),
                "clock_ahead": self.raw(time_s=(now() + 130) % 2**32),
                "clock_half_range": self.raw(time_s=(now() + 2**31) % 2**32),
            })
        else:
            silent["mac_unexpected"] = self.raw(flags=CLIENT | KEYED, key_id=7)
        replies = self.send_all_raw(list(silent.values()) + [sound])
        for name, got in zip(silent, replies):
            self.tally.run(f"unanswered_{name}", expect, [d.hex() for d in got], [], "the answer")
        self.tally.run("answered_afterwards", expect, len(replies[-1]), 1, "replies to a PING")
        # The edges that are still in time or in size.
        if self.ring:
            for seconds in (-110, 110):
                data = self.raw(time_s=(now() + seconds) % 2**32)
                self.tally.run(f"answered_clock_{seconds}", self.one_raw, data)
        self.tally.run("answered_1232_bytes", self.one_raw, longest)


def command_check(args):
    checks = Checks(args.ring, [resolve(text) for text in args.addr], args.tcp)
    return checks.run_all()


# ---------------------------------------------------------------------------------------
# Single commands

def resolve(text):
    """HOST:PORT or [HOST]:PORT as an endpoint."""
    host, _, port = text.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    return endpoint_of_sockaddr(found[0][4])


def show_contacts(contacts):
    for contact in contacts:
        print(f"{contact.id.hex()} {endpoint_text(contact.endpoint)}")


def show_record(record, key, where=""):
    """A line of what the value is, and a line of its bytes."""
    owner = {SIGNED: f" public_key {record.public_key.hex()} sequence {record.sequence}",
             PLAIN: f" publisher {record.publisher.hex()}"}.get(record.kind, "")
    proof = ("announced" if record.announced else "unproven" if record.kind == PLAIN
             else "verified" if record.verifies(key) else "DOES NOT VERIFY")
    print(f"{VALUE_KINDS[record.kind]} {proof} {record.value_len} bytes, "
          f"{record.remaining_s} s left, cursor {record.cursor}{owner}{where}")
    if not record.announced:
        print(f"  {record.value.decode('utf-8', 'backslashreplace')}")


def show_stored(reply):
    print(f"stored: {DURABILITIES[reply.arg]}, {reply.total} acknowledged")


def filter_of(args):
    """(filter, publisher) as the options say."""
    if args.immutable:
        return IMMUTABLE, bytes(32)
    if args.publisher:
        return SIGNED, digits(64)(args.publisher)
    if args.plain_of:
        return PLAIN, digits(40)(args.plain_of) + bytes(12)
    return 0, bytes(32)


def record_of(args):
    """(key, record) as the options say."""
    *key, value = args.value
    value = value.encode()
    if args.immutable != (not key) or len(key) > 1:
        raise SystemExit("either KEY VALUE, or --immutable VALUE")
    if args.immutable:
        return immutable_key(value), immutable_record(value, args.lifetime)
    key = name_key(key[0])
    if args.plain:
        publisher = digits(40)(args.plain)
        return key, plain_record(publisher, value, args.lifetime)
    secret = digits(64)(args.secret) if args.secret else os.urandom(32)
    if not args.secret:
        print(f"secret {secret.hex()}")
    sequence = int(time.time() * 1e6) if args.sequence is None else args.sequence
    return key, signed_record(secret, key, sequence, value, args.lifetime)


def command_ping(args):
    started = time.monotonic()
    reply = args.client.ask(args.peer, PING)
    print(f"{reply.sender.hex()} at {args.addr} in {1000 * (time.monotonic() - started):.1f} ms, "
          f"sees {endpoint_text(reply.observed)}, cookie {reply.cookie:016x}")


def command_find_node(args):
    flags = RECURSE if args.recurse else 0
    reply = args.client.ask(args.peer, FIND_NODE, name_key(args.key), flags)
    show_contacts(reply.contacts)
    print(f"{len(reply.contacts)} of {reply.total} contacts")


def command_lookup(args):
    show_contacts(args.client.lookup(name_key(args.key), [args.peer]))


def command_find_value(args):
    flags = RECURSE if args.recurse else 0
    key = name_key(args.key)
    log = []
    records, contacts = args.client.page(args.peer, key, *filter_of(args), flags=flags,
                                         page_log=log)
    for record in records:
        show_record(record, key)
    show_contacts(contacts)
    print(f"{len(records)} of {log[0].total} values, {len(contacts)} contacts")


def command_store(args):
    key, record = record_of(args)
    print(f"key {key.hex()}")
    flags = RECURSE if args.recurse else 0
    show_stored(args.client.send_store(args.peer, key, record, args.cas, flags))


def command_put(args):
    key, record = record_of(args)
    print(f"key {key.hex()}")
    if args.recurse:
        show_stored(args.client.send_store(args.peer, key, record, args.cas, RECURSE))
        return 0
    stored = 0
    for contact, reply in args.client.put(key, record, [args.peer], args.cas):
        said = DURABILITIES[reply.arg] if isinstance(reply, Message) else reply
        stored += isinstance(reply, Message)
        print(f"{contact.id.hex()} {endpoint_text(contact.endpoint)} {said}")
    print(f"stored at {stored}")
    return 0 if stored else 1


def command_get(args):
    key = name_key(args.key)
    if args.recurse:
        records, _ = args.client.page(args.peer, key, *filter_of(args), flags=RECURSE)
        found = [(None, record) for record in records]
    else:
        found = args.client.get(key, [args.peer], *filter_of(args))
    for contact, record in found:
        show_record(record, key, f" from {endpoint_text(contact.endpoint)}" if contact else "")
    print(f"{len(found)} values")
    return 0 if found else 1


def arguments():
    parser = argparse.ArgumentParser(description="A client of the kdht network")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name, run, *positional, to_node=True, **keywords):
        command = commands.add_parser(name, help=keywords.pop("help", None))
        command.set_defaults(run=run, to_node=to_node)
        for argument in positional:
            command.add_argument(argument, **keywords.get(argument, {}))
        return command

    add("vectors", command_vectors, "dir", to_node=False, help="golden datagrams")
    check = add("check", command_check, "addr", to_node=False, addr={"nargs": "+"},
                help="hold live nodes against the format")
    check.add_argument("--tcp", action="store_true", help="check values by TCP too (§6)")
    nodes = [check, add("ping", command_ping, "addr", help="one PING"),
             add("lookup", command_lookup, "addr", "key", help="iterative lookup")]
    finds = [add("find-node", command_find_node, "addr", "key", help="one FIND_NODE")]
    values = [add("find-value", command_find_value, "addr", "key", help="FIND_VALUE, all pages"),
              add("get", command_get, "addr", "key", help="lookup, then FIND_VALUE")]
    stores = [add(name, run, "addr", "value", value={"nargs": "+", "metavar": "KEY VALUE"},
                  help=text)
              for name, run, text in (("store", command_store, "one STORE"),
                                      ("put", command_put, "lookup, then STORE"))]
    for command in nodes + finds + values + stores:
        command.add_argument("--network-key", metavar="FILE", help="keys of a private network")
    for command in finds + values + stores:
        command.add_argument("--recurse", action="store_true",
                             help="let the node do the whole lookup")
    for command in values:
        command.add_argument("--immutable", action="store_true")
        command.add_argument("--publisher", metavar="PUBLIC_KEY", help="64 hexadecimal digits")
        command.add_argument("--plain-of", metavar="ID", help="40 hexadecimal digits")
    for command in stores:
        command.add_argument("--immutable", action="store_true", help="under its hash: no KEY")
        command.add_argument("--plain", metavar="ID", help="unsigned, of this publisher's id")
        command.add_argument("--secret", metavar="HEX", help="ed25519 seed, 64 hexadecimal digits")
        command.add_argument("--sequence", type=int)
        command.add_argument("--cas", type=int, default=UNCONDITIONAL)
        command.add_argument("--lifetime", type=int, default=86_400, help="seconds")
    return parser.parse_args()


def main():
    args = arguments()
    key_file = getattr(args, "network_key", None)
    args.ring = read_ring(key_file) if key_file else []
    if args.to_node:
        args.client, args.peer = Client(args.ring), resolve(args.addr)
    try:
        return args.run(args) or 0
    except (NoAnswer, FaultError, Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
