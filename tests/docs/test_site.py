"""The documentation site builds without a warning, needs no network, and its generated pages are true."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import vsr
from tests.browser import PATIENCE, chromium

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, where a warning is an error."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_no_page_of_the_site_takes_anything_from_a_network(site: Path) -> None:
    """Links to other sites may be followed by a reader; scripts, styles, fonts and images are local."""
    taken = re.compile(r'(?:\bsrc|<link[^>]*\bhref)="?((?:https?:)?//[^"\s>]+)')
    pages = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert len(pages) > 40
    assert {name: found for name, text in pages.items() if (found := taken.findall(text))} == {}


def test_every_page_of_the_documentation_is_in_the_menu(site: Path) -> None:
    menu = (site / "index.html").read_text(encoding="utf-8")
    missing = {page.stem for page in DOCS.glob("*.md") if f'href="{page.stem}.html"' not in menu}
    assert missing == set()


def test_every_model_card_has_a_page_and_a_place_in_the_overview(site: Path) -> None:
    overview = (site / "models" / "index.html").read_text(encoding="utf-8")
    for card in (ROOT / "vsr" / "weights").glob("*-x*.md"):
        assert (site / "models" / f"{card.stem}.html").is_file()
        assert f'href="{card.stem}.html">{card.stem}</a>' in overview


def test_a_list_inside_a_list_is_one(site: Path) -> None:
    """Python-Markdown needs twice the spaces that the pages of the repository have."""
    page = (site / "architecture.html").read_text(encoding="utf-8")
    assert re.search(r"<strong><code>cli/</code></strong>[^<]*<ul>", page)


_SEARCHED = """() => {
    const box = document.querySelector("input.md-search__input")
    box.dispatchEvent(new Event("keyup", {bubbles: true}))
    return document.querySelector(".md-search-result__link")
}"""
"""Asks again until the page listens, which may be after the words are in the box."""


def test_the_search_works_on_a_site_that_is_opened_from_a_disk(site: Path) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE)
        seen: list[str] = []
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: seen.append(request.url) if "file:" not in request.url else None)
        page.goto((site / "index.html").as_uri())
        page.fill("input.md-search__input", "telecine")
        page.wait_for_function(_SEARCHED, polling=300)
        found = page.eval_on_selector_all(".md-search-result__link", "links => links.map(a => a.href)")
        assert any("dvd.html" in link for link in found)
        assert seen == []


WIDE = ["index", "settings", "api", "commands", "reliability", "benchmarks", "training", "architecture"]
"""The pages with the widest tables and the longest lines of code."""


def test_no_page_is_wider_than_a_phone(site: Path) -> None:
    """What is wider, a table or a line of code, scrolls in its own box."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(PATIENCE)
        for name in WIDE:
            page.goto((site / f"{name}.html").as_uri(), wait_until="domcontentloaded")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


@cache
def writer(name: str) -> ModuleType:
    """Import docs/NAME.py, which writes docs/NAME.md."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["api", "commands"])
def test_a_generated_page_equals_the_output_of_its_command(name: str) -> None:
    """The command is `python docs/NAME.py`."""
    module = writer(name)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), f"run python docs/{name}.py"


def test_the_page_of_python_names_has_every_public_name_once() -> None:
    listed = [name for names in writer("api").GROUPS.values() for name in names.split()]
    assert sorted(listed) == sorted(vsr.__all__)


def test_a_pages_menu_names_only_files_that_exist() -> None:
    """The build says so as well; this test needs no MkDocs."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (extra dev)")
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    menu = yaml.safe_load(text)["nav"]
    named = set(re.findall(r"'([\w-]+\.md)'", repr(menu)))
    made = {"index.md", "contributing.md", "security.md", "changelog.md"}
    made |= {"presets.md", "recipes.md", "degradations.md"}
    assert named - made == {page.name for page in DOCS.glob("*.md")}
