"""Describes what a file contains, as plain values and as lines of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from av.container import InputContainer

from vsr.color.spec import ColorSpec, PixelLayout
from vsr.frame import Stereo, VideoInfo
from vsr.media.files.opening import shown
from vsr.media.metadata.messages import labels_of
from vsr.media.pictures import exif
from vsr.media.pixels.pixel_formats import subsampling
from vsr.pipeline.job.report import plain
from vsr.pipeline.probing import StreamInfo, streams_of


def describe(container: InputContainer, video: VideoInfo) -> dict[str, Any]:
    """Return everything as plain values: fractions as "30000/1001", tags as lower-case names."""
    return {
        "format": container.format.name,
        "video": plain(video),
        "streams": [_stream(stream) for stream in streams_of(container)],
        "chapters": [_chapter(chapter) for chapter in container.chapters()],
        "metadata": dict(container.metadata),
    }


def describe_picture(path: Path, *, max_pixels: int) -> dict[str, Any]:
    """Return what the file of a still picture contains besides its samples, as plain values."""
    from vsr.media.pictures.file import open_picture  # imported late: a video needs no numpy

    file = open_picture(path, max_pixels=max_pixels)
    found = file.metadata
    parts = {
        "EXIF": found.exif,
        "place (GPS)": exif.has_place(found.exif),
        "colour profile (ICC)": found.icc,
        "XMP": found.xmp,
        "IPTC": found.photoshop,
        "density": found.density,
    }
    return {
        "format": file.kind,
        "orientation": exif.orientation_of(found.exif),
        "contains": [name for name, part in parts.items() if part],
        "texts": [f"{text.keyword or 'comment'}: {text.text}" for text in found.texts],
        "no_result_has": list(found.left_out),
        "damage": list(file.notes),
    }


def _picture_rows(picture: dict[str, Any]) -> list[tuple[str, str]]:
    turned = picture["orientation"] != 1
    rows = [("turned", f"by EXIF orientation {picture['orientation']}; results are stored upright")] * turned
    rows += [("contains", ", ".join(picture["contains"]))] * bool(picture["contains"])
    rows += [("text", text) for text in picture["texts"]]
    rows += [("left out", f"of results: {what}") for what in picture["no_result_has"]]
    return rows + [("damage", note) for note in picture["damage"]]


def lines_of(contents: dict[str, Any], video: VideoInfo) -> list[str]:
    """Return the description as lines of text, one fact a line."""
    rows = [("file", f"{video.path} ({contents['format']})")]
    picture = contents.get("picture")
    if picture is not None:
        rows += [row for row in _video_rows(video) if row[0] not in ("time", "carries")]
        rows += _picture_rows(picture)
        return [f"{name:<9}{shown(text)}" for name, text in rows]
    rows += _video_rows(video)
    rows += [("stream", _stream_line(stream, video.stream_index)) for stream in contents["streams"]]
    rows += [("chapter", f"{row['start']:.3f} s  {row['title']}") for row in contents["chapters"]]
    rows += [("metadata", f"{key}: {value}") for key, value in contents["metadata"].items()]
    rows += [("guessed", guess) for guess in video.guesses]
    return [f"{name:<9}{shown(text)}" for name, text in rows]


def _video_rows(video: VideoInfo) -> list[tuple[str, str]]:
    shape = f"{video.width}x{video.height}"
    if video.sample_aspect_ratio not in (None, 1):
        shape += f", pixels {video.sample_aspect_ratio}".replace("/", ":")
    if video.rotation:
        shape += f", shown rotated by {video.rotation} degrees counter-clockwise"
    rows = [("video", f"stream {video.stream_index}, {video.codec}, {shape}, {_samples(video.layout)}")]
    rows.append(("color", _color_line(video.color)))
    rows.append(("time", _time_line(video)))
    if video.field_order not in ("progressive", "unknown"):
        source = " according to the container" if video.fields_by_container else ""
        rows.append(("fields", f"interlaced, {video.field_order}{source}"))
    if video.crop is not None:
        sides = [f"{name} {float(getattr(video.crop, name)):g}" for name in _SIDES]
        rows.append(("hidden", f"{', '.join(sides)} pixels at the borders"))
    if video.stereo is not None:
        rows.append(("3d", _stereo_line(video.stereo)))
    if video.spherical is not None:
        rows.append(("360", _SPHERES.get(video.spherical.projection, "on a sphere")))
    rows += [("carries", label) for label in labels_of(video)]
    display = video.mastering_display
    if display is not None:
        low, high = float(display.min_luminance), float(display.max_luminance)
        rows.append(("hdr", f"mastered on a display of {low:g} to {high:g} cd/m2"))
    light = video.content_light
    if light is not None:
        rows.append(("hdr", f"brightest pixel {light.max_cll}, brightest average {light.max_fall} cd/m2"))
    return rows


_SIDES = ("left", "top", "right", "bottom")
_VIEWS = {
    1: "side by side",
    2: "top and bottom",
    3: "in turn",
    4: "as a checkerboard",
    6: "by lines",
    7: "by columns",
}
_SPHERES = {0: "equirectangular", 1: "cube map", 2: "part of an equirectangular frame"}


def _stereo_line(stereo: Stereo) -> str:
    first = "right" if stereo.inverted else "left"
    return f"two views {_VIEWS.get(stereo.kind, 'in one frame')}, the {first} eye's first"


def _samples(layout: PixelLayout) -> str:
    family = {"yuv": subsampling(layout), "rgb": "R'G'B'", "gray": "grey"}[layout.family]
    return f"{layout.bit_depth} bit {family}{' with alpha' if layout.alpha else ''}"


def _color_line(color: ColorSpec) -> str:
    tags = ("matrix", "transfer", "primaries", "range", "chroma_location")
    return ", ".join(f"{tag.split('_')[0]} {getattr(color, tag).name.lower()}" for tag in tags)


def _time_line(video: VideoInfo) -> str:
    parts = []
    if video.duration_seconds is not None:
        parts.append(f"{float(video.duration_seconds):.3f} s")
    if video.frames_promised is not None:
        parts.append(f"{video.frames_promised} frames")
    if video.frame_rate is not None:
        parts.append(f"{float(video.frame_rate):.6g} a second")
    start = (video.start_seconds or 0) - video.clock_start
    if start:
        parts.append(f"starts at {float(start):.3f} s")
    return ", ".join([*parts, f"ticks of {video.time_base} s"])


def _stream(stream: StreamInfo) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "index": stream.index,
        "type": stream.kind,
        "codec": stream.codec or "unknown",
        "language": stream.language,
        "disposition": list(stream.disposition),
        "metadata": dict(stream.metadata),
    }
    if stream.sample_rate is not None:
        entry |= {"rate": stream.sample_rate, "channels": stream.channels}
    if stream.width is not None:
        entry |= {"width": stream.width, "height": stream.height}
    return entry


def _stream_line(stream: dict[str, Any], chosen: int) -> str:
    facts = [f"{stream['index']} {stream['type']}", stream["codec"]]
    if "rate" in stream:
        facts.append(f"{stream['rate']} Hz {stream['channels']}")
    if "width" in stream:
        facts.append(f"{stream['width']}x{stream['height']}")
    facts += [stream["language"] or "", stream["metadata"].get("title", ""), *stream["disposition"]]
    mark = " (to be upscaled)" if stream["index"] == chosen else ""
    return ", ".join(fact for fact in facts if fact) + mark


def _chapter(chapter: Any) -> dict[str, Any]:
    ticks = chapter["time_base"] or 0
    return {
        "start": float(chapter["start"] * ticks),
        "end": float(chapter["end"] * ticks),
        "title": chapter["metadata"].get("title", ""),
    }
