"""`Settings`: every option of an analysis, once, with its default, its range and its help text.

The API, the command line and the files read the options from here. The module imports nothing
heavy, so that ``audionmf --help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from audionmf.errors import ParameterError

__all__ = ["CPU", "DEVICE_RULE", "PENALTIES", "QUALITIES", "Settings", "is_device"]

QUALITIES: dict[str, dict[str, int]] = {
    "fast": {"adapt_iter": 20, "exemplars": False},
    "balanced": {},
    "best": {"example_frames": 200, "pitch_shifts": 2},
}
"""What `quality` sets, for separations with templates or examples; "balanced" are the defaults."""

_REFERENCE_WINDOW_SECONDS = 4096 / 44100
_MAX_FFT = 1 << 20
_MOST_ITERATIONS, _MOST_FIXED = 100_000, 10_000
_MOST_FRAMES = 1 << 24
_LARGE = 1 << 4096
_MOST_DIGITS = 4
_MOST_SEED = (1 << 63) - 1


_SEPARATE, _DECOMPOSE, _LEARN, _STREAM = "separate", "decompose", "learn", "stream"
_ALL = (_SEPARATE, _DECOMPOSE, _LEARN)


DEVICE_RULE = "'cpu', 'cuda', 'cuda:0', 'cuda:1', …, or 'torch'"
"""What the names of devices are, for messages."""

CPU = "cpu"
"""The processor, by the machine code of this package."""


PENALTIES = ("sparsity", "continuity", "decorrelation", "group_sparsity")
"""The options that draw activations to a form."""


def is_device(name: object) -> bool:
    """Tell whether something is the name of a device: ``cpu``, ``cuda``, ``cuda:1``, ``torch``."""
    if not isinstance(name, str):
        return False
    kind, colon, number = name.partition(":")
    numbered = number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
    return name in ("cpu", "cuda", "torch") or (kind == "cuda" and bool(colon) and numbered)


def _option(
    default: Any,
    text: str,
    check: Callable[[Any], bool],
    rule: str,
    commands: tuple[str, ...] = _ALL,
) -> Any:
    """Return a field; `commands` names the commands that it means something to."""
    metadata = {"help": text, "check": check, "rule": rule, "commands": commands}
    return field(default=default, metadata=metadata)


def _whole(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda x: isinstance(x, int) and not isinstance(x, bool) and low <= x <= high


def _real(low: float, high: float) -> Callable[[Any], bool]:
    return lambda x: isinstance(x, int | float) and not isinstance(x, bool) and low <= x <= high


def _none_or(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda x: x is None or check(x)


def _shown(value: Any) -> str:
    """Return a value for a message; Python refuses to write out the largest whole numbers."""
    return "so large a number" if isinstance(value, int) and abs(value) >= _LARGE else repr(value)


@dataclass(frozen=True)
class Settings:
    """How a recording is analysed and rendered. Frozen; make variants with `dataclasses.replace`.

    Every field is checked when the object is made.

    Parameters
    ----------
    n_fft : int, optional
        Window length in samples, 2 to 1048576. ``None`` (default) takes the power of two nearest
        to 93 ms: 4096 at 44.1 kHz.
    hop_length : int, optional
        Samples between frames, 1 to `n_fft`. ``None`` (default): a quarter of the window.
    front_end : {"stft", "log"}, default "stft"
        Transform that everything is seen in. "stft": every bin has the same width. "log": bins are
        narrow and close at the bottom and hear faster at the top; `n_fft` is then the window of the
        lowest (default: the power of two nearest to 372 ms) and the hop 1/32 of it. For sources by
        templates and examples, blind with free components, ``learn`` and ``decompose``.
    window : str, default "hann"
        Name of a window of `scipy.signal.get_window`.
    n_components : int, optional
        Templates of each example (``None``, the default: `example_frames`, or 40 NMF components),
        components of a blind analysis (40 to be grouped, 16 to be looked at), or of what
        accompanies a lead (20).
    beta : float, default 1.0
        The β of the divergence, -2 to 4: 2 Euclidean, 1 Kullback–Leibler, 0 Itakura–Saito.
    max_iter : int, default 200
        Most iterations of the factorisation that learns templates, 1 to 100000.
    tol : float, default 1e-4
        Stop when ten iterations together lower the divergence by less than this share of it, 0 to
        1; 0 runs all iterations.
    activation_iter : int, default 40
        Iterations for activations with the templates fixed, 1 to 10000.
    mask_exponent : float, default 1.5
        Power of the models in the masks, 0.1 to 10. 1 shares the magnitude out in proportion, 2 is
        the Wiener filter of independent Gaussian sources; more makes the masks harder.
    mask : {"wiener", "soft", "binary"}, default "wiener"
        How models become shares of a bin: "wiener" in proportion to their powers, "soft" likewise,
        but a source with less than a tenth of the largest share gets nothing and the others that
        much less, "binary" the loudest source gets all.
    phase : {"mixture", "consistent"}, default "mixture"
        Phases of the stems: those of the mixture, or such that spectra of stems are those of a
        signal, found in five rounds; it takes longer and pays where the masks are nearly right.
    sparsity, continuity, decorrelation : float, default 0
        Where components are learnt: weights, 0 to 1000, that draw activations to be few (0.1 is
        little, 1 much), to change slowly (0.01 is little, 1 much), and components not to sound at
        the same time (0.001 is little, 0.01 much); see `nmf.Penalties`. Under beta 1.
    group_sparsity : float, default 0
        With templates or examples beside free components: a weight, 0 to 1000, that draws sources
        to be silent as a whole where they hardly sound (0.1 is little, 1 much). Under beta 1.
    model : {"auto", "frames", "patterns", "harmonic", "free"}, default "auto"
        With examples: "patterns" models each source by one pattern of several frames (for drums and
        other struck sounds, in recordings up to 3 minutes), "frames" by single frames; "auto" takes
        patterns where every example is one struck sound, repeated. Blind: "harmonic" has one
        component for each pitch and eight for what has none, "free" components without a form,
        "patterns" one pattern a source; "auto" takes patterns where hardly anything holds a pitch,
        free components where ``n_components`` or another ``beta`` is asked for, else harmonic ones.
    dictionary : {"frames", "nmf"}, default "frames"
        Where templates of an example come from: evenly spaced frames of it, or its factorisation.
    example_frames : int, optional
        Most frames of an example that become its templates, unless `n_components` asks for a number
        of them, 1 to 4096. ``None`` (default): 100 where single frames are used, 200 in a bank.
    pitch_shifts : int, default 1
        With templates: copies of them up to so many semitones lower and higher, for notes that an
        example lacks, 0 to 6.
    adapt_iter : int, default 50
        With templates: iterations in which an equaliser for each source is fitted to the mixture,
        0 to 10000; 0 takes templates as they are, without copies at other pitches.
    exemplars : bool, default True
        With templates or examples of two sources or more, and ``adapt_iter`` of 1 or more: frames
        are exemplars that know how the sound goes on, with copies at other pitches (none if
        ``pitch_shifts`` is 0), they may move to the mixture, and components of the mixture alone
        vote on the masks. False takes single frames with an equaliser, which is faster. Of a lead
        such components vote too; False leaves them out, for less than half of the processor time.
    spatial : bool, default True
        In stereo: tell sources apart by their place too.
    cues : str, default "place,timbre,pitch,course"
        Blind: what components are grouped by, names separated by commas: ``place`` in the stereo
        image, ``timbre`` and brightness, ``pitch``, ``course`` of the activation in time.
    restarts : int, default 1
        Blind: factorise from so many starts and keep the one that ends at the lowest divergence, 1
        to 100. The first start is the same each time, further ones vary with the seed.
    names : {"heard", "plain"}, default "heard"
        Blind: sources are named by what is heard of them, such as "kick" or "low sustained", and
        come from low to high; "plain" calls them source1, source2 and so on.
    max_frames : int, default 16384
        Templates are learnt from at most this many frames, spread evenly; 16 to 2²⁴.
    seed : int, default 0
        Seed of random starts, 0 to 2⁶³ - 1. The same seed gives the same result. Harmonic components
        and patterns start without chance; there it tells only further ``restarts`` apart.
    n_threads : int, optional
        Threads to compute with, 1 to 256; ``None`` (default): one for each core that this process
        may use. The result does not depend on it.
    device : str, default "cpu"
        Where factorisations, transforms and masks are computed: "cpu"; "cuda", or "cuda:1" and so
        on, a graphics card by PyTorch (the extra ``gpu``); "torch", PyTorch on the processor, to try
        it. Results are those of the processor but for rounding. A saved model is rendered by the
        processor. Models by scores, patterns and leads,
        and activations that are drawn to a form (``sparsity`` and so on), are computed by the
        processor.

    Raises
    ------
    ParameterError
        If a value is outside its range.
    """

    n_fft: int | None = _option(
        None,
        "window length in samples; default: the power of two nearest to 93 ms",
        _none_or(_whole(2, _MAX_FFT)),
        f"a whole number from 2 to {_MAX_FFT}",
    )
    hop_length: int | None = _option(
        None,
        "samples between frames; default: a quarter of the window",
        _none_or(_whole(1, _MAX_FFT)),
        "a whole number from 1 to n_fft",
    )
    front_end: str = _option(
        "stft",
        "transform: stft, or log, whose bins are narrow at the bottom and hear faster at the top",
        lambda x: x in ("stft", "log"),
        "'stft' or 'log'",
    )
    window: str = _option(
        "hann",
        "window function, by its name in SciPy",
        lambda x: isinstance(x, str) and bool(x),
        "the name of a window of scipy.signal.get_window",
    )
    n_components: int | None = _option(
        None,
        "templates of each example (default: 100 frames, or 40 if factorised), components of a blind "
        "analysis (default: 40 to be grouped, 16 to be looked at), or of what accompanies a lead (20)",
        _none_or(_whole(1, 4096)),
        "a whole number from 1 to 4096",
    )
    beta: float = _option(
        1.0,
        "beta of the divergence: 2 Euclidean, 1 Kullback-Leibler, 0 Itakura-Saito",
        _real(-2, 4),
        "a number from -2 to 4",
    )
    max_iter: int = _option(
        200,
        "most iterations when templates are learnt",
        _whole(1, _MOST_ITERATIONS),
        f"a whole number from 1 to {_MOST_ITERATIONS}",
    )
    tol: float = _option(
        1e-4,
        "stop when ten iterations lower the divergence by less than this share of it",
        _real(0, 1),
        "a number from 0 to 1",
    )
    activation_iter: int = _option(
        40,
        "iterations for activations when the templates are fixed",
        _whole(1, _MOST_FIXED),
        f"a whole number from 1 to {_MOST_FIXED}",
        (_SEPARATE, _DECOMPOSE, _STREAM),
    )
    mask_exponent: float = _option(
        1.5,
        "power of the models in the masks; more makes the masks harder",
        _real(0.1, 10),
        "a number from 0.1 to 10",
        (_SEPARATE, _DECOMPOSE, _STREAM),
    )
    mask: str = _option(
        "wiener",
        "how models become shares: wiener, soft (small shares become none) or binary (the loudest "
        "takes all)",
        lambda x: x in ("wiener", "soft", "binary"),
        "'wiener', 'soft' or 'binary'",
        (_SEPARATE, _DECOMPOSE, _STREAM),
    )
    phase: str = _option(
        "mixture",
        "phases of the stems: mixture, or consistent, which takes longer and pays where masks are "
        "nearly right",
        lambda x: x in ("mixture", "consistent"),
        "'mixture' or 'consistent'",
        (_SEPARATE, _DECOMPOSE),
    )
    sparsity: float = _option(
        0.0,
        "components that are learnt: draw activations to be few; 0.1 is little, 1 much",
        _real(0, 1000),
        "a number from 0 to 1000",
    )
    continuity: float = _option(
        0.0,
        "components that are learnt: draw activations to change slowly; 0.01 is little, 1 much",
        _real(0, 1000),
        "a number from 0 to 1000",
    )
    decorrelation: float = _option(
        0.0,
        "components that are learnt: draw them not to sound at the same time; 0.001 is little, 0.01 "
        "much",
        _real(0, 1000),
        "a number from 0 to 1000",
    )
    group_sparsity: float = _option(
        0.0,
        "free components beside templates: draw sources to be silent as a whole where they hardly "
        "sound; 0.1 is little, 1 much",
        _real(0, 1000),
        "a number from 0 to 1000",
        (_SEPARATE,),
    )
    model: str = _option(
        "auto",
        "with examples: frames, patterns (struck sounds) or auto; blind: harmonic (notes and noises), "
        "patterns, free or auto",
        lambda x: x in ("auto", "frames", "patterns", "harmonic", "free"),
        "'auto', 'frames', 'patterns', 'harmonic' or 'free'",
        (_SEPARATE,),
    )
    dictionary: str = _option(
        "frames",
        "where templates of an example come from: its frames, or its factorisation (nmf)",
        lambda x: x in ("frames", "nmf"),
        "'frames' or 'nmf'",
        (_SEPARATE, _LEARN),
    )
    example_frames: int | None = _option(
        None,
        "most frames of an example that become its templates (default: 100, in a bank 200)",
        _none_or(_whole(1, 4096)),
        "a whole number from 1 to 4096",
        (_SEPARATE, _LEARN),
    )
    pitch_shifts: int = _option(
        1,
        "with templates: copies of them up to N semitones away",
        _whole(0, 6),
        "a whole number from 0 to 6",
        (_SEPARATE,),
    )
    adapt_iter: int = _option(
        50,
        "with templates: iterations that fit an equaliser for each source; 0 for none",
        _whole(0, _MOST_FIXED),
        f"a whole number from 0 to {_MOST_FIXED}",
        (_SEPARATE,),
    )
    exemplars: bool = _option(
        True,
        "two sources or more by templates or examples: templates that know how the sound goes on and "
        "may move to the mixture, and components of the mixture that vote, as for a lead; takes longer",
        lambda x: isinstance(x, bool),
        "True or False",
        (_SEPARATE,),
    )
    spatial: bool = _option(
        True,
        "in stereo: tell sources apart by their place too",
        lambda x: isinstance(x, bool),
        "True or False",
        (_SEPARATE,),
    )
    cues: str = _option(
        "place,timbre,pitch,course",
        "blind: what components are grouped by, of place, timbre, pitch and course (in time)",
        lambda x: isinstance(x, str) and bool(x),
        "names of cues, separated by commas",
        (_SEPARATE,),
    )
    restarts: int = _option(
        1,
        "blind: factorise from N starts, keep the best by divergence",
        _whole(1, 100),
        "a whole number from 1 to 100",
        (_SEPARATE, _DECOMPOSE),
    )
    names: str = _option(
        "heard",
        "blind: name sources by what is heard of them, low ones first (heard), or source1, source2, "
        "and so on (plain)",
        lambda x: x in ("heard", "plain"),
        "'heard' or 'plain'",
        (_SEPARATE,),
    )
    max_frames: int = _option(
        16384,
        "most frames, evenly spread, that templates are learnt from",
        _whole(16, _MOST_FRAMES),
        f"a whole number from 16 to {_MOST_FRAMES}",
    )
    seed: int = _option(
        0,
        "seed of the random start",
        _whole(0, _MOST_SEED),
        f"a whole number from 0 to {_MOST_SEED}",
    )
    n_threads: int | None = _option(
        None,
        "threads; default: one a core. The result does not depend on it",
        _none_or(_whole(1, 256)),
        "a whole number from 1 to 256",
    )
    device: str = _option(
        CPU,
        "where to compute: cpu, or cuda (cuda:1, …), a graphics card by PyTorch",
        is_device,
        DEVICE_RULE,
    )

    def __repr__(self) -> str:
        """Name what is not as it is by default."""
        changed = [
            f"{option.name}={getattr(self, option.name)!r}"
            for option in dataclasses.fields(self)
            if getattr(self, option.name) != option.default
        ]
        return f"Settings({', '.join(changed)})"

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if not option.metadata["check"](value):
                raise ParameterError(
                    f"{option.name} must be {option.metadata['rule']}, not {_shown(value)}"
                )

        if self.front_end == "log" and self.phase == "consistent":
            raise ParameterError(
                "phases are made consistent with the front end 'stft' only: leave out one of them"
            )
        if self.front_end == "log" and self.window != "hann":
            raise ParameterError("the front end 'log' has filters of its own: leave out the window")

    @classmethod
    def from_options(cls, base: Settings | None = None, **options: Any) -> Settings:
        """Make settings from `base` (default: the defaults) with some options changed.

        Parameters
        ----------
        base : Settings, optional
            Where to start.
        **options
            Fields, and ``quality`` ("fast", "balanced" or "best"), which sets several of them
            unless they are given too.

        Raises
        ------
        ParameterError
            If an option does not exist or its value is outside its range.
        """
        known = {option.name for option in dataclasses.fields(cls)}
        quality = options.pop("quality", "balanced")
        if quality not in QUALITIES:
            raise ParameterError(f"quality must be one of {', '.join(QUALITIES)}, not {quality!r}")
        options = {**QUALITIES[quality], **options}
        for name in options:
            if name not in known:
                raise ParameterError(
                    f"there is no option {name!r}; the options are quality, {', '.join(sorted(known))}"
                )
        if base is not None and not isinstance(base, cls):
            raise ParameterError(
                f"settings are a Settings, such as Settings(n_fft=2048), not {type(base).__name__}; "
                "single options are given by their names"
            )
        return dataclasses.replace(base or cls(), **options)

    def to_arguments(self, command: str) -> list[str]:
        """Return the options of a command line for what is not at its default.

        Parameters
        ----------
        command : {"separate", "decompose", "learn", "stream"}
            The command; what means nothing to it is left out, and the number of threads, which
            changes nothing.
        """
        given: list[str] = []
        for option in dataclasses.fields(self):
            value, name = getattr(self, option.name), option.name.replace("_", "-")
            if value == option.default or command not in option.metadata["commands"]:
                continue
            if isinstance(value, bool):
                given.append(f"--{name}" if value else f"--no-{name}")
            elif option.name != "n_threads":
                given += [f"--{name}", str(value)]
        return given

    @property
    def penalised(self) -> bool:
        """Whether activations of components that are learnt are drawn to a form."""
        return any(getattr(self, name) for name in PENALTIES)

    def n_fft_at(self, sample_rate: float) -> int:
        """Return the window length in samples at a sample rate in Hz."""
        if self.n_fft is not None:
            return self.n_fft
        log = self.front_end == "log"
        seconds = _REFERENCE_WINDOW_SECONDS * (4 if log else 1)
        return max(32 if log else 16, 1 << round(math.log2(sample_rate * seconds)))

    def hop_length_at(self, sample_rate: float) -> int:
        """Return the hop in samples at a sample rate in Hz."""
        hops = 32 if self.front_end == "log" else 4
        return self.hop_length or max(1, self.n_fft_at(sample_rate) // hops)
