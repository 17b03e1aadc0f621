from __future__ import annotations

from balancer_crs.engine.bodies import Body
from balancer_crs.engine.multipart import read_multipart
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

TYPE = b"multipart/form-data; boundary=B"


def read(*lines: bytes, kind: bytes = TYPE, end: bytes = b"\r\n") -> Body:
    return read_multipart(b"".join(line + end for line in lines), kind)


def flags(body: Body) -> set[str]:
    return {name.removeprefix("MULTIPART_") for name, value in body.flags.items() if value}


FIELD = (b"--B", b'Content-Disposition: form-data; name="a"', b"", b"1")
FILE = (
    b"--B",
    b'Content-Disposition: form-data; name="f"; filename="x.txt"',
    b"Content-Type: text/plain",
    b"",
    b"12",
    b"34",
)


class MultipartTests(TestCase):
    def test_fields_and_files(self) -> None:
        """Fields are arguments; of files the name and the size are kept; heads are kept as they are."""
        body = read(*FIELD, *FILE, b"--B--")
        self.assertEqual((body.error, flags(body)), ("", set()))
        self.assertEqual(body.args, [(b"a", b"1")])
        self.assertEqual(body.files, [(b"f", b"x.txt")])
        self.assertEqual(body.sizes, [(b"f", 6)])
        self.assertEqual(body.part_headers[2], (b"f", b"Content-Type: text/plain"))
        self.assertEqual(body.part_names, [b"a", b"f"])

    def test_flags(self) -> None:
        """What is doubtful is noted, each by its name."""
        head = b'Content-Disposition: form-data; name="a"'
        for body, expected in (
            (read(b"x", *FIELD, b"--B--"), {"DATA_BEFORE"}),
            (read(*FIELD, b"--B--", b"x"), {"DATA_AFTER"}),
            (read(*FIELD, b"--B--", end=b"\n"), {"LF_LINE"}),
            (read(*FIELD, b"--C", b"--B--"), {"UNMATCHED_BOUNDARY"}),
            (read(b"--B", head, b"  x", b"", b"1", b"--B--"), None),
            (read(b"--B", b"Content-Disposition: form-data; name='a'", b"", b"1", b"--B--"), {"INVALID_QUOTING"}),
            (read(*FIELD, b"--B--", kind=b'multipart/form-data; boundary="B"'), {"BOUNDARY_QUOTED"}),
            (read(*FIELD, b"--B--", kind=b"multipart/form-data; boundary= B"), {"BOUNDARY_WHITESPACE"}),
            (
                read(*FIELD, b"--B--", kind=b"multipart/form-data boundary=B"),
                {"MISSING_SEMICOLON", "SEMICOLON_MISSING"},
            ),
        ):
            found = flags(body) - {"STRICT_ERROR"}
            if expected is None:
                self.assertIn("HEADER_FOLDING", found)
            else:
                self.assertEqual(found, expected)
        self.assertEqual(flags(read(*FIELD, b"--C", b"--B--")), {"UNMATCHED_BOUNDARY"})

    def test_mixed_lines(self) -> None:
        """Lines that end in both ways are noted."""
        text = b'--B\r\nContent-Disposition: form-data; name="a"\n\r\n1\r\n--B--\r\n'
        self.assertIn("CRLF_LF_LINES", flags(read_multipart(text, TYPE)))

    def test_errors(self) -> None:
        """What cannot be read is an error, and strict."""
        for lines, reason in (
            ((b"--B", b"x", b""), "colon missing"),
            ((b"--B", b": x", b""), "name missing"),
            ((b"--B", b"\x0eX: x", b""), "invalid character"),
            ((b"--B", b" x: y"), "folding"),
            ((b"--B", b"X: y\x00"), "Nul byte"),
            ((b"--B", b"X: y", b"", b"--B--"), "missing Content-Disposition"),
            ((b"--B", b"Content-Disposition: form-data", b"", b"1"), "missing name"),
            ((b"--B", b"Content-Disposition: form-data; name=a; name=b", b""), "-14"),
            ((b"--B", b"Content-Disposition: form-data; x=a", b""), "-11"),
            ((b"--B", b"Content-Disposition: attachment", b""), "-1"),
            ((b"--B", b"A: 1", b"a: 2", b""), "Duplicate"),
            (FIELD, "Final boundary"),
            ((b"--B--",), "final duplicate"),
            ((b"x",), "No boundaries"),
            ((*FIELD, b'--"B"'), "quotes"),
        ):
            body = read(*lines)
            self.assertIn(reason, body.error, lines)
            self.assertIn("STRICT_ERROR", flags(body))

    def test_content_types(self) -> None:
        """A boundary must be there, once, and of the characters of boundaries."""
        for kind, reason in (
            (b"multipart/form-data", "not found"),
            (b"multipart/mixed; boundary=B", "MIME"),
            (b"multipart/form-data; boundary", "malformed"),
            (b"multipart/form-data; boundary=", "empty"),
            (b"multipart/form-data; boundary=B; boundary=C", "Multiple"),
            (b'multipart/form-data; boundary="B', "quote"),
            (b"multipart/form-data; boundary=B{", "characters"),
            (b"multipart/form-data; boundary=" + b"B" * 1100, "length"),
        ):
            self.assertIn(reason, read_multipart(b"", kind).error, kind)
        self.assertEqual(
            read(
                b"-" + b"-----WebKitFormBoundaryX--", kind=b"multipart/form-data; boundary=----WebKitFormBoundaryX"
            ).error[:17],
            "Multipart: Invali",
        )

    def test_names(self) -> None:
        """Quoted names may hold what is escaped, and a backslash that escapes nothing."""
        for written, expected in ((rb'"a\"b"', b'a"b'), (rb'"C:\x\\y"', rb"C:\x\y"), (b"abc", b"abc")):
            body = read(b"--B", b"Content-Disposition: form-data; name=" + written, b"", b"1", b"--B--")
            self.assertEqual(body.args, [(expected, b"1")])

    def test_many_files(self) -> None:
        """Files beyond the limit are noted."""
        text = b"".join(line + b"\r\n" for line in (*FILE, *FILE, b"--B--"))
        body = read_multipart(text, TYPE, 1)
        self.assertEqual(len(body.files), 1)
        self.assertIn("FILE_LIMIT_EXCEEDED", flags(body))

    @given(
        st.lists(
            st.sampled_from([b"--B", b"--", b"\r\n", b"\n", *FIELD, *FILE, b"--B--", b"\x00", b" "]), max_size=25
        ).map(b"".join)
    )
    @settings(max_examples=500, deadline=None)
    def test_anything(self, text: bytes) -> None:
        """Whatever comes, there is an answer."""
        body = read_multipart(text, TYPE)
        self.assertIn("MULTIPART_STRICT_ERROR", body.flags)
