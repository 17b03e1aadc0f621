"""Tests of the reactor on libuv."""
