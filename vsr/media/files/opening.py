"""Opens media for reading; no other module does. It also defines which formats may be opened.

By itself, FFmpeg follows playlists to other files and to the network, renders text files as video, and
allocates a gigabyte for a header that states a huge frame. Here, only the `file:` protocol and the demuxers
of `CONTAINERS` are allowed, and the size of a frame is limited. The bytes of a URL or a file object come from
`vsr.media.remote`, and FFmpeg may then open nothing at all by itself.
"""

from __future__ import annotations

import io
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from vsr.errors import InputError
from vsr.media.files.pyav import TEXT
from vsr.media.files.stdio import MUXERS, PipeReader, is_pipe, standard_input
from vsr.media.files.tiff import READ_COMPRESSIONS, compression_of
from vsr.media.remote.places import PROTOCOLS, remote_of, shown_name
from vsr.media.remote.reader import MediaReader, check_read, open_bytes, open_for_media, size_of
from vsr.system.names import reachable

MAX_PIXELS = 8192 * 8192
"""The largest frame that is accepted by default. Without a limit, a file of 1 MB can request a gigabyte of
memory."""

_CONTAINERS = """
mov mp4 m4a 3gp 3g2 mj2 matroska webm mpegts mpeg mpegvideo avi flv live_flv asf asf_o ogg mxf nut dv gxf
lxf wtv ty rm ivr nsv nuv pva vivo swf av1 ivf obu h264 hevc vvc h263 h261 m4v vc1 vc1test avs2 avs3
cavsvideo dirac dnxhd evc apv mjpeg mjpeg_2000 ingenient smjpeg yuv4mpegpipe v210 v210x gif apng jpegxl_anim
png_pipe jpeg_pipe bmp_pipe tiff_pipe webp_pipe ppm_pipe pgm_pipe pam_pipe psd_pipe exr_pipe dpx_pipe
j2k_pipe jpegls_pipe jpegxl_pipe qoi_pipe sgi_pipe sunrast_pipe hdr_pipe gif_pipe pcx_pipe cine mlv
filmstrip flic smk bink bfi idcin roq 4xm ea film_cpk mm mv mvi thp vmd xmv wc3movie psxstr dxa c93 rl2 rpl
siff smush tmv txd usm moflex mods kux dhav iss yop anm cdxl hnm gdv jv bethsoftvid paf sdr2 ser argo_brp
bmv hxvs iv8 ifv luodat lmlm4 pmp dsicin tiertexseq avr ipu mtv mxg frm nc msnwctcp xmd wav w64 aiff mp3
flac
"""
CONTAINERS = tuple(_CONTAINERS.split())
"""FFmpeg's names of the allowed demuxers. Deliberately missing are playlists and scripts (hls, dash, concat,
sdp, rtsp, imf, lavfi), text rendered as video (tty, bin, xbin, idf, adf), raw video without a header, and
image2, which expands patterns in names. The last five contain audio only; they are listed for a clearer
error."""

MAX_STREAMS = 500
"""The largest number of streams in a file, attached fonts included; real files have at most about two
hundred."""

MAX_TAGS = 5000
"""The largest number of metadata tags of a file and its streams; real files have at most some hundreds."""

PROBE_BYTES = 1 << 26
"""The number of bytes that FFmpeg may read to find the streams where no header lists them (MPEG-TS); audio
may begin late. FFmpeg's own limit of 5 MB is one second of Blu-ray."""

GENERATED_TIMES = 1
"""AVFMT_FLAG_GENPTS, which PyAV sets. With it, FFmpeg computes missing presentation times from the decoding
times of the next packets, in the wrong order if there are B-frames."""

_BUFFER = 1 << 20
"""The number of bytes that FFmpeg requests from a pipe at once; for a file, FFmpeg decides itself."""

