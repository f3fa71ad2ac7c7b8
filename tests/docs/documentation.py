"""The pages of the documentation, their blocks of code, and the files that their commands need."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tests.media_maker import Audio, make_clip
from tests.models.ncnn_files import compact
from tests.models.small_nets import make
from tests.training.films import pan, write_film
from tests.training.photographs import write_photographs
from vsr.models.archs.compact import CompactConfig
from vsr.models.archs.rrdb import RRDBConfig

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "plugins/*/*.md", "vsr/weights/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
_BLOCK = re.compile(
    r"(?:^<!-- (not run|slow): ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    text: str
    mark: str
    """`not run`, `slow`, or nothing: the comment `<!-- MARK: reason -->` on the line before the block."""
    reason: str

    @property
    def commands(self) -> list[str]:
        """Return the commands of a block of the language `sh`, each on one line and without its comment."""
        if self.language != "sh":
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [command for line in lines if (command := re.sub(r"(^|\s+)#\s.*", "", line).strip())]


def blocks_of(page: Path) -> list[Block]:
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(language, text, mark, reason) for mark, reason, language, text in found]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


FILM: dict[str, Any] = {"frames": 12, "width": 96, "height": 80, "time_base": None, "audio": [Audio()]}
SHORT: dict[str, Any] = {**FILM, "frames": 3}
LONG: dict[str, Any] = {**FILM, "rate": Fraction(1, 10), "audio": []}
DISC: dict[str, Any] = {**FILM, "interlaced": "top"}
TAPE: dict[str, Any] = {**DISC, "codec": "mpeg2video", "audio": []}
LARGE: dict[str, Any] = {**LONG, "width": 192, "height": 160}
LONGEST: dict[str, Any] = {**LONG, "rate": Fraction(1, 100), "width": 640, "height": 360}
TEST_SETS: dict[str, Any] = {"Set5/baby.png": None, "Set14/zebra.png": None, "clips/a.mp4": SHORT}

FILES: dict[str, dict[str, Any]] = {
    "README.md": {
        **dict.fromkeys(("in.mp4", "in.mkv", "clips/a.mp4", "s3://bucket/in.mp4"), SHORT),
        "in.nut": {**SHORT, "codec": "rawvideo", "audio": []},
        "photo.jpg": None,
        "clip.mp4": "film",
        "photographs/": None,
    },
    "docs/anime.md": {"in.mp4": FILM, "anime-x4.safetensors": "fast-x4"},
    "docs/commands.md": {
        **dict.fromkeys(("in.mp4", "a.mkv", "b.mkv"), LONG),
        **{"dvd.mkv": DISC, "rips/a.mp4": SHORT, "original.mkv": LARGE},
        "in.mkv": {**LONG, "rate": Fraction(1, 100)},
        "mine.safetensors": "fast-x4",
        **TEST_SETS,
    },
    "docs/comparing.md": {
        **dict.fromkeys(("in.mp4", "out.mp4", "a.mkv", "b.mkv"), LONG),
        **{"original.mkv": LARGE, "in.mkv": LONGEST, "photo.jpg": None},
    },
    "docs/evaluate.md": {"mine.safetensors": "fast-x4", **TEST_SETS},
    "docs/dvd.md": {"dvd.vob": TAPE},
    "docs/finetune.md": {
        **dict.fromkeys(("clip1.mp4", "clip2.mp4", "footage/a.mp4", "footage/b.mp4"), "film"),
        "in.mp4": FILM,
        "mine.safetensors": "fast-x2",
    },
    "docs/many-files.md": dict.fromkeys(
        ("rips/a.mkv", "archive/in/b.mp4", "a.mkv", "b.mkv", "film.mkv"), SHORT
    ),
    "docs/models.md": {
        "in.mp4": SHORT,
        "realesr-animevideov3-x4.param": None,
        "RealESRGAN_x4plus.pth": None,
    },
    "docs/overnight.md": {"rips/first.mkv": DISC, "rips/second.mkv": DISC},
    "docs/phone.md": {
        "in.mov": FILM,
        "hdr.mkv": {**SHORT, "codec": "libx265", "pix_fmt": "yuv420p10le", "hdr10": True},
        "upright.mov": {**SHORT, "rotation": 90},
    },
    "docs/pictures.md": {
        **dict.fromkeys(("photo.jpg", "album/a.jpg", "frames/00001.png", "frames/00002.png")),
        "in.mp4": SHORT,
        "in.gif": {**SHORT, "codec": "gif", "pix_fmt": "rgb8", "audio": []},
    },
    "docs/pipelines.md": {"in.mp4": SHORT, "own.toml": "docs/pipelines.md"},
    "docs/training.md": {
        **{"photographs/": None, "photos/": None, "film.mp4": "large film", "in.mp4": SHORT},
        **{"my-fast-x4.safetensors": "fast-x4", "my-crisp-x4.safetensors": "fast-x4-crisp"},
        "my-recipe.toml": "pipelines/train/fast-x2.toml",
    },
    "docs/urls.md": {
        "s3://bucket/in.mp4": SHORT,
        "s3://bucket/rips/a.mp4": SHORT,
    },
}
"""For each page the files that its commands read: of a clip its properties, of weights the model."""
USUAL = {"in.mp4": FILM, "in.mkv": FILM}
"""The files of every other page."""


def furnish(page: str, folder: Path) -> None:
    """Create the files of a page in a folder; objects of the store are in the folder `s3`."""
    for name, facts in FILES.get(page, USUAL).items():
        path = folder / name.replace("s3://bucket", "s3")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            write_photographs(path, 14, 512)
        else:
            MAKERS.get(path.suffix, _film)(path, facts)


def _film(path: Path, facts: Any) -> None:
    if not isinstance(facts, str):
        make_clip(path, **facts)
        return
    size = {"height": 288, "width": 352} if facts == "large film" else {}
    write_film(path, pan(1, 40, **size) + pan(2, 40, **size), options={"crf": "22"})


def _picture(path: Path, _: Any) -> None:
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(path)


def _weights(path: Path, model: str) -> None:
    shutil.copy(ROOT / "vsr" / "weights" / f"{model}.safetensors", path)


def _pickle(path: Path, _: Any) -> None:
    torch.save({"params_ema": make(RRDBConfig(scale=4, nf=6, nb=1, gc=3)).state_dict()}, path)


def _ncnn(path: Path, _: Any) -> None:
    state = make(CompactConfig(scale=4, nf=6, nc=3)).state_dict()
    compact(state, 4, merged=False, half=True).write(path)


def _settings(path: Path, source: str) -> None:
    """Copy a file, or the block of a page that shows it."""
    text = (ROOT / source).read_text(encoding="utf-8")
    shown = [block.text for block in blocks_of(ROOT / source) if block.language == "toml"]
    path.write_text(shown[0] if shown else text)


MAKERS = {
    ".jpg": _picture,
    ".param": _ncnn,
    ".png": _picture,
    ".pth": _pickle,
    ".safetensors": _weights,
    ".toml": _settings,
}
