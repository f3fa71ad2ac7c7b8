"""Shards: what names them, who reads which of them when, and what a hostile or damaged one does."""

from __future__ import annotations

import io
import random
import tarfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import vsr
from tests.local_servers import object_store
from tests.training.photographs import photograph, tiny_recipe
from vsr.errors import ConfigError, InputError
from vsr.training import public
from vsr.training.batches.pool import ClipPool, make_clip
from vsr.training.data.drawing import Geometry, part_for
from vsr.training.data.shards import LANES, ROUNDS, Shards, open_shards
from vsr.training.data.sources import ShardList, numbered, sources_of
from vsr.training.data.unpacked import UnpackedShards, unpack
from vsr.training.run import evaluate
from vsr.training.run.loop import StoppedEarlyError, datasets_for
from vsr.training.run.origin import origin_of

GEOMETRY = Geometry(size=64, frames=3, speed=2, scale=2)


def image(number: int, side: int = 72) -> bytes:
    data = io.BytesIO()
    Image.fromarray(photograph(number, side).permute(1, 2, 0).numpy()).save(data, "png")
    return data.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_shards(folder: Path, number: int, images: int = 2) -> ShardList:
    """Write tar files, each with some photographs and their labels, as WebDataset does."""
    shards = []
    for shard in range(number):
        members = {f"{shard:04d}-{i}.png": image(10 * shard + i) for i in range(images)}
        members |= {f"{shard:04d}-{i}.json": b"{}" for i in range(images)}
        shards.append(write_tar(folder / f"shard-{shard:04d}.tar", members))
    return ShardList(name=str(folder / "shard-*.tar"), shards=tuple(shards))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a-{00..02}.tar", ["a-00.tar", "a-01.tar", "a-02.tar"]),
        ("{9..10}/{0..1}.tar", ["9/0.tar", "9/1.tar", "10/0.tar", "10/1.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_ranges_keep_the_digits_of_the_first_number(word: str, expected: list[str]) -> None:
    assert numbered(word) == expected


def test_a_range_that_falls_or_is_endless_is_refused() -> None:
    for word in ("a-{5..3}.tar", "a-{0..99999999}.tar"):
        with pytest.raises(ConfigError, match=r"Use \{first\.\.last\}, as in \{0000\.\.0099\}"):
            numbered(word)


def test_paths_ranges_and_wildcards_name_local_shards(tmp_path: Path) -> None:
    expected = write_shards(tmp_path, 3).shards
    for pattern in ("shard-{0000..0002}.tar", "shard-*.tar"):
        (found,) = sources_of([str(tmp_path / pattern)])
        assert isinstance(found, ShardList)
        assert found.shards == expected
    assert sources_of([str(tmp_path), "film.mp4"]) == [tmp_path, Path("film.mp4")]
    with pytest.raises(ConfigError, match=r"other-\*\.tar: no file matches"):
        sources_of([str(tmp_path / "other-*.tar")])
    with pytest.raises(InputError, match=r"shard-0003\.tar cannot be read"):
        open_shards(sources_of([str(tmp_path / "shard-{0000..0003}.tar")])[0], GEOMETRY, 2)  # type: ignore[arg-type]


def test_of_urls_only_shards_are_read() -> None:
    with pytest.raises(ConfigError, match=r"s3://bucket/film\.mp4: of URLs, only shards are read"):
        sources_of(["s3://bucket/film.mp4"], allow_network=True)


def test_held_out_shards_are_not_trained_on(tmp_path: Path) -> None:
    known, held_out = open_shards(write_shards(tmp_path, 6), GEOMETRY, 3)
    assert [shard.name[6:10] for shard in held_out.shards] == ["0001", "0004"]
    assert set(known.shards).isdisjoint(held_out.shards)
    assert len(known.shards) == 4
    with pytest.raises(InputError, match=r"is one shard\. Training requires another one"):
        open_shards(write_shards(tmp_path, 1), GEOMETRY, 3)


def visited(known: Shards, rounds: range, fresh: int = LANES, of: slice = slice(None)) -> Counter[str]:
    """Return how many clips of some rounds come from each shard; `of` selects those of a process."""
    clips = [(number, i) for number in rounds for i in range(fresh)[of]]
    parts = [part_for(known, number, i, fresh) for number, i in clips]
    return Counter(known.shard(part.position).name for part in parts)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fresh", [1, 2, 8, 16])
def test_all_shards_are_read_equally_often(fresh: int) -> None:
    known = nothing_read(24)
    rounds = 24 * ROUNDS // min(fresh, LANES)
    found = visited(known, range(0, rounds), fresh)
    assert len(found) == 24
    # A lane that begins in the middle of its turn leaves its first shard earlier, and its last one later.
    assert max(found.values()) <= 2 * max(1, fresh // LANES) * ROUNDS
    longer = visited(known, range(0, 30 * rounds), fresh)
    assert max(longer.values()) < 1.1 * min(longer.values())


def nothing_read(count: int) -> Shards:
    shards = tuple(Path(f"{number:04d}.tar") for number in range(count))
    return Shards(name="x", shards=shards, pixels=1, unpacked=UnpackedShards(lambda _: None, kept=1))  # type: ignore[arg-type,return-value]


def test_a_process_reads_only_the_shards_of_its_own_clips() -> None:
    known, rounds = nothing_read(1000), range(4 * ROUNDS)
    shares = [visited(known, rounds, of=slice(rank, None, 4)) for rank in range(4)]
    assert sum(shares, Counter()) == visited(known, rounds)
    assert all(len(share) <= len(visited(known, rounds)) / 3 for share in shares)
    for rank, share in enumerate(shares):
        assert all(share.keys().isdisjoint(other) for other in shares[:rank])


def test_clips_do_not_depend_on_what_was_read_before(tmp_path: Path) -> None:
    recipe = replace(tiny_recipe(), degrade=replace(tiny_recipe().degrade, clean=1.0))
    source = write_shards(tmp_path, 4)
    unbroken, resumed = (datasets_for(recipe, [source])[0] for _ in range(2))
    wanted = [(number, i) for number in (0, ROUNDS, 3 * ROUNDS) for i in range(2)]
    first = {at: make_clip(unbroken, recipe, *at).hr for at in wanted}
    for at in reversed(wanted):
        assert torch.equal(make_clip(resumed, recipe, *at).hr, first[at])
    assert not torch.equal(first[wanted[0]], first[wanted[1]])


def folders_of_used_shards(source: ShardList) -> list[Path]:
    """Use six shards inside and after one another, and return the folders into which they were unpacked."""
    opened: list[Path] = []
    unpacked = UnpackedShards(lambda folder: opened.append(folder) or folder, kept=2)  # type: ignore[func-returns-value]
    with unpacked.use(source.shards[0]) as first:
        for shard in source.shards[1:]:
            with unpacked.use(shard) as folder:
                assert len(list(folder.iterdir())) == 2  # the images without their labels
        assert first.is_dir()
        assert sum(path.exists() for path in opened) <= 2
    with unpacked.use(source.shards[1]) as again:
        assert again.is_dir()
    return opened


def test_only_the_shards_in_use_stay_on_the_disk(tmp_path: Path) -> None:
    opened = folders_of_used_shards(write_shards(tmp_path, 6))
    assert len(opened) == 7
    assert not opened[0].parent.exists()  # the unpacked shards go with the object that unpacked them


def test_no_member_of_a_tar_file_leaves_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as tar:
        for name in (
            "../../up.png",
            "/top.png",
            "in/side.jpg",
            "in/._side.jpg",
            "../in/SOURCES.tsv",
            "run.sh",
        ):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"link{kind!r}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
    folder = tmp_path / "deep" / "folder"
    folder.parent.mkdir()
    unpack(path, folder)
    inside = {str(found.relative_to(folder)) for found in folder.rglob("*")}
    assert inside == {"up.png", "top.png", "in_side.jpg", "SOURCES.tsv"}
    assert {found.name for found in tmp_path.iterdir()} == {"hostile.tar", "deep"}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    source = write_shards(tmp_path, 2)
    source.shards[0].write_bytes(source.shards[0].read_bytes()[:2000])
    (tmp_path / "text.tar").write_bytes(b"not a tar file" * 99)
    small = tuple(write_tar(tmp_path / f"small{n}.tar", {"a.png": image(n, side=20)}) for n in range(3))
    for path in (source.shards[0], tmp_path / "text.tar"):
        with pytest.raises(InputError, match=f"{path.name} is no complete tar file"):
            unpack(path, tmp_path / f"{path.stem}-unpacked")
    known, _ = open_shards(ShardList(name="x", shards=small), GEOMETRY, 2)
    with pytest.raises(InputError, match=r"small\d\.tar: no image has 64 pixels on each side"):
        known.draw(random.Random(0))


def test_shards_of_an_object_store_train_and_resume_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SAMPLES", 2)
    recipe = replace(tiny_recipe(steps=8), validate_every=4, holdout=2)
    monkeypatch.setattr(public, "read_recipe", lambda name: recipe)
    torch.set_num_threads(1)
    with object_store(monkeypatch) as store:
        for shard in write_shards(tmp_path, 4).shards:
            store.put(f"photos/{shard.name}", shard)
        words = {
            "data": store.url("photos/shard-{0000..0003}.tar"),
            "allow_network": True,
            "device": "cpu",
        }
        local = vsr.train("tiny", data=str(tmp_path / "shard-*.tar"), output=tmp_path / "local.safetensors")
        vsr.train("tiny", output=tmp_path / "whole.safetensors", **words)
        seen: list[int] = []
        broken = {"output": tmp_path / "broken.safetensors", "on_progress": lambda p: seen.append(p.step)}
        with pytest.raises(StoppedEarlyError):
            vsr.train("tiny", cancel=lambda: len(seen) == 5, **broken, **words)
        store.put("photos/shard-0003.tar", tmp_path / "shard-0001.tar")
        with pytest.raises(ConfigError, match=r"photos/shard-\{0000\.\.0003\}\.tar contains different files"):
            vsr.train("tiny", **broken, **words)
        store.put("photos/shard-0003.tar", tmp_path / "shard-0003.tar")
        vsr.train("tiny", **broken, **words)
        with pytest.raises(ConfigError, match="network, which is not used without `allow_network=True`"):
            vsr.train("tiny", data=words["data"], output=tmp_path / "x.safetensors")
    assert seen == list(range(1, 9))
    files = {name: load_file(tmp_path / f"{name}.safetensors") for name in ("local", "whole", "broken")}
    assert local.figures["gain"]
    for name in ("local", "broken"):
        assert all(torch.equal(files["whole"][key], value) for key, value in files[name].items()), name


def test_a_pattern_and_a_folder_of_an_object_store_name_the_same_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_shards(tmp_path, 3, images=1)
    with object_store(monkeypatch) as store:
        for path in source.shards:
            store.put(f"photos/{path.name}", path)
        store.put("photos/README.md", source.shards[0])
        words = [store.url(f"photos/{name}") for name in ("shard-*.tar", "", "shard-{0000..0002}.tar")]
        found = [sources_of([word], allow_network=True)[0] for word in words]
        assert all(isinstance(one, ShardList) for one in found)
        assert len({one.shards for one in found}) == 1  # type: ignore[union-attr]
        assert origin_of(found[:1], None, None)["data"][0]["files"] == 3


def test_a_pool_takes_its_clips_from_shards(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    known, _ = datasets_for(recipe, [write_shards(tmp_path, 4)])
    with closing(ClipPool(known, recipe)) as pool:
        assert pool.batch(0).hr.shape == (4, 3, 32, 32)
