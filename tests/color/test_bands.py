"""Bands cover an image once, begin at rows of chroma, and have a halo inside the image only."""

from __future__ import annotations

from itertools import product

import torch

from vsr.color.bands import DEVICE_SAMPLES, HOST_SAMPLES, band_rows, bands_of


def test_bands_cover_every_row_once_and_read_around_them():
    for height, rows, shift, halo in product((1, 2, 7, 40, 41), (1, 8, 100), (0, 1, 2), (0, 2, 4)):
        bands = list(bands_of(height, rows, shift=shift, halo=halo))
        small = -(-height >> shift)
        for name, count in (("luma", height), ("chroma", small)):
            covered = [i for band in bands for i in range(count)[getattr(band, name)]]
            assert covered == list(range(count))
        for band in bands:
            assert band.luma_read.start == band.chroma_read.start << shift
            assert band.luma_read.stop == min(height, band.chroma_read.stop << shift)
            assert band.chroma_read.start == max(0, band.chroma.start - halo)
            assert band.chroma_read.stop == min(small, band.chroma.stop + halo)


def test_the_kept_rows_of_the_rows_read_are_the_band():
    for band in bands_of(50, 8, shift=1, halo=2):
        assert torch.equal(torch.arange(50)[band.luma_read][band.luma_kept], torch.arange(50)[band.luma])
        assert list(range(25)[band.chroma_read][band.chroma_kept]) == list(range(25)[band.chroma])


def test_bands_are_small_on_the_cpu_and_whole_images_up_to_4k_on_other_devices():
    assert band_rows(torch.empty(1080, 1920)) == HOST_SAMPLES // 1920
    assert band_rows(torch.empty(2160, 3840, device="meta")) == 2160
    assert band_rows(torch.empty(4320, 7680, device="meta")) == DEVICE_SAMPLES // 7680
    assert band_rows(torch.empty(1, HOST_SAMPLES)) == 16
