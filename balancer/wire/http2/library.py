"""libnghttp2, called through cffi in ABI mode: what of it is used, and whether it is here.

Pointers that are only handed on are passed as integers, for which cffi makes no objects; what is called for each header field goes
around the functions of cffi that are written in Python. Together that is half of what a callback costs.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from balancer.wire.http2.interface import Limits, Repeated

__all__ = ["Library", "library"]

_NAMES = ("libnghttp2.so.14", "libnghttp2.14.dylib")
_OLDEST = 0x013200
"""1.50: the first that refuses whitespace around values, as RFC 9113 has it."""

_TYPES = """
typedef struct { size_t length; int32_t stream; uint8_t type; uint8_t flags; uint8_t reserved; uint32_t first; uint32_t second; } Frame;
typedef int (*on_header)(uintptr_t, uintptr_t, char *name, size_t, char *value, size_t, uint8_t, uintptr_t);
typedef int (*on_frame)(uintptr_t, Frame *, uintptr_t);
typedef int (*on_invalid_frame)(uintptr_t, Frame *, int, uintptr_t);
typedef int (*on_data)(uintptr_t, uint8_t, int32_t, char *, size_t, uintptr_t);
typedef ssize_t (*on_read)(uintptr_t, int32_t, char *, size_t, uint32_t *, uintptr_t, uintptr_t);
typedef struct { uintptr_t source; on_read read; } Provider;
typedef struct { int32_t id; uint32_t value; } Setting;
typedef struct { int age; int version_num; const char *version_str; } Info;

