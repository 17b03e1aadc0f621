"""How a path or query becomes another: pure decisions that the ``rewrite`` filter and redirects share."""
