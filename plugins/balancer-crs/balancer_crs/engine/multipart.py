"""``multipart/form-data``, read as strictly as rules want to judge it (RFC 7578, and what clients make of it).

Everything doubtful is noted by a flag of its own (``MULTIPART_LF_LINE`` …); what cannot be read at all ends in an error.
"""

from __future__ import annotations

import re

from balancer_crs.engine.bodies import Body

_BOUNDARY = re.compile(rb"boundary", re.IGNORECASE)
_PARAMETER = re.compile(rb"boundary[\s=]", re.IGNORECASE)
_VALID_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]\Z")
_TOKEN = re.compile(rb"[^\x00-\x20\x7f-\xff()<>@,;:\\\"/\[\]?=]*")

FLAGS = (
    "BOUNDARY_QUOTED", "BOUNDARY_WHITESPACE", "DATA_BEFORE", "DATA_AFTER", "HEADER_FOLDING", "LF_LINE", "MISSING_SEMICOLON",
    "INVALID_QUOTING", "INVALID_PART", "INVALID_HEADER_FOLDING", "FILE_LIMIT_EXCEEDED",
)  # fmt: skip
"""Those that make ``MULTIPART_STRICT_ERROR``."""


class _BodyError(Exception):
    """The body cannot be read on."""


class _Part:
    def __init__(self) -> None:
        self.headers: list[bytes] = []
        self.name: bytes | None = None
        self.filename: bytes | None = None
        self.data: list[bytes] = []

    def value(self) -> bytes:
        """Return what it holds, without the line's end that belongs to the boundary."""
        data = b"".join(self.data)
        if data.endswith(b"\r\n"):
            return data[:-2]
        return data[:-1] if data.endswith(b"\n") else data


def read_multipart(text: bytes, content_type: bytes, most_files: int = 100) -> Body:
    """Read a body of this content type."""
    reader = _Reader(most_files)
    try:
        boundary = reader.boundary(content_type)
        reader.read(text, boundary)
    except _BodyError as error:
        reader.body.error = f"Multipart: {error}"
    return reader.finish()


