"""Requests that two programs could read in two ways, as collected in papers and tools on request smuggling.

None may reach a server. :data:`AMBIGUOUS` maps a name to bytes that must be refused; :data:`HARMLESS` to bytes that look odd
but can be read in one way only (RFC 9112), and must be let through.
"""

from __future__ import annotations

__all__ = ["AMBIGUOUS", "HARMLESS"]

_HOST = b"Host: a\r\n"


def _post(*fields: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST / " + version + b"\r\n" + _HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def _get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = _HOST) -> bytes:
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


_CHUNKED = b"Transfer-Encoding: chunked"
_BODY = b"5\r\nhello\r\n0\r\n\r\n"

AMBIGUOUS: dict[str, bytes] = {
    # Two framings.
    "CL.TE": _post(b"Content-Length: 6", _CHUNKED, body=b"0\r\n\r\nG"),
    "TE.CL": _post(_CHUNKED, b"Content-Length: 4", body=b"5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
    "CL 0 and TE": _post(b"Content-Length: 0", _CHUNKED, body=_BODY),
    "two CL": _post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"),
    "two equal CL": _post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "CL list": _post(b"Content-Length: 5, 5", body=b"hello"),
    "CL list unequal": _post(b"Content-Length: 5, 6", body=b"hello!"),
    "TE in HTTP/1.0": _post(_CHUNKED, body=_BODY, version=b"HTTP/1.0"),
    "TE and CL in HTTP/1.0": _post(b"Content-Length: 5", _CHUNKED, body=_BODY, version=b"HTTP/1.0"),
    # Lengths that are not digits.
    **{
        f"CL {value!r}": _post(b"Content-Length: " + value, body=b"hello")
        for value in (
            b"+5", b"-5", b"5 5", b"0x5", b"5.0", b"5e0", b"5_0", b"", b" ", b"five", b"5;", b"5\t5", b"\x0b5", b"5\x0c",
            b"99999999999999999999999999", b"18446744073709551621", b"\xb2", b"'5'", b'"5"', b"5\0",
        )
    },
    # Names and values of framing fields, disguised.
    **{
        f"field {line!r}": _post(line, body=_BODY)
        for line in (
            b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
            b"\tTransfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx",
            b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity", b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip",
            b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked\x0b",
            b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding: 'chunked'",
            b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,",
            b"Transfer-Encoding:", b"Transfer-Encoding: \xa0chunked", b"Transfer-Encoding: chunked\r", b"X: y\rTransfer-Encoding: chunked",
            b"X: y\nTransfer-Encoding: chunked", b"Transfer-Encoding\r\n: chunked", b"Transfer-Encoding:\n chunked",
            b"Transfer-Encoding:\r\n chunked", b"X: y\r\n Transfer-Encoding: chunked", b"Transfer-Encoding", b"Transfer\xadEncoding: chunked",
            b": chunked", b"Content-Length : 15", b"Content-Length\x00: 15", b"Content-\nLength: 15", b"Content Length: 15",
        )
    },
    "TE twice": _post(_CHUNKED, _CHUNKED, body=_BODY),
    "TE twice, another": _post(_CHUNKED, b"Transfer-Encoding: identity", body=_BODY),
    "TE twice, cow": _post(_CHUNKED, b"Transfer-encoding: cow", body=_BODY),
    # Chunks.
    **{
        f"chunk {chunk!r}": _post(_CHUNKED, body=chunk)
        for chunk in (
            b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n", b"g\r\nhello\r\n0\r\n\r\n", b"5_\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5\rhello\r\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n", b"ffffffffffffffff1\r\nhello\r\n0\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\n\n", b"5\r\nhello\r\n0\r\n\n", b"5;\0\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX : y\r\n\r\n", b"5\r\nhello\r\n0\r\n X: y\r\n\r\n", b"5\r\nhello\r\n0\r\nX\r\n\r\n",
            b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n",
        )
    },
    # Line ends, blanks and control characters.
    "LF only": b"GET / HTTP/1.1\nHost: a\n\n",
    "LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "LF after a field": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "LF at the end": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "CR only": b"GET / HTTP/1.1\rHost: a\r\r",
    "CR in a value": _get(b"X: a\rb"),
    "CR before CRLF": _get(b"X: a\r"),
    "NUL in a value": _get(b"X: a\0b"),
    "NUL in a name": _get(b"X\0: a"),
    "control character in a value": _get(b"X: a\x01b"),
    "DEL in a value": _get(b"X: a\x7fb"),
    "control character in a name": _get(b"X\x01: a"),
    "obs-fold": _get(b"X: a\r\n b"),
    "obs-fold with tab": _get(b"X: a\r\n\tb"),
    "blank before the first field": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "blank before the colon": _get(b"X : a"),
    "tab before the colon": _get(b"X\t: a"),
    "no colon": _get(b"X"),
    "empty name": _get(b": a"),
    "blank in a name": _get(b"X Y: a"),
    **{f"name with {chr(c)!r}": _get(b"X" + bytes([c]) + b": a") for c in b'"(),/;<=>?@[\\]{}' + bytes([0x80, 0xFF])},
    # Request lines.
    "two blanks": _get(line=b"GET  / HTTP/1.1"),
    "two blanks before the version": _get(line=b"GET /  HTTP/1.1"),
    "tab between": _get(line=b"GET\t/ HTTP/1.1"),
    "tab before the version": _get(line=b"GET /\tHTTP/1.1"),
    "blank in the target": _get(line=b"GET /a b HTTP/1.1"),
    "blank at the end": _get(line=b"GET / HTTP/1.1 "),
    "blank at the beginning": _get(line=b" GET / HTTP/1.1"),
    "no version": _get(line=b"GET /"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": _get(line=b"GET / HTTP/1.2"),
    "HTTP/2.0": _get(line=b"GET / HTTP/2.0"),
    "HTTP/1.10": _get(line=b"GET / HTTP/1.10"),
    "HTTP/01.1": _get(line=b"GET / HTTP/01.1"),
    "HTTP/1.": _get(line=b"GET / HTTP/1."),
    "http/1.1": _get(line=b"GET / http/1.1"),
    "HTTPS/1.1": _get(line=b"GET / HTTPS/1.1"),
    "no method": _get(line=b" / HTTP/1.1"),
    "method with a bracket": _get(line=b"G{T / HTTP/1.1"),
    "method with a colon": _get(line=b"GET: / HTTP/1.1"),
    "NUL in the target": _get(line=b"GET /\0 HTTP/1.1"),
    "fragment": _get(line=b"GET /a#b HTTP/1.1"),
    "target without slash": _get(line=b"GET a HTTP/1.1"),
    "no target": _get(line=b"GET HTTP/1.1"),
    "absolute form without host": _get(line=b"GET http:///a HTTP/1.1"),
    **{
        f"absolute form with {value!r}": _get(line=b"GET http://" + value + b"/ HTTP/1.1")
        for value in (b"a,b", b"a:b", b"a:99999", b"a:80:80", b"[::1", b"a[b]c", b":80", b"a]", b"[a]b")
    },
    "another scheme": _get(line=b"GET ftp://a/ HTTP/1.1"),
    "user in the target": _get(line=b"GET http://a@b/ HTTP/1.1"),
    "asterisk with GET": _get(line=b"GET * HTTP/1.1"),
    # Host.
    "no Host": _get(host=b""),
    "two Hosts": _get(b"Host: b"),
    "two equal Hosts": _get(b"Host: a"),
    **{
        f"Host {value!r}": _get(host=b"Host: " + value + b"\r\n")
        for value in (b"a b", b"a,b", b"", b"a/b", b"a@b", b"a:b", b"a:99999", b"a\\b", b"http://a", b"a#b", b"a?b", b"[::1", b"a\0", b"a:80:80", b"\xe9")
    },
    # The path.
    **{
        f"path {path!r}": _get(line=b"GET " + path + b" HTTP/1.1")
        for path in (b"/a%00b", b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a\\b", b"/..", b"/../a", b"/a/../../b", b"/%2e%2e/a", b"/a/%2e%2e/%2e%2e/b", b"/%", b"/%g0", b"/%1")
    },
}  # fmt: skip

HARMLESS: dict[str, bytes] = {
    "blank lines before": b"\r\n\r\n" + _get(),
    "no blank after the colon": _get(b"X:y"),
    "tab after the colon": _get(b"X:\ty"),
    "blank after a value": _get(b"X: y  "),
    "empty value": _get(b"X:"),
    "high bytes in a value": _get(b"X: \xc3\xa9\xff"),
    "CL with blanks": _post(b"Content-Length:  5 ", body=b"hello"),
    "CL with zeros": _post(b"Content-Length: 005", body=b"hello"),
    "CL 0": _post(b"Content-Length: 0"),
    "TE in capitals": _post(b"TRANSFER-ENCODING: CHUNKED", body=_BODY),
    "TE with blanks": _post(b"Transfer-Encoding:  chunked ", body=_BODY),
    "chunk with zeros": _post(_CHUNKED, body=b"0005\r\nhello\r\n000\r\n\r\n"),
    "chunk in capitals": _post(_CHUNKED, body=b"A\r\nhellohello\r\n0\r\n\r\n"),
    "chunk extensions": _post(_CHUNKED, body=b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n'),
    "trailer": _post(_CHUNKED, body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "HTTP/1.0 without Host": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with CL": _post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"),
    "absolute form": _get(line=b"GET http://b:80/c HTTP/1.1"),
    "OPTIONS *": _get(line=b"OPTIONS * HTTP/1.1"),
    "escapes": _get(line=b"GET /a%20b/%C3%A9?x=%2f%00 HTTP/1.1"),
    "dot segments inside": _get(line=b"GET /a/./b/../c HTTP/1.1"),
    "Host with port": _get(host=b"Host: a.example:8080\r\n"),
    "IPv6 Host": _get(host=b"Host: [::1]:80\r\n"),
    "odd but legal name": _get(b"X!#$%&'*+-^`|~9: y"),
}
