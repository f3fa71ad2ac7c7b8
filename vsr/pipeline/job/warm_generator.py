"""Keeps a generator and worker processes between runs, so that a queue of files starts them once."""

from __future__ import annotations

from fractions import Fraction

from vsr.engine.upscaler import Upscaler
from vsr.models.load import LoadedModel, load_generator
from vsr.pipeline.crew.crew import Crew
from vsr.pipeline.crew.hosts import Host
from vsr.settings.schema import UpscaleSettings


class WarmGenerator:
    """Holds the generator of the last run, for further runs with the same settings; one run at a time."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._kept: tuple[LoadedModel, Upscaler] | None = None
        self._crew: Crew | None = None
        self._crew_key: tuple[str, tuple[str, ...]] | None = None

    def placed(
        self, name: str, scale: Fraction | None, settings: UpscaleSettings
    ) -> tuple[LoadedModel, Upscaler]:
        """Return the generator for a run on its device; the previous one is freed if the settings differ.

        Args:
            name: Name of a model, with `auto` resolved.
            scale: The requested scale.
            settings: Settings of the run; those in `_FIELDS` matter here.

        Raises:
            VsrError: as `load_generator` and `engine.upscaler.Upscaler` do.
        """
        key = (name, scale, *(getattr(settings, field) for field in _FIELDS))
        if self._kept is None or key != self._key:
            self._kept = None  # first, so that there are never two generators in memory
            self._kept, self._key = _placed(name, scale, settings), key
        self._kept[1].redone_smaller = 0
        return self._kept

    def crew(self, on: str, host: Host, devices: tuple[str, ...]) -> Crew:
        """The workers for a run; those of another place or of other devices are ended.

        Args:
            on: The setting that gave `host`.
            host: Where they run.
            devices: The device of each worker.
        """
        if self._crew is None or self._crew_key != (on, devices):
            self.close()
            self._crew, self._crew_key = host.crew(devices), (on, devices)
        return self._crew

    def close(self) -> None:
        """End the workers, if there are any; the generator stays."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()


_FIELDS = ("strength", "partner", "device", "precision", "backend", "tile", "batch")


def _placed(name: str, scale: Fraction | None, settings: UpscaleSettings) -> tuple[LoadedModel, Upscaler]:
    model = load_generator(name, scale=scale, strength=settings.strength, partner=settings.partner)
    upscaler = Upscaler(
        model.network,
        device_name=settings.device,
        precision=settings.precision,
        backend=settings.backend,
        tile=settings.tile,
        batch=settings.batch,
    )
    return model, upscaler


class KeptModel:
    """Keeps the network of one call of `vsr.upscale` on its device for the next, if the settings allow it.

    It serves one call at a time. With several devices, it keeps their workers, too.
    """

    def __init__(self) -> None:
        self._generator = WarmGenerator()

    def close(self) -> None:
        """End the workers, if there are any; the memory of the device is free with the last reference."""
        self._generator.close()


def generator_of(kept: KeptModel | None) -> WarmGenerator | None:
    """Return the generator that a `KeptModel` keeps."""
    return None if kept is None else kept._generator
