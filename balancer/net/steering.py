"""Keeping new connections away from listening sockets that are about to be closed, by small programs in the kernel.

When a listening socket is closed, the connections in its queue are reset, though their clients believe to be connected;
so nothing should come there any more before the queue is emptied a last time::

    steer(skt, 2)     of the sockets that share the address of ``skt`` (SO_REUSEPORT) only the first 2 to have listened
                      get new connections, each as many as the other
    unsteer(skt)      all get them again, by the kernel's own hash
    shut_out(skt)     nobody can begin to connect to ``skt``; who tries is not answered, and tries again after a second

Handshakes that have begun end as they would have, in the socket in which they began. The programs are classic BPF, which
needs no privilege. Linux only; elsewhere, and where the kernel refuses, all of this does nothing and says so.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

__all__ = ["shut_out", "steer", "unsteer"]

# <asm-generic/socket.h>; these two have numbers of their own.
_KNOWN = sys.platform == "linux" and not os.uname().machine.startswith(("sparc", "parisc"))
_SO_ATTACH_FILTER = 26
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68

# <linux/filter.h>
_LOAD_WORD, _LOAD_BYTE, _MODULO, _RETURN, _RETURN_A, _JUMP_IF_SET = 0x20, 0x30, 0x94, 0x06, 0x16, 0x45
_RANDOM = 0xFFFFF000 + 56
"""Where a random number is read from. (The packet's hash, ``rxhash``, is 0 with network cards that make none.)"""
_FLAGS, _SYN = 13, 0x02

_Instruction = tuple[int, int, int, int]
"""Code, how far to jump if true and if false, operand."""


def steer(skt: socket.socket, count: int) -> bool:
    """Let only the first ``count`` sockets of the group of ``skt`` have new connections; return whether that is so."""
    return _attach(
        skt, _SO_ATTACH_REUSEPORT_CBPF, (_LOAD_WORD, 0, 0, _RANDOM), (_MODULO, 0, 0, count), (_RETURN_A, 0, 0, 0)
    )


def unsteer(skt: socket.socket) -> None:
    """Let all sockets of the group of ``skt`` have new connections again."""
    if _KNOWN:
        try:
            skt.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
        except OSError:
            pass  # there is no program, or nothing that could have one


def shut_out(skt: socket.socket) -> bool:
    """Let nobody begin to connect to ``skt``, for good; return whether that is so."""
    drop, take = (_RETURN, 0, 0, 0), (_RETURN, 0, 0, 0xFFFFFFFF)
    return _attach(skt, _SO_ATTACH_FILTER, (_LOAD_BYTE, 0, 0, _FLAGS), (_JUMP_IF_SET, 0, 1, _SYN), drop, take)


def _attach(skt: socket.socket, option: int, *instructions: _Instruction) -> bool:
    if not _KNOWN:
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in instructions))
    try:
        skt.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(instructions), ctypes.addressof(program)))
    except OSError:
        return False
    return True