_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(CONTAINERS),
    "probesize": str(PROBE_BYTES),
    "max_streams": str(MAX_STREAMS + 1),
}
_IN_AVI = ",srt,ass"
"""Demuxers of the text files that AVI stores as subtitles (GAB2)."""
_LIVE = {"fpsprobesize": "0"}
"""With this, FFmpeg does not read twenty frames of NUT, which states no frame rate, to estimate one."""
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the video itself. Run `git lfs pull`"),
    (b"#EXTM3U", "a playlist. Give the video file itself"),
    (b"ffconcat version", "a playlist. Give the video files one at a time"),
    (b"<!DOCTYPE", "a web page. Download the video itself"),
    (b"<html", "a web page. Download the video itself"),
    (b"<?xml", "an XML document, not a video"),
    (b"%PDF", "a PDF document, not a video"),
    (b"PK\x03\x04", "a ZIP archive. Unpack it first"),
)
_PICTURES = "jpg jpeg jpe jfif mpo png webp bmp dib tif tiff gif heic heif avif jp2 jxl pbm pgm ppm pnm qoi"
_PICTURE_SUFFIXES = frozenset(f".{name}" for name in _PICTURES.split())
ANIMATED_WEBP = "an animated WebP, which cannot be decoded here. Convert it to GIF, APNG or a video first"
_ADDRESS = re.compile(r"(^|/)[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""Matches what a path makes of `rtmp://...`, since a path has no double slash."""
_NO_PROTOCOL = "none"
"""A whitelist for FFmpeg that names no protocol which exists."""
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis")
_MOV_ATOMS = (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"pnot")


def open_media(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, last: bool = False, hwaccel: HWAccel | None = None
) -> InputContainer:
    """Open a video for reading; the caller closes it.

    Args:
        path: Path of a regular file (links are followed), of standard input, or one that `place_of` returned
            for a URL or a file object. Any name is allowed: `a:b.mp4`, `-x.mp4`, `%d.mp4`.
        max_pixels: Larger frames are refused.
        last: Whether this is the last time that the input is opened. Until then, the beginning of a pipe is
            kept in memory.
        hwaccel: Hardware decoding for its streams, see `vsr.media.decode.hwaccel`; None is software.

    Raises:
        InputError: the file is missing, not regular, empty, of no accepted format, cut off before its index,
            has more than `MAX_STREAMS` streams or larger frames; the message is one line.
    """
    container = _opened(path, max_pixels=max_pixels, last=last, hwaccel=hwaccel)
    try:
        _check_size(container, Path(path), max_pixels)
    except BaseException:
        container.close()
        raise
    return container


def _opened(
    path: str | Path, *, max_pixels: int, last: bool = False, hwaccel: HWAccel | None = None
) -> InputContainer:
    remote, name = remote_of(path), Path(path)
    where = name if is_pipe(path) or remote is not None else reachable(name.absolute())
    options = {**_OPTIONS, "max_pixels": str(max_pixels)}
    if is_pipe(path):
        demuxer: str | None = MUXERS[standard_input().format()]
        place: str | PipeReader | MediaReader = standard_input().open(last=last)
        options |= _LIVE if standard_input().live else {}
    elif remote is not None:
        _check_not_empty(name, size_of(where))
        _check_heic(where, name)
        demuxer, place = _demuxer(where), open_for_media(where)
        options["protocol_whitelist"] = _NO_PROTOCOL
    else:
        _check_regular(where, name)
        _check_heic(where, name)
        demuxer, place = _demuxer(where), f"file:{where}"
    if not is_pipe(path) and _is_avi(where):
        options["format_whitelist"] += _IN_AVI
    try:
        container = av.open(
            place,
            "r",
            format=demuxer,
            options=options,
            buffer_size=_BUFFER,
            hwaccel=hwaccel,
            **TEXT,
        )
    except (av.FFmpegError, OSError, ValueError, LookupError, MemoryError) as error:
        if isinstance(place, MediaReader):
            place.check()
        raise InputError(_why_not(where, name, error)) from error
    container.flags &= ~GENERATED_TIMES
    try:
        check_read(container)
        _check_streams(container, name)
        _check_packing(container, where, name)
        _check_tags(container, name)
    except BaseException:
        container.close()
        raise
    return container


def reopen_media(path: str | Path) -> InputContainer:
    """Open a file again without checking the size of its frames: they were checked before, or vsr wrote them.

    Its streams are copied, not decoded. FFmpeg itself decodes some to describe them, mainly covers; the limit
    still applies to these.
    """
    return _opened(path, max_pixels=MAX_PIXELS)


def open_own(data: bytes, demuxer: str) -> InputContainer:
    """Open a file in memory that vsr itself made to describe a stream; the caller closes it.

    Args:
        data: The whole file.
        demuxer: FFmpeg's name of the demuxer.
    """
    return av.open(io.BytesIO(data), "r", format=demuxer)


def shown(path: str | Path) -> str:
    """Return a path, or any text from a file, in printable form: control characters and invalid bytes are
    escaped.
    """
    text = shown_name(path) or os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _is_avi(path: Path) -> bool:
    with suppress(OSError), open_bytes(path) as file:
        head = file.read(12)
        return head[:4] == b"RIFF" and head[8:] == b"AVI "
    return False


def _demuxer(path: Path) -> str | None:
    """Return the demuxer of a JPEG file with a suffix of images; None for others, which FFmpeg recognises by
    content.

    For a JPEG with such a suffix FFmpeg would choose image2, which expands patterns in the name. A file that
    begins as JPEG under another name may be a video of many images (MJPEG).
    """
    if path.suffix.lower() not in _PICTURE_SUFFIXES:
        return None
    with open_bytes(path) as file:
        return "jpeg_pipe" if file.read(3) == b"\xff\xd8\xff" else None


def _check_regular(path: Path, name: Path) -> None:
    try:
        mode = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{shown(name)}: no such file. {_advice(name)}") from error
    except OSError as error:
        raise InputError(f"{shown(name)}: cannot be read ({error.strerror})") from error
    if stat.S_ISDIR(mode.st_mode):
        raise InputError(f"{shown(name)}: is a folder. Give a video file")
    if not stat.S_ISREG(mode.st_mode):
        raise InputError(f"{shown(name)}: is not a regular file. Save the video to a file first")
    _check_not_empty(name, mode.st_size)


def _check_not_empty(path: Path, size: int) -> None:
    if size == 0:
        raise InputError(f"{shown(path)}: is empty (0 bytes). Copy or download it again")


def _check_heic(path: Path, name: Path) -> None:
    """Refuse HEIC, which FFmpeg opens as many streams with a part of the picture each."""
    with suppress(OSError), open_bytes(path) as file:
        head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS:
            raise InputError(f"{shown(name)}: is HEIC, which is not read. Save it as JPEG or PNG")


def _advice(path: Path) -> str:
    if _ADDRESS.search(path.as_posix()):
        return f"URLs of {', '.join(PROTOCOLS)} and file are opened, given as text; download others first"
    return "Check the name"


def _check_streams(container: InputContainer, path: Path) -> None:
    if len(container.streams) > MAX_STREAMS:
        raise InputError(
            f"{shown(path)}: has more than {MAX_STREAMS} streams. Copy those that you need to a new file"
        )


def _check_tags(container: InputContainer, path: Path) -> None:
    """Limit the number of tags: FFmpeg searches all tags for each one, so 20,000 of them take seconds each
    time.
    """
    count = sum(len(owner.metadata) for owner in (container, *container.streams))
    if count > MAX_TAGS:
        raise InputError(
            f"{shown(path)}: has {count} metadata tags, more than the limit of {MAX_TAGS}. "
            "Remux it without metadata (ffmpeg -map_metadata -1)"
        )


def _check_packing(container: InputContainer, path: Path, name: Path) -> None:
    """Refuse TIFF with a compression that FFmpeg decodes to noise without an error."""
    if container.format.name != "tiff_pipe" or is_pipe(path):
        return
    with open_bytes(path) as file:
        compression = compression_of(file)
    if compression not in READ_COMPRESSIONS:
        raise InputError(
            f"{shown(name)}: is TIFF with compression {compression}, which is not read (7 is JPEG). "
            "Save it as PNG"
        )


def _check_size(container: InputContainer, path: Path, max_pixels: int) -> None:
    for stream in container.streams.video:
        context = stream.codec_context
        pixels = context.width * context.height if context is not None else 0
        if context is not None and pixels > max_pixels:
            raise InputError(
                f"{shown(path)}: frames of {context.width}x{context.height} are larger than the limit of "
                f"{max_pixels} pixels. Give `max_pixels={pixels}` if you trust the file"
            )


def _why_not(path: Path, name: Path, error: Exception) -> str:
    """Return one line about a file that FFmpeg refused, from its first bytes; `name` is the user's."""
    if isinstance(error, MemoryError):  # also raised at the limit of streams
        return f"{shown(name)}: has more than {MAX_STREAMS} streams, or requests more memory than there is"
    if is_pipe(path):
        return f"standard input: its header is damaged ({getattr(error, 'strerror', None) or error})"
    if isinstance(error, PermissionError):
        return f"{shown(name)}: may not be read (permission denied). Change the file's mode"
    try:
        with open_bytes(path) as file:
            head = file.read(512)
    except OSError as failure:
        return f"{shown(name)}: cannot be read ({failure.strerror})"
    for beginning, what in _BEGINNINGS:
        if head.lstrip().lower().startswith(beginning.lower()):
            return f"{shown(name)}: is {what}"
    if is_animated_webp(path):  # FFmpeg 9 has a demuxer of its own for it
        return f"{shown(name)}: is {ANIMATED_WEBP}"
    if head[4:8] in _MOV_ATOMS:
        return (
            f"{shown(name)}: has no usable index (moov): it was cut off while it was recorded or copied. "
            "Copy it again, or repair it with a tool such as untrunc"
        )
    if _is_text(head):
        return f"{shown(name)}: is text, not a video format that vsr accepts. Give a video file"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{shown(name)}: is of no format that vsr accepts, or damaged ({reason}). Try to play it"


def is_animated_webp(path: str | Path) -> bool:
    """Return whether a file is an animated WebP, from the flag in its extended header (WebP Container
    Specification).
    """
    with open_bytes(path) as file:
        head = file.read(21)
    return head[8:16] == b"WEBPVP8X" and bool(head[20:] and head[20] & 2)


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut in half by the end of `head` is no proof
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char.isspace() for char in text)
