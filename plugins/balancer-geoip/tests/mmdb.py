"""Writes small databases in MaxMind's format (its specification, version 2.0): enough for tests."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARK = b"\xab\xcd\xefMaxMind.com"


def write(path: Path, networks: Mapping[str, Any]) -> None:
    """Write a database that maps networks (IPv4 or IPv6) to values of dicts, lists, strings and integers."""
    root: list[Any] = [None, None]
    nodes = [root]
    for network, value in networks.items():
        net = ipaddress.ip_network(network)
        length = net.prefixlen + (96 if net.version == 4 else 0)
        bits = f"{int(net.network_address):0128b}"[:length]
        node = root
        for bit in bits[:-1]:
            if not isinstance(node[int(bit)], list):
                node[int(bit)] = [None, None]
                nodes.append(node[int(bit)])
            node = node[int(bit)]
        node[int(bits[-1])] = ("data", value)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    data = b""
    tree = b""
    for node in nodes:
        for side in node:
            if side is None:
                record = len(nodes)
            elif isinstance(side, list):
                record = numbers[id(side)]
            else:
                record = len(nodes) + 16 + len(data)
                data += _encoded(side[1])
            tree += record.to_bytes(4, "big")
    metadata = {
        "node_count": len(nodes), "record_size": 32, "ip_version": 6, "database_type": "Test", "languages": ["en"],
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1, "description": {"en": "test"},
    }  # fmt: skip
    short = ("record_size", "ip_version", "binary_format_major_version", "binary_format_minor_version")
    described = _control(7, len(metadata))
    for name, value in metadata.items():
        described += _encoded(name)
        described += (
            _number(5, value) if name in short else _number(9, value) if name == "build_epoch" else _encoded(value)
        )
    path.write_bytes(tree + bytes(16) + data + _MARK + described)


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return _control(2, len(text)) + text
    if isinstance(value, int):
        return _number(6, value)
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(_encoded(each) for pair in value.items() for each in pair)
    return _control(11, len(value)) + b"".join(map(_encoded, value))


def _number(kind: int, value: Any) -> bytes:
    number = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _control(kind, len(number)) + number


def _control(kind: int, size: int) -> bytes:
    assert size < 285
    short = min(size, 29)
    first = bytes([kind << 5 | short]) if kind < 8 else bytes([short, kind - 7])
    return first + (bytes([size - 29]) if short == 29 else b"")
