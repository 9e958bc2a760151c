"""What can go wrong, as a tree of exceptions, each with the exit code of the command line.

::

    AudioNMFError                                1
    ├── ParameterError (ValueError)              2   a bad option or argument
    ├── AudioReadError (OSError)                 3   a file that cannot be read as audio
    ├── InvalidAudioError (ValueError)           3   audio that is empty, not finite, …
    ├── ScoreError (ValueError)                  3   a MIDI file that cannot be used as a score
    ├── OutputError (OSError, with its errno)    4   an output that cannot be written
    ├── TemplateError (ValueError)               5   a template or model file refused
    │   └── TemplateMismatchError                5   made at another sample rate or STFT
    ├── LimitError                               6   over a limit of channels, length or memory
    ├── LockedError                              7   the output folder is in use
    ├── ClusterError                             1   a cluster that cannot be reached or used
    ├── MissingExtraError (ImportError)          1   an optional package is not installed
    └── StoppedError                           130   what progress was told to asked to stop

    AudioNMFWarning (UserWarning)                1   only with --strict
    └── AudioWarning                             3   only with --strict: the input is odd

A missing file stays `FileNotFoundError` (3), too little memory stays `MemoryError` (6), and an
interrupt stays `KeyboardInterrupt` (130).
"""

__all__ = [
    "AudioNMFError",
    "AudioNMFWarning",
    "AudioReadError",
    "AudioWarning",
    "ClusterError",
    "InvalidAudioError",
    "LimitError",
    "LockedError",
    "MissingExtraError",
    "OutputError",
    "ParameterError",
    "ScoreError",
    "StoppedError",
    "TemplateError",
    "TemplateMismatchError",
    "exit_code",
]

_EXIT_FILE_NOT_FOUND = 3
_EXIT_OVER_A_LIMIT = 6
_EXIT_INTERRUPTED = 130
_EXIT_READER_GONE = 141


class AudioNMFError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """Give the message alone: `OSError` would put the errno before it."""
        return str(self.args[-1]) if self.args else ""


class ParameterError(AudioNMFError, ValueError):
    """An option or argument has a value that makes no sense."""

    exit_code = 2


class AudioReadError(AudioNMFError, OSError):
    """A file exists but cannot be read as audio."""

    exit_code = 3


class InvalidAudioError(AudioNMFError, ValueError):
    """Audio that was read but cannot be worked on: empty, not finite, an absurd rate."""

    exit_code = 3


class ScoreError(AudioNMFError, ValueError):
    """A MIDI file cannot be read, or holds nothing that the recording could play."""

    exit_code = 3


class OutputError(AudioNMFError, OSError):
    """An output cannot be written, or would overwrite an input.

    Constructed as ``OutputError(errno, message)``, so that ``errno`` is set as in any `OSError`.
    """

    exit_code = 4


class TemplateError(AudioNMFError, ValueError):
    """A template or model file is not what it should be."""

    exit_code = 5


class TemplateMismatchError(TemplateError):
    """Templates were made at another sample rate or with another STFT than is asked for."""


class LimitError(AudioNMFError):
    """The input is over a limit of channels, length or memory."""

    exit_code = 6


class LockedError(AudioNMFError):
    """The output folder is in use by another run."""

    exit_code = 7


class ClusterError(AudioNMFError):
    """A cluster cannot be reached, has no workers left, or has not the same software."""


class MissingExtraError(AudioNMFError, ImportError):
    """A package from one of the optional extras is needed and not installed."""


class StoppedError(AudioNMFError):
    """The work was given up, because what was told of its progress returned True."""

    exit_code = _EXIT_INTERRUPTED


class AudioNMFWarning(UserWarning):
    """Something that the user should know but that does not stop the work."""

    exit_code = 1


class AudioWarning(AudioNMFWarning):
    """The input is unusual: silent, shorter than a window, and the like."""

    exit_code = 3


def exit_code(error: BaseException) -> int:
    """Return the exit code that stands for an exception.

    Parameters
    ----------
    error : BaseException
        Any exception, of this package or not.

    Returns
    -------
    int
        The code of the tree above; 1 for what is not in it.
    """
    if isinstance(error, AudioNMFError | AudioNMFWarning):
        return error.exit_code
    if isinstance(error, FileNotFoundError):
        return _EXIT_FILE_NOT_FOUND
    if isinstance(error, MemoryError):
        return _EXIT_OVER_A_LIMIT
    if isinstance(error, BrokenPipeError):
        return _EXIT_READER_GONE
    if isinstance(error, KeyboardInterrupt):
        return _EXIT_INTERRUPTED
    return 1
