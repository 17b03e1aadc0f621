from __future__ import annotations

import hashlib

from balancer_crs.engine.transformations import BY_NAME, Pipeline, transformation
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

_PIECES = [
    b"a", b"B", b" ", b"\t", b"\n", b"\\", b"%41", b"%u0041", b"%", b"&lt;", b"&", b"#", b"/*", b"*/", b"--", b"<!--", b"/", b"..", b".",
    b"(", b";", b"'", b"\x00", b"\xc3", b"\xa9", b"\xa0", b"+", b"Zm9v", b"0x4142", b"41", b"u", b"x",
]  # fmt: skip
_VALUES = st.lists(st.lists(st.sampled_from(_PIECES), max_size=6).map(b"".join), min_size=1, max_size=5)


class TransformationTests(TestCase):
    def test_vectors(self) -> None:
        """Each does to a value what ModSecurity's does."""
        for name, value, expected in (
            ("lowercase", b"TestCASE\x00\xc9", b"testcase\x00\xc9"),
            ("uppercase", b"TestCase", b"TESTCASE"),
            ("compressWhitespace", b"a \t\r\n\v\f b\xa0 ", b"a b\xa0 "),
            ("removeWhitespace", b" a \t\r\n\v\f b\xa0c", b"abc"),
            ("removeNulls", b"\x00a\x00b\x00", b"ab"),
            ("replaceNulls", b"\x00a\x00b", b" a b"),
            ("replaceComments", b"Before/* Inside */After", b"Before After"),
            ("replaceComments", b"Before/* Inside", b"Before "),
            ("replaceComments", b"/*/x*/y*/", b" y*/"),
            ("replaceComments", b"Before/ * */", b"Before/ * */"),
            ("removeComments", b"a/* b */c", b"ac"),
            ("removeComments", b"a<!-- b -->c", b"ac"),
            ("removeComments", b"a -- b", b"a "),
            ("removeComments", b"a # b", b"a "),
            ("removeComments", b"a/* b", b"a "),
            ("removeCommentsChar", b"/*a*/<!--b-->--c#", b"abc"),
            ("cmdLine", b'C:\\Windows^"/c;  ,dir  /S', b"c:windows/c dir/s"),
            ("cmdLine", b"cat  (x", b"cat(x"),
            ("length", b"12345", b"5"),
            ("length", b"", b"0"),
            ("md5", b"a", hashlib.md5(b"a").digest()),
            ("sha1", b"a", hashlib.sha1(b"a").digest()),
            ("trim", b" \ta b\n", b"a b"),
            ("trimLeft", b" \ta b\n", b"a b\n"),
            ("trimRight", b" \ta b\n", b" \ta b"),
            ("urlEncode", b"a b*.\xff", b"a+b*%2e%ff"),
            ("parityEven7bit", b"\x01\x03\xff", b"\x81\x03\x7f"),
            ("parityOdd7bit", b"\x01\x03", b"\x01\x83"),
            ("parityZero7bit", b"\x81", b"\x01"),
            ("hexEncode", b"\x00a", b"0061"),
            ("normalisePath", b"/a/../b", b"/b"),
            ("none", b" A", b" A"),
        ):
            self.assertEqual(transformation(name).apply(value), expected, (name, value))

    def test_unknown(self) -> None:
        """A name nobody knows is refused."""
        self.assertRaises(KeyError, transformation, "rot13")

    @given(st.sampled_from(sorted(BY_NAME)), _VALUES)
    @settings(max_examples=1500, deadline=None)
    def test_joined(self, name: str, values: list[bytes]) -> None:
        """What is done to values joined is what is done to each, or is not done."""
        step = BY_NAME[name]
        text = b"\n".join(values)
        joined = step.joined(text, text.count(b"\n") == len(values) - 1)
        if joined is not None:
            self.assertEqual(joined, b"\n".join(map(step.apply, values)))


class PipelineTests(TestCase):
    def test_order(self) -> None:
        """Steps are done in order."""
        self.assertEqual(Pipeline(("urlDecode", "lowercase", "none")).apply(b"%41"), b"a")
        self.assertEqual(Pipeline(("lowercase", "urlDecode")).apply(b"%41"), b"A")

    def test_stages(self) -> None:
        """Each step that changed something leaves a stage."""
        self.assertEqual(Pipeline(("urlDecode", "removeNulls", "lowercase")).stages(b"%41"), [b"%41", b"A", b"a"])

    @given(st.lists(st.sampled_from(sorted(BY_NAME)), max_size=5), _VALUES)
    @settings(max_examples=1500, deadline=None)
    def test_joined(self, names: list[str], values: list[bytes]) -> None:
        """A pipeline on joined values is the pipeline on each, or none."""
        pipeline = Pipeline(tuple(names))
        joined = pipeline.joined(b"\n".join(values), len(values))
        if joined is not None:
            self.assertEqual(joined, b"\n".join(map(pipeline.apply, values)))
