"""Sphinx configuration; ``make docs``."""

project = "balancer"
author = "the balancer authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "balancer"
exclude_patterns = ["_build", "examples"]
source_suffix = {".md": "markdown"}
suppress_warnings = ["myst.header"]
highlight_language = "none"