class _Reader:
    def __init__(self, most_files: int) -> None:
        self.body = Body()
        self._flags = dict.fromkeys((*FLAGS, "CRLF_LINE", "UNMATCHED_BOUNDARY"), 0)
        self._most_files = most_files
        self._part: _Part | None = None
        self._in_head = False

    def boundary(self, content_type: bytes) -> bytes:
        """Return the boundary that the header names."""
        if len(content_type) > 1024:
            raise _BodyError("Invalid boundary in C-T (length).")
        if not content_type[:19].lower() == b"multipart/form-data":
            raise _BodyError("Invalid MIME type.")
        found = _BOUNDARY.search(content_type, 19)
        if found is None:
            raise _BodyError("Boundary not found in C-T.")
        if len(_PARAMETER.findall(content_type)) > 1:
            raise _BodyError("Multiple boundary parameters in C-T.")
        before = content_type[19 : found.start()]
        if b";" not in before:
            self._flags["MISSING_SEMICOLON"] = 1
        rest = content_type[found.end() :]
        name_gap, equals, value = rest.partition(b"=")
        if not equals:
            raise _BodyError("Invalid boundary in C-T (malformed).")
        if name_gap.strip():
            raise _BodyError("Invalid boundary in C-T (parameter name).")
        if name_gap or value[:1].isspace():
            self._flags["BOUNDARY_WHITESPACE"] = 1
        value = value.lstrip()
        if value[:1] == b'"':
            self._flags["BOUNDARY_QUOTED"] = 1
            inner, quote, after = value[1:].partition(b'"')
            if not quote:
                raise _BodyError("Invalid boundary in C-T (quote).")
            if after and after[:1].isspace():
                self._flags["BOUNDARY_WHITESPACE"] = 1
            value = inner
        else:
            cut = re.search(rb"[,; \t]", value)
            if cut is not None:
                if cut[0].isspace():
                    self._flags["BOUNDARY_WHITESPACE"] = 1
                value = value[: cut.start()]
            if b'"' in value:
                raise _BodyError("Invalid boundary in C-T (quote).")
        if not value:
            raise _BodyError("Invalid boundary in C-T (empty).")
        if not _VALID_BOUNDARY.match(value):
            raise _BodyError("Invalid boundary in C-T (characters).")
        return value

    def read(self, text: bytes, boundary: bytes) -> None:
        """Go through the lines."""
        mark, complete, count = b"--" + boundary, False, 0
        at, end = 0, len(text)
        while at < end:
            # The data of a part is taken in one piece up to the next line that begins with two dashes.
            if self._part is not None and not self._in_head:
                stop = text.find(b"\n--", at)
                if text[at : at + 2] != b"--":
                    cut = end if stop < 0 else stop + 1
                    if cut > at:
                        self._data(text[at:cut])
                        at = cut
                        continue
            stop = text.find(b"\n", at)
            line = text[at : end if stop < 0 else stop + 1]
            at += len(line)
            if line.startswith(mark):
                rest = line[len(mark) :]
                if rest in (b"\r\n", b"\n"):
                    if complete:
                        self._flags["DATA_AFTER"] = 1
                        continue
                    self._ending(rest)
                    self._close()
                    self._part, self._in_head = _Part(), True
                    count += 1
                    continue
                if rest.rstrip(b"\r\n") == b"--":
                    if count == 0 or complete:
                        raise _BodyError("Invalid boundary (final duplicate).")
                    self._close()
                    complete = True
                    continue
                if rest[:2] == b"--" or not rest.strip():
                    raise _BodyError("Invalid boundary: " + line.decode("latin-1").strip())
            if line.startswith(b"--"):
                inner = line[2:].strip().strip(b'"')
                if inner and inner.startswith(boundary) and not line.startswith(mark):
                    raise _BodyError("Invalid boundary (quotes or whitespace).")
                self._flags["UNMATCHED_BOUNDARY"] = 1
            if complete:
                self._flags["DATA_AFTER"] = 1
            elif self._part is None:
                self._flags["DATA_BEFORE"] = 1
            elif self._in_head:
                self._head_line(line)
            else:
                self._data(line)
        if self._part is not None:
            self._close()
            raise _BodyError("Final boundary missing.")
        if not complete and count == 0 and text:
            raise _BodyError("No boundaries found in payload.")

    def _ending(self, line: bytes) -> None:
        self._flags["CRLF_LINE" if line.endswith(b"\r\n") else "LF_LINE"] = 1

    def _data(self, data: bytes) -> None:
        assert self._part is not None
        self._part.data.append(data)

    def _head_line(self, line: bytes) -> None:
        part = self._part
        assert part is not None
        self._ending(line)
        bare = line.rstrip(b"\r\n")
        if not bare:
            self._in_head = False
            self._understand(part)
            return
        if b"\x00" in bare:
            raise _BodyError("Nul byte in part headers.")
        if bare[:1].isspace():
            if bare[0] not in b" \t":
                self._flags["INVALID_HEADER_FOLDING"] = 1
            self._flags["HEADER_FOLDING"] = 1
            if not part.headers:
                raise _BodyError("Invalid part header (folding error).")
            part.headers[-1] += b" " + bare.lstrip()
            return
        name, colon, _ = bare.partition(b":")
        if not colon:
            raise _BodyError("Invalid part header (colon missing).")
        if not name:
            raise _BodyError("Invalid part header (header name missing).")
        if any(code <= 32 or code >= 127 for code in name):
            raise _BodyError("Invalid part header (contains invalid character).")
        part.headers.append(bare)

    def _understand(self, part: _Part) -> None:
        """Find the name of the field, once the head of its part is whole."""
        known: set[bytes] = set()
        disposition = None
        for header in part.headers:
            name, _, value = header.partition(b":")
            name = name.lower()
            if name in known:
                raise _BodyError("Duplicate part header: " + name.decode("latin-1") + ".")
            known.add(name)
            if name == b"content-disposition":
                disposition = value.strip()
        if disposition is None:
            self._flags["INVALID_PART"] = 1
            raise _BodyError("Part missing Content-Disposition header.")
        self._disposition(part, disposition)
        if part.name is None:
            self._flags["INVALID_PART"] = 1
            raise _BodyError("Content-Disposition header missing name field.")
        for header in part.headers:
            self.body.part_headers.append((part.name, header))

    def _disposition(self, part: _Part, text: bytes) -> None:
        if text[:9] != b"form-data":
            raise _BodyError("Invalid Content-Disposition header (-1).")
        rest = text[9:].strip(b" \t")
        while rest:
            if rest[:1] != b";":
                if rest[:1] in (b"'", b'"'):
                    self._flags["INVALID_QUOTING"] = 1
                raise _BodyError("Invalid Content-Disposition header (-12).")
            rest = rest[1:].lstrip(b" \t")
            if not rest:
                raise _BodyError("Invalid Content-Disposition header (-3).")
            name, equals, rest = rest.partition(b"=")
            name, rest = name.rstrip(b" \t"), rest.lstrip(b" \t")
            if not equals or not name or b" " in name or b"\t" in name:
                raise _BodyError("Invalid Content-Disposition header (-4).")
            value, rest = self._value(rest)
            rest = rest.lstrip(b" \t")
            if name in (b"name", b"filename") and b"'" in value:
                self._flags["INVALID_QUOTING"] = 1
            if name == b"name":
                if part.name:
                    raise _BodyError("Invalid Content-Disposition header (-14).")
                part.name = value
                self.body.part_names.append(value)
            elif name == b"filename":
                if part.filename:
                    raise _BodyError("Invalid Content-Disposition header (-15).")
                part.filename = value
            elif name == b"filename*":
                # The name as RFC 5987 writes it; a browser does not send it, a server may believe it.
                part.filename = part.filename or value
            else:
                raise _BodyError("Invalid Content-Disposition header (-11).")

    def _value(self, text: bytes) -> tuple[bytes, bytes]:
        """Return a parameter's value, and what follows it."""
        if not text:
            raise _BodyError("Invalid Content-Disposition header (-6).")
        quote = text[:1]
        if quote not in (b'"', b"'"):
            found = _TOKEN.match(text)
            assert found is not None
            return found[0], text[found.end() :]
        if quote == b"'":
            self._flags["INVALID_QUOTING"] = 1
        out, at = bytearray(), 1
        while at < len(text) and text[at : at + 1] != quote:
            if text[at] == 0x5C:
                if at + 1 >= len(text):
                    raise _BodyError("Invalid Content-Disposition header (-8).")
                if text[at + 1 : at + 2] in (quote, b"\\"):
                    at += 1
            out.append(text[at])
            at += 1
        return bytes(out), text[at + 1 :]

    def _close(self) -> None:
        """Keep the part that has ended."""
        part, self._part = self._part, None
        if part is None:
            return
        if self._in_head:
            self._in_head = False
            self._flags["INVALID_PART"] = 1
            if part.headers:
                self._understand(part)
            else:
                raise _BodyError("Part missing Content-Disposition header.")
        name, value = part.name or b"", part.value()
        if part.filename is not None:
            if len(self.body.files) >= self._most_files:
                self._flags["FILE_LIMIT_EXCEEDED"] = 1
                return
            self.body.files.append((name, part.filename))
            self.body.sizes.append((name, len(value)))
        else:
            self.body.args.append((name, value))

    def finish(self) -> Body:
        """Return the body with its flags."""
        flags = {f"MULTIPART_{name}": value for name, value in self._flags.items() if name != "CRLF_LINE"}
        flags["MULTIPART_CRLF_LF_LINES"] = int(self._flags["CRLF_LINE"] and self._flags["LF_LINE"])
        flags["MULTIPART_SEMICOLON_MISSING"] = self._flags["MISSING_SEMICOLON"]
        flags["MULTIPART_STRICT_ERROR"] = int(bool(self.body.error) or any(self._flags[name] for name in FLAGS))
        self.body.flags = flags
        return self.body
