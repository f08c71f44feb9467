"""Results as one HTML page that holds everything: figures as SVG, tables that can be copied, nothing from elsewhere.

`pages` is the layout, `drawings` puts figures into it, and both know no results; each kind of result has a module of
its own that says what goes on its page.
"""

from witten.report.drawings import picture
from witten.report.pages import Facts, Figure, Row, Section, Table, Text, Verdict, check_page, page, write_page

__all__ = [
    "Facts",
    "Figure",
    "Row",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "check_page",
    "page",
    "picture",
    "write_page",
]
