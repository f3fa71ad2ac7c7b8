"""Documents escape what they are given and load nothing."""

from __future__ import annotations

from vsr.web_page.document import document, facts, image_address, paragraph, table

HOSTILE = "</style><script>window.hacked = 1</script>&amp;"


def test_texts_are_escaped_everywhere() -> None:
    for text in (
        document("", title=HOSTILE).decode(),
        table((HOSTILE,), [(HOSTILE,)]),
        facts([(HOSTILE, HOSTILE)]),
        paragraph(HOSTILE, kind="note"),
    ):
        assert "<script>" not in text
        assert "&amp;amp;" in text


def test_a_page_may_load_nothing_and_refreshes_only_if_it_should() -> None:
    text = document("", title="a").decode()
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text
    assert 'http-equiv="refresh"' not in text
    assert '<meta http-equiv="refresh" content="20">' in document("", title="a", refresh_seconds=20).decode()


def test_names_that_are_no_utf_8_are_written_as_escapes() -> None:
    assert b"\\udcff" in document("", title="a\udcff.mkv")


def test_images_are_inside() -> None:
    assert image_address(b"\x00\x01", "image/webp") == "data:image/webp;base64,AAE="
