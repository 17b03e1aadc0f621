"""What the Kubernetes Gateway API demands of an HTTPRoute's redirects, response headers and time-outs, in memory.

The behaviours are those of its conformance tests (HTTPRouteRedirectHostAndStatus, …RedirectPath, …RedirectPort, …RedirectScheme,
…ResponseHeaderModifier, …TimeoutRequest, …TimeoutBackendRequest); a backend's time-out is ``per_try`` here.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

from balancer.service.explaining import SampleAnswer, explain
from balancer.service.explanation import Sample
from tests.flows.test_rewriting import FlowTestCase, configured
from tests.listeners.http2.conversation import ConversationTestCase

_ASKED = "http://route.example"
_REDIRECTS: dict[str, list[tuple[str, dict[str, Any], str, int, str]]] = {
    "host and status": [
        (
            "/hostname-redirect/**",
            {"host": "example.org"},
            "/hostname-redirect",
            302,
            "http://example.org/hostname-redirect",
        ),
        ("/host-and-status/**", {"host": "example.org"}, "/host-and-status", 301, "http://example.org/host-and-status"),
    ],
    "path": [
        (
            "/original-prefix/**",
            {"path": {"prefix": "/replacement-prefix"}},
            "/original-prefix/lemon",
            302,
            f"{_ASKED}/replacement-prefix/lemon",
        ),
        ("/full/**", {"path": "/full-path-replacement"}, "/full/path/original", 302, f"{_ASKED}/full-path-replacement"),
        (
            "/path-and-host/**",
            {"host": "example.org", "path": {"prefix": "/replacement-prefix"}},
            "/path-and-host/lemon",
            302,
            "http://example.org/replacement-prefix/lemon",
        ),
        (
            "/path-and-status/**",
            {"path": {"prefix": "/replacement-prefix"}},
            "/path-and-status/lemon",
            301,
            f"{_ASKED}/replacement-prefix/lemon",
        ),
        (
            "/full-path-and-host/**",
            {"host": "example.org", "path": "/replacement-full"},
            "/full-path-and-host/lemon",
            302,
            "http://example.org/replacement-full",
        ),
        (
            "/full-path-and-status/**",
            {"path": "/replacement-full"},
            "/full-path-and-status/lemon",
            301,
            f"{_ASKED}/replacement-full",
        ),
    ],
    "port": [
        ("/port/**", {"port": 8083}, "/port", 302, f"{_ASKED}:8083/port"),
        (
            "/port-and-host/**",
            {"host": "example.org", "port": 8083},
            "/port-and-host",
            302,
            "http://example.org:8083/port-and-host",
        ),
        ("/port-and-status/**", {"port": 8083}, "/port-and-status", 301, f"{_ASKED}:8083/port-and-status"),
        ("/all/**", {"host": "example.org", "port": 8083}, "/all", 302, "http://example.org:8083/all"),
    ],
    "scheme": [
        ("/scheme/**", {"scheme": "https"}, "/scheme", 302, "https://route.example/scheme"),
        (
            "/scheme-and-host/**",
            {"scheme": "https", "host": "example.org"},
            "/scheme-and-host",
            302,
            "https://example.org/scheme-and-host",
        ),
        (
            "/scheme-and-status/**",
            {"scheme": "https"},
            "/scheme-and-status",
            301,
            "https://route.example/scheme-and-status",
        ),
        ("/all/**", {"scheme": "https", "host": "example.org"}, "/all", 302, "https://example.org/all"),
    ],
}

_MODIFIERS: list[tuple[dict[str, Any], dict[str, str], dict[str, list[str]]]] = [
    (
        {"set": {"X-Header-Set": "set-overwrites-values"}},
        {"Some-Other-Header": "val", "X-Header-Set": "some-other-value"},
        {"Some-Other-Header": ["val"], "X-Header-Set": ["set-overwrites-values"]},
    ),
    (
        {"set": {"X-Header-Set": "set-overwrites-values"}},
        {"Some-Other-Header": "val"},
        {"Some-Other-Header": ["val"], "X-Header-Set": ["set-overwrites-values"]},
    ),
    (
        {"add": {"X-Header-Add": "add-appends-values"}},
        {"Some-Other-Header": "val", "X-Header-Add": "some-other-value"},
        {"Some-Other-Header": ["val"], "X-Header-Add": ["some-other-value", "add-appends-values"]},
    ),
    (
        {"remove": ["X-Header-Remove"]},
        {"X-Header-Remove": "val", "Some-Other-Header": "val"},
        {"Some-Other-Header": ["val"], "X-Header-Remove": []},
    ),
    (
        {
            "set": {"X-Header-Set-1": "header-set-1", "X-Header-Set-2": "header-set-2"},
            "add": {"X-Header-Add-1": "header-add-1", "X-Header-Add-2": "header-add-2"},
            "remove": ["X-Header-Remove-1", "X-Header-Remove-2"],
        },
        {"X-Header-Set-2": "set-val-2", "X-Header-Add-2": "add-val-2", "X-Header-Remove-2": "remove-val-2"},
        {
            "X-Header-Set-1": ["header-set-1"],
            "X-Header-Set-2": ["header-set-2"],
            "X-Header-Add-1": ["header-add-1"],
            "X-Header-Add-2": ["add-val-2", "header-add-2"],
            "X-Header-Remove-1": [],
            "X-Header-Remove-2": [],
        },
    ),
    (
        {"set": {"X-Header-Set": "header-set"}, "add": {"X-Header-Add": "header-add"}, "remove": ["X-Header-Remove"]},
        {"x-header-set": "original", "x-header-add": "original", "x-header-remove": "original", "Another": "val"},
        {
            "X-Header-Set": ["header-set"],
            "X-Header-Add": ["original", "header-add"],
            "X-Header-Remove": [],
            "Another": ["val"],
        },
    ),
]


class GatewayFilterTests(FlowTestCase):
    def test_redirects(self) -> None:
        """Where they lead, and with which status: what is not given stays as it was asked for."""
        for name, cases in _REDIRECTS.items():
            for path, parts, asked, status, expected in cases:
                balancer = configured({"match": {"path": path}, "redirect": {"status": status, **parts}})
                found = balancer.ask(f"{_ASKED}{asked}")
                led = urljoin(_ASKED, found.location or "")  # as clients read it (RFC 9110 section 10.2.2)
                self.assertEqual((found.status, led), (status, expected), (name, path))

    def test_response_headers(self) -> None:
        """Set has one, add has one more, remove has none, whatever case the server uses."""
        for steps, sent, expected in _MODIFIERS:
            balancer = configured({"filters": [{"headers": {"response": steps}}]})
            sample = Sample("/", answer=SampleAnswer(200, list(sent.items())))
            response = explain(balancer.snapshot, sample, lambda: 0.5).response
            assert response is not None
            for name, values in expected.items():
                got = [value for key, value in response["headers"] if key.lower() == name.lower()]
                self.assertEqual(got, values, (steps, name))


class GatewayTimeoutTests(ConversationTestCase):
    def after(self, timeouts: str, seconds: float) -> bytes:
        """Ask a server that says nothing for so long; return what the client has got by then."""
        self.listen(f"routes: [{{pool: web, retry: false, timeouts: {{{timeouts}}}}}]")
        client = self.client()
        stream = client.ask(b"/")
        self.passes(seconds)
        client.turn()
        if not any(
            getattr(event, "stream_id", None) == stream and hasattr(event, "headers") for event in client.events
        ):
            return b""
        return client.status(stream)

    def test_request(self) -> None:
        """504 when the whole takes longer; 0 is no limit."""
        self.assertEqual(self.after("request: 500ms", 0.3), b"")
        self.assertEqual(self.after("request: 500ms", 1.0), b"504")
        self.assertEqual(self.after("request: 0s", 10.0), b"")

    def test_backend_request(self) -> None:
        """504 when one attempt takes longer; 0 is no limit."""
        self.assertEqual(self.after("per_try: 500ms", 0.3), b"")
        self.assertEqual(self.after("per_try: 500ms", 1.0), b"504")
        self.assertEqual(self.after("per_try: 0s, request: 20s", 10.0), b"")
