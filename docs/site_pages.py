"""What the documentation site has beside the pages in docs/: a hook of MkDocs, which mkdocs.yml names.

The site contains README.md as its first page, the pages of the repository and of the plugins, the model
cards, the presets and recipes, and every file to which a page links. In the pages, links are those of the
repository; here they are rewritten for the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
ROOT_PAGES = {
    "README": "index",
    "CONTRIBUTING": "contributing",
    "SECURITY": "security",
    "CHANGELOG": "changelog",
}
RECIPES = {
    "pipelines": (
        "presets.md",
        "Presets",
        "A preset is one file. `vsr upscale --pipeline NAME` takes its name.",
    ),
    "pipelines/train": ("recipes.md", "Training recipes", "`vsr train NAME` takes the name of a recipe."),
    "pipelines/degrade": ("degradations.md", "Degradations", "A recipe names one as `degrade`."),
}
"""For each folder of settings the page that shows its files, with its title and first sentence."""
LANGUAGES = {".py": "python", ".yml": "yaml", ".yaml": "yaml", ".sbatch": "sh", ".toml": "toml"}
_LINK = re.compile(r"(\]\(|^\[[^]]+\]: )([^)#:\s]+)(?=[#)\s])", re.MULTILINE)
_FILE_NAME = re.compile(r"\[[\w./-]+\.md\]\(([^)#:\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    places = _places()
    for source, place in places.items():
        if source != f"docs/{place}":
            files.append(File.generated(config, place, content=_content(source)))
    cards = [source for source in places if source.startswith("vsr/weights/") and "CREDITS" not in source]
    files.append(File.generated(config, "models/index.md", content="".join(_overview(sorted(cards)))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of a page, and indent its lists as Python-Markdown needs it."""
    places = _places()
    source = next(
        (one for one, place in places.items() if place == page.file.src_uri), "vsr/weights/index.md"
    )
    parts = _FENCE.split(markdown)
    parts[::2] = [_nested(_linked(part, source, page.file.src_uri, places)) for part in parts[::2]]
    return "".join(parts)


def _places() -> dict[str, str]:
    """Return the place in the site of each file of the repository that is a page there."""
    found = {f"{name}.md": f"{page}.md" for name, page in ROOT_PAGES.items()}
    found |= {f"docs/{path.name}": path.name for path in ROOT.glob("docs/*.md")}
    found |= {
        f"plugins/{p.parent.name}/README.md": f"plugins/{p.parent.name}.md"
        for p in ROOT.glob("plugins/*/README.md")
    }
    found |= {
        f"vsr/weights/{path.name}": f"models/{path.name.lower()}" for path in ROOT.glob("vsr/weights/*.md")
    }
    found |= {folder: page for folder, (page, _, _) in RECIPES.items()}
    shown = {one for source in list(found) for one in _linked_files(source)} - found.keys()
    return found | {one: f"source/{one.lstrip('.')}.md" for one in sorted(shown)}  # MkDocs hides .github


def _linked_files(source: str) -> Iterator[str]:
    """Yield the files and folders to which a page links and which are no pages themselves."""
    if source.endswith(".md"):
        text = "".join(_FENCE.split((ROOT / source).read_text(encoding="utf-8"))[::2])
        for _, target in _LINK.findall(text):
            path = _resolved(source, target)
            if (ROOT / path).exists() and not path.endswith((".md", ".png", ".webp")):
                yield path


def _resolved(source: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _content(source: str) -> str:
    """Return the Markdown of a page of the repository, or of one that shows a folder of settings or code."""
    path = ROOT / source
    if source in RECIPES:
        _, title, sentence = RECIPES[source]
        return f"# {title}\n\n{sentence}\n" + "".join(
            _file(one, one.stem) for one in sorted(path.glob("*.toml"))
        )
    if path.is_dir():
        return f"# {source}\n" + "".join(
            _file(one, one.name) for one in sorted(path.iterdir()) if one.is_file()
        )
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".md" else f"# {source}\n\n{_code(path, text)}"


def _file(path: Path, heading: str) -> str:
    return f"\n## {heading}\n\n{_code(path, path.read_text(encoding='utf-8'))}"


def _code(path: Path, text: str) -> str:
    return f"```{LANGUAGES.get(path.suffix, 'text')}\n{text.strip()}\n```\n"


def _overview(cards: list[str]) -> Iterator[str]:
    """Yield the page with the first words and the picture of each model card."""
    yield "# Model cards\n\nThe networks in the package. [A table](../../README.md#models) compares them.\n"
    for card in cards:
        text = (ROOT / card).read_text(encoding="utf-8")
        words = next(part for part in text.split("\n\n")[1:] if not part.startswith("!"))
        picture = re.search(r"!\[[^]]*\]\([^)]+\)", text)
        shown = f"\n{picture[0]}\n" if picture else ""
        yield f"\n## [{Path(card).stem}]({Path(card).name})\n\n{words.strip()}\n{shown}"


def _linked(text: str, source: str, page: str, places: dict[str, str]) -> str:
    """Return the text with the links of the repository as links of the site."""

    def moved(found: re.Match[str]) -> str:
        target = _resolved(source, found[2])
        readme = f"{target}/README.md"
        place = places.get(readme, places.get(target, target.removeprefix("docs/")))
        return found[1] + posixpath.relpath(place, posixpath.dirname(page) or ".")

    def titled(found: re.Match[str]) -> str:
        return f"[{_title(_resolved(source, found[1]))}]({found[1]})"

    return _LINK.sub(moved, _FILE_NAME.sub(titled, text))


def _title(source: str) -> str:
    """Return the heading of a page, which a reader of the site knows better than its file name."""
    return (ROOT / source).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _nested(text: str) -> str:
    """Return the text with lists inside lists indented by four spaces a level instead of two."""
    return re.sub(r"^((?:  )+)(?=- )", lambda found: found[1] * 2, text, flags=re.MULTILINE)
