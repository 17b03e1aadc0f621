"""The parts of a multipart body (RFC 2046 section 5.1, RFC 7578), read strictly: what two readers may read in two ways is a fault.

::

    preamble CRLF --boundary CRLF fields CRLF CRLF data CRLF --boundary … CRLF --boundary-- epilogue
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from balancer.model.inspection.values import Fault

__all__ = ["Part", "multipart_parts"]

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-](?:[0-9A-Za-z'()+_,./:=? -]{0,68}[0-9A-Za-z'()+_,./:=?-])?\Z")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_PARAMETER = re.compile(r";\s*([^\s=;\"]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^;\"\s]*)\s*", re.DOTALL)
_FIELDS = 8192
"""Bytes of the fields of one part."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: ``name``, ``filename`` (None: it is no file), its ``headers`` in order as text, its bytes."""

    name: str
    filename: str | None
    headers: tuple[tuple[str, str], ...]
    data: bytes

    @property
    def text(self) -> str:
        """Its bytes as text."""
        return self.data.decode("utf-8", "replace")


def multipart_parts(
    content_type: str, body: bytes, whole: bool, most: int
) -> tuple[tuple[Part, ...], tuple[Fault, ...]]:
    """Return the parts of ``body``, and what is malformed.

    Args:
        content_type: the value of the field, which names the boundary.
        body: the bytes.
        whole: whether they are all.
        most: how many parts are read.
    """
    reading = _Reading()
    boundary = reading.boundary(content_type)
    if boundary:
        reading.read(body, b"--" + boundary, whole, most)
    return tuple(reading.parts), tuple(reading.faults.values())


class _Reading:
    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.faults: dict[str, Fault] = {}

    def _fault(self, code: str, detail: str) -> None:
        self.faults.setdefault(code, Fault("multipart", code, detail))

    def boundary(self, content_type: str) -> bytes:
        found = [value for name, value in self._parameters(content_type) if name == "boundary"]
        if not found:
            self._fault("no_boundary", "Content-Type names no boundary")
            return b""
        if len(found) > 1:
            self._fault("boundaries", "Content-Type names more than one boundary")
        if not _BOUNDARY.match(found[0]):
            self._fault("bad_boundary", f"the boundary {found[0][:80]!r}")
        return found[0].encode("latin-1", "replace")

    def read(self, body: bytes, delimiter: bytes, whole: bool, most: int) -> None:
        if body.startswith(delimiter):
            at = 0
        else:
            at = body.find(b"\r\n" + delimiter)
            if at < 0:
                at = body.find(delimiter)
                self._fault("no_part", "the boundary is not there") if at < 0 else self._fault(
                    "bare_lf", "a line that ends in LF"
                )
            self._fault("preamble", "text before the first boundary")
            if at < 0:
                return
            at = body.index(delimiter, at)
        while True:
            at += len(delimiter)
            if body.startswith(b"--", at):
                if body[at + 2 :].strip(b" \t\r\n"):
                    self._fault("epilogue", "text behind the last boundary")
                return
            begin = self._line_end(body, at)
            if begin < 0:
                break
            following = body.find(b"\n" + delimiter, begin - 1)
            end = len(body) if following < 0 else following
            if following >= 0:
                if end > begin and body[end - 1 : end] == b"\r":
                    end -= 1
                elif end >= begin:
                    self._fault("bare_lf", "a line that ends in LF")
            if len(self.parts) >= most:
                self._fault("too_many", f"more than {most} parts")
                return
            self._part(body, begin, max(begin, end))
            if following < 0:
                break
            at = following + 1
        if whole:
            self._fault("no_end", "there is no last boundary")

    def _line_end(self, body: bytes, at: int) -> int:
        """Return where the line behind a boundary ends, -1 if it does not."""
        end = body.find(b"\n", at)
        if end < 0:
            return -1
        rest = body[at:end]
        if not rest.endswith(b"\r"):
            self._fault("bare_lf", "a line that ends in LF")
        if rest.strip(b" \t\r"):
            self._fault("boundary_line", "text behind a boundary on its line")
        return end + 1

    def _part(self, body: bytes, begin: int, end: int) -> None:
        stop = body.find(b"\r\n\r\n", begin - 2, min(end, begin + _FIELDS))
        skip = 4
        if stop < 0:
            stop = body.find(b"\n\n", begin - 1, min(end, begin + _FIELDS))
            skip = 2
            self._fault("part_fields", "the fields of a part do not end") if stop < 0 else self._fault(
                "bare_lf", "a line that ends in LF"
            )
        if stop < 0:
            self.parts.append(Part("", None, (), body[begin:end]))
            return
        headers = self._headers(body[begin : max(begin, stop)])
        name, filename = self._disposition(headers)
        data_at = min(end, stop + skip)
        self.parts.append(Part(name, filename, headers, body[data_at:end]))

    def _headers(self, block: bytes) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        for raw in block.split(b"\n"):
            line = raw.removesuffix(b"\r")
            if not line:
                continue
            if line[:1] in (b" ", b"\t"):
                self._fault("folding", "a field that goes on in the next line")
                if found:
                    found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip().decode('utf-8', 'replace')}")
                continue
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.match(name):
                self._fault("part_field", f"a line that is no field: {line[:40]!r}")
            if b"\x00" in line or b"\r" in line:
                self._fault("part_control", "a control character in a field")
            found.append((name.decode("latin-1").lower(), value.strip(b" \t").decode("utf-8", "replace")))
        return tuple(found)

    def _disposition(self, headers: tuple[tuple[str, str], ...]) -> tuple[str, str | None]:
        names = [name for name, _ in headers]
        if len(set(names)) != len(names):
            self._fault("repeated_field", "a field of a part that is repeated")
        if "content-transfer-encoding" in names:
            self._fault(
                "transfer_encoding", "Content-Transfer-Encoding, which forms do not have (RFC 7578 section 4.7)"
            )
        for name, value in headers:
            if name == "content-type" and value.lower().startswith("multipart/"):
                self._fault("nested", "multipart within multipart")
        disposition = next((value for name, value in headers if name == "content-disposition"), None)
        if disposition is None or disposition.partition(";")[0].strip().lower() != "form-data":
            self._fault("disposition", "a part that is no form-data")
            if disposition is None:
                return "", None
        parameters = self._parameters(disposition)
        keys = [key for key, _ in parameters]
        if len(set(keys)) != len(keys):
            self._fault("repeated_parameter", "a name or file name that is given twice")
        if "filename*" in keys:
            self._fault("extended", "filename*, which forms do not have (RFC 7578 section 4.2)")
        if "name" not in keys:
            self._fault("no_name", "a part without a name")
        known = dict(reversed(parameters))
        return known.get("name", ""), known.get("filename", known.get("filename*"))

    def _parameters(self, value: str) -> list[tuple[str, str]]:
        """Return the parameters behind the first ``;``, names in lower case."""
        at = value.find(";")
        found = []
        while 0 <= at < len(value):
            match = _PARAMETER.match(value, at)
            if match is None:
                if value[at:].strip("; \t"):
                    self._fault("parameters", f"parameters that cannot be read: {value[at:][:60]!r}")
                break
            name, given = match[1].lower(), match[2]
            if given.startswith('"'):
                inner = given[1:-1]
                given = re.sub(r"\\([\"\\])", r"\1", inner)
            found.append((name, given))
            at = match.end()
            if at < len(value) and value[at] != ";":
                self._fault("parameters", f"parameters that cannot be read: {value[at:][:60]!r}")
                break
        return found
