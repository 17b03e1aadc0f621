"""Twisted's own tests of reactors, for ours; its ports and clients make our transports."""

from __future__ import annotations

from tests.net.batches import BatchTests
from tests.net.twisted_tests import BUILDERS, NO_PREFIX, cases

_AT_ONCE = "written at once: nothing is queued while the kernel takes it, so nobody is paused and resumed"
_OTHERWISE = {
    "test_closePeerOnEMFILE": "clients wait in the backlog until there are descriptors again",
    "test_logPrefix": NO_PREFIX,
    "test_lostFileDescriptor": "as with Twisted's EPollReactor, which this test knows by name: epoll forgets closed descriptors",
    "test_resumeProducingAbort": _AT_ONCE,
    "test_resumeProducingAbortLater": _AT_ONCE,
    "test_resumeProducingThrows": _AT_ONCE,
    "test_serverGetHostOnIPv6ScopeID": "addresses are shown as the kernel gives them",
    "test_serverGetPeerOnIPv6ScopeID": "addresses are shown as the kernel gives them",
    "test_streamingProducer": _AT_ONCE,
    "test_writeSequenceWithUnicodeRaisesException": "text is refused in the words of bytes.join()",
}
"""Tests of what is done differently on purpose, and how."""

globals().update(cases("tests.net.whole.Reactor", [*BUILDERS, BatchTests], _OTHERWISE, __name__))
del BatchTests
