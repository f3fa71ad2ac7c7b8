"""The sources of a training: paths on this machine, and lists of shards, also at URLs."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vsr.errors import ConfigError
from vsr.media.remote.listing import files_below, has_wildcards, is_folder_url, matches
from vsr.media.remote.places import is_url, register, remote_of, without_credentials

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""Names of WebDataset's shards end like this."""
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_SHARDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardList:
    """Tar files with images, which together are one source."""

    name: str
    """The pattern that names them, without credentials."""
    shards: tuple[Path, ...]
    """Local paths, or those that stand for URLs, sorted."""


Source = Path | ShardList


def sources_of(words: Sequence[str | Path], *, allow_network: bool = False) -> list[Source]:
    """Return the sources that words name.

    Args:
        words: A path; or shards, as a path or URL of tar files with numbers (`{0000..0099}`) or wildcards
            (`*`), or a URL of their folder that ends with a slash.
        allow_network: Whether the network may be used for URLs.

    Raises:
        ConfigError: A URL names no shards, nothing matches, or the network is not allowed.
        InputError: A store does not answer.
    """
    return [_source(str(word), allow_network=allow_network) for word in words]


def _source(word: str, *, allow_network: bool) -> Source:
    if not is_url(word) and not _names_shards(word):
        return Path(word)
    named = [one for part in numbered(word) for one in _found(part, allow_network=allow_network)]
    if not named:
        raise ConfigError(f"{without_credentials(word)}: no file matches this pattern")
    return ShardList(name=without_credentials(word), shards=tuple(dict.fromkeys(named)))


def _names_shards(word: str) -> bool:
    return word.lower().endswith(SHARD_SUFFIXES) and not Path(word).is_dir()


def numbered(word: str) -> list[str]:
    """Return the words that `{first..last}` stands for, with as many digits as `first` has."""
    parts = _RANGE.split(word)
    ranges = [_numbers(first, last) for first, last in zip(parts[1::3], parts[2::3], strict=True)]
    texts = parts[0::3]
    return [
        "".join(itertools.chain.from_iterable(itertools.zip_longest(texts, chosen, fillvalue="")))
        for chosen in itertools.product(*ranges)
    ]


def _numbers(first: str, last: str) -> list[str]:
    low, high = int(first), int(last)
    if not low <= high < low + MAX_SHARDS:
        raise ConfigError(f"{{{first}..{last}}} is not possible. Use {{first..last}}, as in {{0000..0099}}")
    return [str(number).zfill(len(first)) for number in range(low, high + 1)]


def _found(word: str, *, allow_network: bool) -> list[Path]:
    """Return the shards that a word without ranges names."""
    if not is_url(word):
        found = sorted(glob.glob(word)) if glob.has_magic(word) else [word]  # noqa: PTH207  # a whole path
        return [Path(path) for path in found]
    path = register(word, allow_network=allow_network)
    remote = remote_of(path)
    if remote is None:  # file://
        return [path]
    urls = [word]
    if is_folder_url(remote):
        urls = [url for url, name in files_below(remote, recursive=False) if _is_shard(name)]
    elif has_wildcards(remote):
        urls = matches(remote)
    for url in urls:
        if not _is_shard(url.partition("?")[0]):
            raise ConfigError(
                f"{remote.shown}: of URLs, only shards are read: s3://bucket/photos-{{0000..0099}}.tar."
                " Copy folders and videos to this machine"
            )
    return [register(url, allow_network=allow_network) for url in sorted(urls)]


def _is_shard(name: str) -> bool:
    return PurePosixPath(name).name.lower().endswith(SHARD_SUFFIXES)
