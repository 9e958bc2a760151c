"""The error tree: each failure has its exit code and its builtin ancestor."""

import errno

import pytest

from audionmf import errors

CODES = {
    errors.AudioNMFError: 1,
    errors.ParameterError: 2,
    errors.AudioReadError: 3,
    errors.InvalidAudioError: 3,
    errors.ScoreError: 3,
    errors.StoppedError: 130,
    errors.OutputError: 4,
    errors.TemplateError: 5,
    errors.TemplateMismatchError: 5,
    errors.LimitError: 6,
    errors.LockedError: 7,
    errors.ClusterError: 1,
    errors.MissingExtraError: 1,
    errors.AudioNMFWarning: 1,
    errors.AudioWarning: 3,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_every_exception_has_its_exit_code(kind, code):
    assert errors.exit_code(kind("text")) == code


def test_every_public_exception_is_in_the_table():
    public = {getattr(errors, name) for name in errors.__all__ if name != "exit_code"}
    assert public == set(CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(), 3),
        (BrokenPipeError(), 141),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
        (PermissionError(), 1),
    ],
)
def test_builtin_exceptions_have_an_exit_code(error, code):
    assert errors.exit_code(error) == code


@pytest.mark.parametrize(
    ("kind", "ancestor"),
    [
        (errors.ParameterError, ValueError),
        (errors.InvalidAudioError, ValueError),
        (errors.ScoreError, ValueError),
        (errors.TemplateError, ValueError),
        (errors.AudioReadError, OSError),
        (errors.OutputError, OSError),
        (errors.MissingExtraError, ImportError),
        (errors.AudioWarning, UserWarning),
    ],
)
def test_errors_can_be_caught_by_their_builtin_kind(kind, ancestor):
    assert issubclass(kind, ancestor)


def test_every_error_can_be_caught_as_one():
    kinds = [k for k in CODES if not issubclass(k, Warning)]
    assert all(issubclass(kind, errors.AudioNMFError) for kind in kinds)


def test_an_output_error_carries_its_errno_and_prints_without_it():
    error = errors.OutputError(errno.ENOSPC, "'a.wav' could not be written")
    assert error.errno == errno.ENOSPC
    assert str(error) == "'a.wav' could not be written"


def test_an_error_without_a_message_prints_as_nothing():
    assert str(errors.AudioNMFError()) == ""
