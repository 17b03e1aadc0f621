"""Tests of the plug-in contract."""
