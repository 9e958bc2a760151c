"""How good stems are: measures on arrays, and folders of stems.

A file imports only from those that are named before it:

- `measures`: SI-SDR and the measures of BSS Eval
- `folders`: reports on folders of stems
"""

from audionmf.evaluate.folders import Report, evaluate_folders
from audionmf.evaluate.measures import (
    BssEval,
    Scores,
    best_match,
    bss_eval,
    residual,
    scores,
    si_sdr,
)

__all__ = [
    "BssEval",
    "Report",
    "Scores",
    "best_match",
    "bss_eval",
    "evaluate_folders",
    "residual",
    "scores",
    "si_sdr",
]
