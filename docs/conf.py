"""The documentation: `make docs`. Pages are Markdown; what runs in them is in `extensions`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

import witten  # noqa: E402

project = "witten"
author = "The witten developers"
release = version = witten.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "pages", "texts"]
exclude_patterns = ["extensions", "slurm"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
highlight_language = "text"  # of blocks that name none: commands, and what they print
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
toc_object_entries = False
html_theme = "furo"
html_title = f"witten {release}"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
