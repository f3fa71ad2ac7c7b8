"""A URL or file object is named by a path, and no name contains a credential."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsr.errors import ConfigError
from vsr.media.files.opening import shown
from vsr.media.files.stdio import place_of
from vsr.media.remote import places


@pytest.fixture(autouse=True)
def _empty_table() -> Iterator[None]:
    yield
    places._places.clear()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/a/in.mp4", "s3://bucket/a/in.mp4"),
        ("S3://bucket/in.mp4", "s3://bucket/in.mp4"),
        ("s3://bucket/what?.mp4", "s3://bucket/what?.mp4"),
        ("s3://bucket/in.mp4?X-Amz-Signature=SECRET", "s3://bucket/in.mp4"),
        ("s3://bucket/a//in.mp4", "s3://bucket/a//in.mp4"),
        ("gs://bucket/in.mp4?GoogleAccessId=SECRET&Signature=SECRET", "gs://bucket/in.mp4"),
        ("https://user:SECRET@host/in.mp4", "https://host/in.mp4"),
        ("https://SECRET@host:8443/in.mp4", "https://host:8443/in.mp4"),
        ("https://u:p@SECRET@host/in.mp4", "https://host/in.mp4"),
        ("https://host/in.mp4?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET", "https://host/in.mp4"),
        ("https://host/in.mp4?SECRET", "https://host/in.mp4"),
        ("https://host/in.mp4#SECRET", "https://host/in.mp4"),
        ("https://user:SECRET@[::1]:80/in.mp4", "https://[::1]:80/in.mp4"),
        ("memory://folder/in.mp4", "memory://folder/in.mp4"),
    ],
)
def test_names_contain_no_user_password_or_query(url: str, name: str) -> None:
    path = place_of(url)
    assert shown(path) == name
    assert path.suffix == ".mp4"
    assert "SECRET" not in f"{path} {places.remote_of(path)!r}"
    assert places.remote_of(str(path)).url.lower() == url.lower()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://KEY:SECRET@bucket/in.mp4", "credentials in its URL are not taken"),
        ("s3://KEY:SEC/RET@bucket/in.mp4", "credentials in its URL are not taken"),
        ("https://user:SE/CRET@host/in.mp4", "its host cannot be read"),
        ("file://server/share/in.mp4", "is on another host"),
    ],
)
def test_urls_that_cannot_be_told_from_credentials_are_refused_without_showing_them(
    url: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as told:
        place_of(url)
    assert "SEC" not in str(told.value)
    assert "CRET" not in str(told.value)


def test_two_urls_that_differ_only_in_what_is_hidden_have_two_names() -> None:
    first, second = (place_of(f"https://host/get.mp4?id={number}") for number in (1, 2))
    assert (shown(first), shown(second)) == ("https://host/get.mp4", "https://host/get#2.mp4")
    assert [places.remote_of(path).url[-1] for path in (first, second)] == ["1", "2"]
    assert place_of("https://host/get.mp4?id=2") == second


@pytest.mark.parametrize(
    "url", ["file:///a%20b/in.mp4", "file://localhost/a%20b/in.mp4", "FILE:///a b/in.mp4"]
)
def test_a_file_url_is_the_local_path(url: str) -> None:
    assert place_of(url) == Path("/a b/in.mp4")
    assert places.remote_of(place_of(url)) is None


@pytest.mark.parametrize(
    "word", ["in.mp4", "./s3:/in.mp4", "C:/in.mp4", "rtmp://host/x", "concat:a|b", "ssh://h/x"]
)
def test_other_words_are_local_paths(word: str) -> None:
    assert place_of(word) == Path(word)
    assert places.remote_of(place_of(word)) is None


def test_a_file_object_is_named_by_its_number_and_its_own_name(tmp_path: Path) -> None:
    with (tmp_path / "in.mp4").open("wb") as file:
        path = place_of(file)
    assert shown(path).startswith("file object ")
    assert shown(path).endswith(" in.mp4")
    bare = place_of(io.BytesIO(), suffix=".mkv")
    assert bare.suffix == ".mkv"
    assert bare.stem == shown(bare)


def test_a_text_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="is open as text"):
        place_of(io.StringIO())


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("s3://b/a/in.avi", "s3://b/a/in-2x.mkv"),
        ("s3://b/in.avi?versionId=SECRET", "s3://b/in-2x.mkv"),
        ("memory://b/in.avi", "memory://b/in-2x.mkv"),
    ],
)
def test_a_result_lies_beside_its_input(url: str, result: str) -> None:
    beside = places.beside(place_of(url, allow_network=True), "in-2x.mkv")
    assert places.remote_of(beside).url == result
    assert places.remote_of(beside).allow_network


def test_nothing_lies_beside_a_web_address() -> None:
    with pytest.raises(ConfigError, match="name an OUTPUT"):
        places.beside(place_of("https://host/in.avi"), "in-2x.mkv")


def test_paths_below_a_folder_are_urls_too() -> None:
    below = places.below(place_of("s3://b/out/"), "disc 1", "in.mkv")
    assert places.remote_of(below).url == "s3://b/out/disc 1/in.mkv"
    assert places.below(Path("out"), "disc 1", "in.mkv") == Path("out/disc 1/in.mkv")
