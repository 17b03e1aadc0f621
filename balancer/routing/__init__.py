"""Decides where a request goes: matchers, the index over routes, the pure decision, and the resource tree it feeds."""
