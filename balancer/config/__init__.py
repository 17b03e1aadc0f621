"""The configuration: read with positions, checked as a whole, handed on as one frozen tree."""
