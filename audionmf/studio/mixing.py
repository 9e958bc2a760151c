"""A remix: one file with the gains of the mixer, and the command line that makes the same bytes."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from audionmf.errors import ParameterError
from audionmf.io.audio import Samples
from audionmf.rendering.remixing import gain_from_db, mix, mix_blocks, resolve_gains
from audionmf.separation.one_file import write_one
from audionmf.spectra.frames import Progress
from audionmf.studio.deliver import FORMATS, Delivery, commands, grouped, track
from audionmf.studio.models import Model
from audionmf.studio.sources import Group
from audionmf.studio.ways import shell_options, written

__all__ = ["remix", "remix_commands"]

Gains = Mapping[str, float]
"""In decibels by the name of the source, minus infinity for one that is out; those that are not 0."""


def remix(
    model: Model,
    groups: tuple[Group, ...],
    gains: Gains,
    folder: Path,
    extension: str,
    progress: Progress,
) -> Delivery:
    """Write the recording with a gain for each source.

    Raises
    ------
    ParameterError
        If the format is not offered, or all is as it was.
    OutputError
        If it cannot be written.
    """
    if extension not in FORMATS:
        raise ParameterError(f"a remix is exported as {' or '.join(FORMATS)}")
    gains = _present(model, groups, gains)
    if not gains:
        raise ParameterError(
            "the remix would be the recording: move a fader or mute a source first"
        )
    linear = {name: gain_from_db(gain) for name, gain in gains.items()}
    audio, found = model.recording.audio, grouped(model, groups)
    joined = model.stems is not None and any(
        len(parts) > 1 for parts in _wanted(model, groups).values()
    )
    path = folder / f"{secrets.token_hex(8)}.{extension}"

    def blocks() -> Iterator[Samples]:
        if joined:
            return _joined_blocks(model, groups, linear)
        return mix_blocks(audio, found, linear, progress)

    write_one(blocks, path, audio, found, None)
    return Delivery(path, f"{track(model)}-remix.{extension}")


def _present(model: Model, groups: tuple[Group, ...], gains: Gains) -> Gains:
    """Return the gains of what there is: where all is in sources, none of the rest."""
    grouped_at_all = any(group.components for group in groups)
    names = _wanted(model, groups)
    return {n: gain for n, gain in gains.items() if n in names or not grouped_at_all}


def _wanted(model: Model, groups: tuple[Group, ...]) -> dict[str, tuple[int, ...]]:
    return model.members({g.name: g.components for g in groups})


def _joined_blocks(
    model: Model, groups: tuple[Group, ...], gains: Mapping[str, float]
) -> Iterator[Samples]:
    """Yield the remix of sources that are sums of stems, which no analysis gives as they are."""
    wanted = _wanted(model, groups)
    every = resolve_gains(list(wanted), gains)
    audio, start = model.recording.audio, 0
    blocks = model.stems.blocks(list(wanted.values())) if model.stems else ()
    for stems in blocks:
        end = start + stems.shape[2]
        yield mix(audio.samples[:, start:end], list(stems[:-1]), every)
        start = end


def remix_commands(
    model: Model, groups: tuple[Group, ...], gains: Gains, extension: str
) -> list[str]:
    """Return the command lines that make the same remix; none where no command line can.

    Parameters
    ----------
    model, groups, gains, extension
        As of `remix`.
    """
    gains = _present(model, groups, gains)
    if not gains:
        return []
    recording, asked = written(model.recording), shell_options(model.way)
    out = ["-o", f"{track(model)}-remix.{extension}"]
    if model.stems is not None:
        wanted = _wanted(model, groups)
        if asked is None or model.way.by_hand or any(len(parts) > 1 for parts in wanted.values()):
            return []
        found = {name: model.names[k] for name, (k,) in wanted.items()}
        levels = _options({found.get(name, name): gain for name, gain in gains.items()})
        return [shlex.join(["audionmf", "remix", recording, *asked, *levels, *out])]
    lines = commands(model, groups, extension)
    first, last = shlex.split(lines[0]), shlex.split(lines[-1])
    if last[1] == "separate":
        return [
            shlex.join(["audionmf", "remix", recording, *(asked or []), *_options(gains), *out])
        ]
    if last[1] == "regroup":
        named = [text for pair in _pairs(last, "--group") for text in pair]
        remixed = [
            "audionmf",
            "remix",
            recording,
            "--model",
            last[2],
            *named,
            *_options(gains),
            *out,
        ]
        return [*lines[:-1], shlex.join(remixed)]
    file = f"decomposed/{track(model)}/model.npz"
    remixed = ["audionmf", "remix", recording, "--model", file, *_options(gains), *out]
    return [shlex.join(first), shlex.join(remixed)]


def _pairs(words: list[str], option: str) -> list[list[str]]:
    return [words[i : i + 2] for i, word in enumerate(words) if word == option]


def _options(gains: Gains) -> list[str]:
    return [text for name, gain in gains.items() for text in ("--gain", f"{name}={gain:g}")]
