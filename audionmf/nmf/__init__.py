"""Non-negative matrix factorisation on plain arrays: V ≈ WH. It knows neither audio nor files."""

from audionmf.nmf.divergence import beta_divergence
from audionmf.nmf.initialize import initialize
from audionmf.nmf.solver import NMF, State, activate, fit

__all__ = ["NMF", "State", "activate", "beta_divergence", "fit", "initialize"]
