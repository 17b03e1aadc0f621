"""The language half: rule files in, values out; nothing here knows of requests or of Twisted."""
