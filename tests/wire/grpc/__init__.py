"""Tests of :mod:`balancer.wire.grpc`."""
