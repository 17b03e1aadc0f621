"""Tests of balancer.net."""
