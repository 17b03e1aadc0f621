"""Tests for :mod:`balancer.model.inspection.multipart`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.inspection.multipart import Part, multipart_parts

_TYPE = "multipart/form-data; boundary=B"


def body(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n%b\r\n" % part for part in parts) + end


def field(name: str, value: bytes = b"v", more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value


class MultipartTests(SynchronousTestCase):
    def parts(
        self, data: bytes, content_type: str = _TYPE, *, whole: bool = True, most: int = 10
    ) -> tuple[tuple[Part, ...], list[str]]:
        parts, faults = multipart_parts(content_type, data, whole, most)
        return parts, [fault.code for fault in faults]

    def test_fields_and_files(self) -> None:
        """Names, file names, fields and bytes of each part."""
        (first, second), faults = self.parts(
            body(
                field("a", b"1\r\n2"), field("f", b"\x00\xff", '; filename="x \\"y\\".txt"\r\nContent-Type: text/plain')
            )
        )
        self.assertEqual(faults, [])
        self.assertEqual((first.name, first.filename, first.text), ("a", None, "1\r\n2"))
        self.assertEqual((second.name, second.filename, second.data), ("f", 'x "y".txt', b"\x00\xff"))
        self.assertEqual(second.headers[1], ("content-type", "text/plain"))

    def test_quoted_boundary(self) -> None:
        """A boundary may be quoted."""
        parts, faults = self.parts(body(field("a")), 'multipart/form-data; charset=utf-8; boundary="B"')
        self.assertEqual((len(parts), faults), (1, []))

    def test_empty(self) -> None:
        """A part may be empty, or the whole body may have none."""
        parts, faults = self.parts(body(field("a", b"")))
        self.assertEqual(([part.data for part in parts], faults), ([b""], []))
        self.assertEqual(self.parts(b"--B--\r\n"), ((), []))

    def test_faults(self) -> None:
        """Whatever two readers may read in two ways is noted, and what can be read is there."""
        good = field("a")
        for data, fault in (
            (b"x", "no_part"),
            (b"hello\r\n" + body(good), "preamble"),
            (body(good) + b"more", "epilogue"),
            (body(good, end=b""), "no_end"),
            (body(good).replace(b"\r\n", b"\n"), "bare_lf"),
            (b"--B trailing\r\n" + good + b"\r\n--B--", "boundary_line"),
            (body(b'Content-Disposition: form-data;\r\n name="a"\r\n\r\nv'), "folding"),
            (body(b"Content-Type: text/plain\r\n\r\nv"), "disposition"),
            (body(b'Content-Disposition: attachment; name="a"\r\n\r\nv'), "disposition"),
            (body(b"Content-Disposition: form-data\r\n\r\nv"), "no_name"),
            (body(field("a", more='; name="b"')), "repeated_parameter"),
            (body(field("a", more='; filename="x"; filename="y"')), "repeated_parameter"),
            (body(field("a", more="; filename*=utf-8''x")), "extended"),
            (body(field("a", more='; filename="x')), "parameters"),
            (body(b"Content-Transfer-Encoding: base64\r\n" + good), "transfer_encoding"),
            (body(b"Content-Type: multipart/mixed; boundary=C\r\n" + good), "nested"),
            (body(b"X: 1\r\nX: 2\r\n" + good), "repeated_field"),
            (body(b"no field\r\n" + good), "part_field"),
            (body(b"X: a\x00b\r\n" + good), "part_control"),
            (body(b"never ends"), "part_fields"),
            (body(*[good] * 11), "too_many"),
        ):
            found = self.parts(data)
            self.assertIn(fault, found[1], data)
        for content_type, fault in (
            ("multipart/form-data", "no_boundary"),
            ("multipart/form-data; boundary=", "bad_boundary"),
            ("multipart/form-data; boundary=a; boundary=b", "boundaries"),
            (f"multipart/form-data; boundary={'x' * 71}", "bad_boundary"),
        ):
            self.assertIn(fault, self.parts(body(good), content_type)[1], content_type)

    def test_cut(self) -> None:
        """Of a body that is not whole, the last part is here as far as it goes."""
        parts, faults = self.parts(body(field("a"), field("b", b"begin"), end=b""), whole=False)
        self.assertEqual([part.name for part in parts], ["a", "b"])
        self.assertEqual(faults, [])

    def test_any_bytes(self) -> None:
        """Every beginning and every wrong byte can be read."""
        data = body(field("a", b"x"), field("f", b"y", '; filename="z"'))
        for at in range(len(data)):
            multipart_parts(_TYPE, data[:at], True, 10)
            for byte in (b"\n", b"\r", b'"', b";", b"-", b"\x00"):
                multipart_parts(_TYPE, data[:at] + byte + data[at + 1 :], True, 10)