Info *nghttp2_version(int);
int nghttp2_session_callbacks_new(uintptr_t *);
void nghttp2_session_callbacks_set_on_header_callback(uintptr_t, on_header);
void nghttp2_session_callbacks_set_on_invalid_header_callback(uintptr_t, on_header);
void nghttp2_session_callbacks_set_on_frame_recv_callback(uintptr_t, on_frame);
void nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(uintptr_t, on_invalid_frame);
void nghttp2_session_callbacks_set_on_data_chunk_recv_callback(uintptr_t, on_data);
int nghttp2_option_new(uintptr_t *);
void nghttp2_option_set_no_auto_window_update(uintptr_t, int);
void nghttp2_option_set_peer_max_concurrent_streams(uintptr_t, uint32_t);
void nghttp2_option_set_max_outbound_ack(uintptr_t, size_t);
void nghttp2_option_set_max_send_header_block_length(uintptr_t, size_t);
int nghttp2_session_server_new2(uintptr_t *, uintptr_t, uintptr_t, uintptr_t);
int nghttp2_session_client_new2(uintptr_t *, uintptr_t, uintptr_t, uintptr_t);
void nghttp2_session_del(uintptr_t);
ssize_t nghttp2_session_mem_recv(uintptr_t, const char *, size_t);
ssize_t nghttp2_session_mem_send(uintptr_t, char **);
int nghttp2_session_set_local_window_size(uintptr_t, uint8_t, int32_t, int32_t);
uint32_t nghttp2_session_get_remote_settings(uintptr_t, int);
int32_t nghttp2_session_get_remote_window_size(uintptr_t);
int32_t nghttp2_session_get_stream_remote_window_size(uintptr_t, int32_t);
int nghttp2_session_consume_connection(uintptr_t, size_t);
int nghttp2_session_consume_stream(uintptr_t, int32_t, size_t);
int nghttp2_session_resume_data(uintptr_t, int32_t);
int nghttp2_submit_settings(uintptr_t, uint8_t, Setting *, size_t);
int32_t nghttp2_submit_request(uintptr_t, uintptr_t, uintptr_t, size_t, Provider *, uintptr_t);
int nghttp2_submit_response(uintptr_t, int32_t, uintptr_t, size_t, Provider *);
int32_t nghttp2_submit_headers(uintptr_t, uint8_t, int32_t, uintptr_t, uintptr_t, size_t, uintptr_t);
int nghttp2_submit_trailer(uintptr_t, int32_t, uintptr_t, size_t);
int nghttp2_submit_rst_stream(uintptr_t, uint8_t, int32_t, uint32_t);
int nghttp2_submit_ping(uintptr_t, uint8_t, const char *);
int nghttp2_submit_goaway(uintptr_t, uint8_t, int32_t, uint32_t, const char *, size_t);
"""
_NEWER = {
    "nghttp2_option_set_max_continuations": "void nghttp2_option_set_max_continuations(uintptr_t, size_t);",
    "nghttp2_option_set_stream_reset_rate_limit": (
        "void nghttp2_option_set_stream_reset_rate_limit(uintptr_t, uint64_t, uint64_t);"
    ),
}
"""What not every version has."""

_MOST_FIELDS = 1024
_FIELD = struct.Struct("PPNNB7x")
_FIELD_SIZE = _FIELD.size
_FLAGS = 32
_NEVER_INDEXED = b"\1"


class Library:
    """The library as loaded, and what of it every session shares."""

    def __init__(self, ffi: Any, functions: Any) -> None:
        self.ffi = ffi
        self.functions = functions
        self.pointer = ffi.new("uintptr_t *")
        self._fields = ffi.new("char[]", _FIELD.size * _MOST_FIELDS)
        self.fields_at = int(ffi.cast("uintptr_t", self._fields))
        self._fields_buffer = ffi.buffer(self._fields)
        self._packers: dict[int, struct.Struct] = {}
        self.written = ffi.new("char **")
        backend = ffi._backend
        self._from_buffer, self._cast = backend.from_buffer, backend.cast
        self._char_array, self._integer = ffi.typeof("char[]"), ffi.typeof("uintptr_t")
        self.bytes_at: Callable[[Any, int], bytes] = backend.unpack
        """Returns a copy of memory, given its place and its size."""
        self.put_bytes: Callable[[Any, bytes, int], None] = backend.memmove
        info = functions.nghttp2_version(0)
        self.version = ffi.string(info.version_str).decode("ascii")
        self.number = int(info.version_num)

    def put_fields(self, headers: list[tuple[bytes, bytes]]) -> Any:
        """Lay out a header list at ``fields_at``; what is returned must live until it was read."""
        count = len(headers)
        packer = self._packers.get(count)
        if packer is None:
            if count > _MOST_FIELDS:
                raise ValueError(f"more than {_MOST_FIELDS} header fields")
            packer = self._packers[count] = struct.Struct("PPNNB7x" * count)
        flat: list[bytes] = []
        for pair in headers:
            flat += pair
        kept = self._from_buffer(self._char_array, b"".join(flat))
        at = int(self._cast(self._integer, kept))
        numbers: list[int] = []
        for name, value in headers:
            size = len(name)
            length = len(value)
            behind = at + size
            numbers += (at, behind, size, length, 0)
            at = behind + length
        packer.pack_into(self._fields_buffer, 0, *numbers)
        return kept

    def put_with(self, headers: list[tuple[bytes, bytes]], last: tuple[bytes, bytes]) -> Any:
        """The same with one more field, that is kept out of the table."""
        kept = self.put_fields([*headers, last])
        self._fields_buffer[_FIELD_SIZE * len(headers) + _FLAGS] = _NEVER_INDEXED
        return kept

    def put_again(self, headers: Repeated, last: tuple[bytes, bytes]) -> Any:
        """The same for a list that was laid out before, and a field that was not. Measured: 0.7 µs instead of 2.3."""
        packed = headers.packed
        if not packed:
            headers.kept = self.put_fields(headers)
            packed = headers.packed = self._fields_buffer[: _FIELD_SIZE * len(headers)]
        name, value = last
        kept = self._from_buffer(self._char_array, name + value)
        at = int(self._cast(self._integer, kept))
        size = len(name)
        end = len(packed)
        buffer = self._fields_buffer
        buffer[:end] = packed
        buffer[end : end + _FIELD_SIZE] = _FIELD.pack(at, at + size, size, len(value), 1)
        return kept

    @lru_cache(maxsize=64)  # noqa: B019 - there is one library, for ever
    def option(self, limits: Limits) -> int:
        """Return the options of sessions with these limits."""
        functions = self.functions
        functions.nghttp2_option_new(self.pointer)
        option = int(self.pointer[0])
        functions.nghttp2_option_set_no_auto_window_update(option, 1)
        functions.nghttp2_option_set_peer_max_concurrent_streams(option, 100)
        functions.nghttp2_option_set_max_outbound_ack(option, limits.pings + limits.settings + 16)
        functions.nghttp2_option_set_max_send_header_block_length(option, 1 << 20)
        # The session counts these itself, in the way that its limits say.
        if hasattr(functions, "nghttp2_option_set_max_continuations"):
            # Versions that were mended for CVE-2024-28182 count a frame again whenever its header comes in another piece.
            functions.nghttp2_option_set_max_continuations(option, 10 * (limits.continuations + 1))
        if hasattr(functions, "nghttp2_option_set_stream_reset_rate_limit"):
            functions.nghttp2_option_set_stream_reset_rate_limit(option, 1 << 30, 1 << 20)
        return option


@cache
def library() -> Library | None:
    """Return libnghttp2; None where it is not found, is too old, or cannot be called."""
    if struct.calcsize("P") != 8 or sys.byteorder != "little":
        return None
    try:
        from cffi import FFI
    except ImportError:
        return None
    for name in _NAMES:
        ffi = FFI()
        ffi.cdef(_TYPES)
        for declared in _NEWER.values():
            ffi.cdef(declared)
        try:
            found = Library(ffi, ffi.dlopen(name))
        except (OSError, AttributeError):
            continue
        if found.number >= _OLDEST:
            return found
    return None
