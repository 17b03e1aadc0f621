"""HTTP/1.0 and HTTP/1.1 (RFC 9112) over llhttp: bytes in, heads and body pieces out, strictly.

``fields`` knows header names, ``requests`` reads what clients send, ``responses`` what servers send, ``encode``
writes both. llhttp (through httptools) refuses bare CR or LF, folded lines, spaces around names, repeated or odd
``Content-Length``, ``Content-Length`` with ``Transfer-Encoding`` and malformed chunks; the readers add what it
leaves to its user.
"""
