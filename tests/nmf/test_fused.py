"""The kernels for graphics cards do what PyTorch's operations do, or are not used.

Here they are interpreted; where there is a card, the tests of devices run them there.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from audionmf.nmf import card

torch = pytest.importorskip("torch", reason="PyTorch is not installed; .ci/run brings it")
MISSING = importlib.util.find_spec("triton") is None


@pytest.fixture(scope="module")
def found():
    run = subprocess.run(
        [sys.executable, Path(__file__).with_name("interpreted.py")],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.skipif(MISSING, reason="Triton is not installed; .ci/run brings it")
def test_the_kernels_do_what_the_operations_do(found):
    assert found["iterations"] < 2e-5
    assert found["activations"] < 2e-4
    assert found["double"] < 1e-6
    assert found["fixed"]


@pytest.mark.skipif(MISSING, reason="Triton is not installed; .ci/run brings it")
def test_kernels_are_used_only_where_they_run_and_are_right(found):
    assert found["usable"]
    assert not found["wrong"]
    assert not found["no compiler"]
    assert not found["compiler fails"]
    assert not found["too many"]


def test_the_processor_and_builds_without_triton_have_none(monkeypatch):
    assert card.fused_on(torch.device("cpu"), 3) is None
    monkeypatch.delitem(sys.modules, "audionmf.nmf.fused", raising=False)
    monkeypatch.delattr("audionmf.nmf.fused", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert card.fused_on(torch.device("cuda"), 3) is None
