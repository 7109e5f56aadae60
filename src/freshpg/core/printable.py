r"""Text that others wrote, made harmless for a terminal and for the log of a CI service. Pure.

Names of tests and databases, comments and a server's words may hold anything: sequences that move the cursor, hide or
repaint lines, turn the direction of writing round, or are commands to the service that runs the job. What is not plain
text is shown the way Python would write it, as ``\x1b``.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import re
from typing import Final

# C0 but tab and line feed, DEL, C1, line and paragraph separators, marks and overrides of direction, the invisible, half
# surrogate pairs, the byte order mark, tags.
_UNPRINTABLE: Final = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
# A service takes them at the beginning of a line, blanks aside; the older kind of GitHub anywhere.
_COMMAND: Final = r"(?m)^([ \t]*)(?=::|##vso\[)|(?<=##)(?=\[)"
# Compiled when first used: every run of pytest imports the errors, and most raise none.


def plain(text: str) -> str:
    """Return ``text`` with line feeds and tabs, and nothing else that is not seen as itself."""
    shown = text if text.isascii() and text.isprintable() else re.sub(_UNPRINTABLE, _spelled, text)
    return re.sub(_COMMAND, r"\1\\", shown) if "::" in shown or "##" in shown else shown


def plain_line(text: str) -> str:
    """Return the same as one line."""
    return plain(text).replace("\n", "\\n").replace("\t", " ")


def plain_json(text: str) -> str:
    r"""Return JSON text that means the same, with ``\u001b`` for what is not plain: it only stands in strings."""
    return re.sub(_UNPRINTABLE, _escaped, text).replace("##[", "##\\u005b")


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
