"""An HTML document of one file, light or dark as the system is, and parts of it: tables and lists of facts.

Whatever is passed as text is escaped. The page may load nothing: its Content-Security-Policy forbids it.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from importlib import resources

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def document(body: str, *, title: str, refresh_seconds: int | None = None, script: str = "") -> bytes:
    """Return a page.

    Args:
        body: HTML.
        title: Shown on the tab and as the headline; any text.
        refresh_seconds: After this time a browser loads the file again; None never.
        script: JavaScript that runs after the body is complete.
    """
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',  # otherwise some browsers ask for favicon.ico
        f"<title>{html.escape(title)}</title>",
        f"<style>{asset('style.css')}</style>",
    ]
    if refresh_seconds is not None:
        head.append(f'<meta http-equiv="refresh" content="{refresh_seconds}">')
    code = f"<script>{script}</script>" if script else ""
    text = (
        f'<!doctype html>\n<html lang="en">\n<head>\n{chr(10).join(head)}\n</head>\n<body>\n'
        f"<h1>{html.escape(title)}</h1>\n{body}\n{code}\n</body>\n</html>\n"
    )
    return text.encode("utf-8", "backslashreplace")  # a file name may have bytes that are not UTF-8


def asset(name: str) -> str:
    """Return a text file of this package."""
    return (resources.files("vsr.web_page") / name).read_text(encoding="utf-8")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Return a table; the columns with the indices `numbers` are aligned at the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = [' class="number"' if i in numbers else "" for i in range(len(row))]
        return "".join(
            f"<{tag}{kind}>{html.escape(text)}</{tag}>" for kind, text in zip(kinds, row, strict=True)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return f"<table>\n<tr>{cells('th', titles)}</tr>\n{lines}</table>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values, without those that are empty."""
    lines = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>\n" for a, b in rows if b)
    return f"<table>\n{lines}</table>"


def escaped(text: str) -> str:
    """Return any text as HTML that shows it."""
    return html.escape(text)


def paragraph(text: str, *, kind: str = "") -> str:
    """Return a paragraph of the class `kind` of the style."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def image_address(data: bytes, kind: str) -> str:
    """Return the address of an image that is inside the page, such as for `image/webp`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
