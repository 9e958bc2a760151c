"""`KLNMF`: `fit` and `activate` as an estimator of scikit-learn.

scikit-learn puts a sample, here a frame, into a row: X (n_samples, n_features) is V transposed,
``components_`` are the templates transposed, and what `KLNMF.transform` returns are the activations
transposed: ``X ≈ transform(X) @ components_``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from audionmf.errors import ParameterError
from audionmf.nmf.activating import activate
from audionmf.nmf.minibatch import BatchLearner
from audionmf.nmf.solver import fit

__all__ = ["KLNMF"]

Matrix = NDArray[np.floating[Any]]

_DTYPES = (np.float64, np.float32)


def _learns_in_batches(estimator: KLNMF) -> bool:
    """Allow `partial_fit`, which is for β = 1, or say why it is not there."""
    if estimator.beta != 1:
        raise AttributeError(f"KLNMF has partial_fit for beta 1 only, not {estimator.beta!r}")
    return True


class KLNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Factorise ``X ≈ activations @ components_`` under the Kullback–Leibler or another β-divergence.

    It takes the place of ``sklearn.decomposition.NMF(solver="mu")``. `fit` is `audionmf.nmf.fit` of
    X transposed and `transform` is `audionmf.nmf.activate`: they do not depend on the number of
    threads, and a row's activations do not depend on the other rows. X is dense.

    Parameters
    ----------
    n_components : int, default 16
        Components, 1 or more.
    beta : float, default 1.0
        2 Euclidean, 1 Kullback–Leibler, 0 Itakura–Saito, and any other real number.
    max_iter : int, default 200
        Most iterations of `fit`.
    tol : float, default 1e-4
        Stop when ten iterations together lower the divergence by less than this share of it, from 0
        to 1.
    method : {"accelerated", "plain"}, default "accelerated"
        As in `audionmf.nmf.fit`.
    init : {"random", "nndsvd", "nndsvda"}, default "random"
        The start; see `audionmf.nmf.initialize`.
    random_state : int, RandomState, Generator or None, default 0
        For the random start. None takes NumPy's global random state.
    n_threads : int, optional
        Threads, 1 or more; default: one for each core that this process may use.

    Attributes
    ----------
    components_ : ndarray, shape (n_components, n_features)
        Templates, rows sum to 1.
    n_components_ : int
        Their number.
    n_iter_ : int
        Iterations done; after `partial_fit`, batches learnt since the last `fit`.
    reconstruction_err_ : float
        √(2 · divergence) of X at the end of `fit`, as in scikit-learn; after `partial_fit`, of the
        last batch.
    n_features_in_ : int
        Features, that is bins.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the features, where X has names for them all.

    Examples
    --------
    >>> import numpy as np
    >>> from audionmf.nmf import KLNMF
    >>> X = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 0.0, 4.0]])
    >>> model = KLNMF(n_components=2).fit(X)
    >>> model.components_.shape, model.transform(X).shape
    ((2, 3), (3, 2))
    """

    def __init__(
        self,
        n_components: int = 16,
        *,
        beta: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        method: str = "accelerated",
        init: str = "random",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.beta = beta
        self.max_iter = max_iter
        self.tol = tol
        self.method = method
        self.init = init
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: ArrayLike, y: object = None) -> KLNMF:
        """Learn the components of X.

        Parameters
        ----------
        X : array, shape (n_samples, n_features)
            Data, finite and ≥ 0. float32 and float64 are kept. Not modified.
        y : ignored
            For scikit-learn's conventions.

        Returns
        -------
        KLNMF
            Itself.

        Raises
        ------
        ValueError
            If X has negative or non-finite values or is no matrix, or (`ParameterError`) a
            parameter is out of its range.
        """
        data = self._validate(X, reset=True)
        model = fit(
            data.T,
            self.n_components,
            beta=self.beta,
            max_iter=self.max_iter,
            tol=self.tol,
            method=self.method,
            init=self.init,
            seed=self._seed(),
            n_threads=self.n_threads,
        )
        self._learner = self._new_learner()
        self._learner.resume(model, len(data))
        self._set(model.templates, model.n_iter, float(model.divergence[-1]))
        return self

    @available_if(_learns_in_batches)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: ArrayLike, y: object = None) -> KLNMF:
        """Learn the components from one more batch, as `audionmf.nmf.fit_stream` does.

        What was learnt before, by `fit` too, fades as more comes. For ``beta=1``; `max_iter`, `tol`
        and `method` are not used.

        Parameters
        ----------
        X : array, shape (n_samples, n_features)
            The batch, finite and ≥ 0; longer ones, of 200 samples or more, do better.
        y : ignored
            For scikit-learn's conventions.

        Returns
        -------
        KLNMF
            Itself.

        Raises
        ------
        ValueError
            As in `fit`, and if the number of features is not that of the first batch.
        AttributeError
            If `beta` is not 1.
        """
        learner = getattr(self, "_learner", None)
        data = self._validate(X, reset=learner is None)
        if learner is None:
            learner = self._learner = self._new_learner()
        divergence = learner.learn(learner.check(data.T, "X"))
        self._n_batches += 1
        self._set(learner.templates, self._n_batches, divergence)
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """Return the activations of the components in X.

        Parameters
        ----------
        X : array, shape (n_samples, n_features)
            Data, finite and ≥ 0.

        Returns
        -------
        ndarray, shape (n_samples, n_components)
            Activations, in the dtype of X where that is a floating one.

        Raises
        ------
        ValueError
            As in `fit`, and if the number of features is not that of the components.
        """
        check_is_fitted(self)
        data = self._validate(X, reset=False)
        templates = self.components_.T
        return activate(data.T, templates, beta=self.beta, n_threads=self.n_threads).T

    def inverse_transform(self, X: ArrayLike) -> Matrix:
        """Return the model of the data: ``activations @ components_``.

        Parameters
        ----------
        X : array, shape (n_samples, n_components)
            Activations.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
            The model.
        """
        check_is_fitted(self)
        activations: Matrix = check_array(X, dtype=_DTYPES)
        if activations.shape[1] != self.n_components_:
            raise ParameterError(
                f"X has {activations.shape[1]} components, the model {self.n_components_}"
            )
        model: Matrix = activations @ self.components_
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _validate(self, X: ArrayLike, *, reset: bool) -> Matrix:
        data: Matrix = validate_data(
            self, X, reset=reset, dtype=_DTYPES, ensure_non_negative=True, accept_sparse=False
        )
        return data

    def _seed(self) -> int | np.random.Generator:
        if isinstance(self.random_state, int | np.integer | np.random.Generator):
            return self.random_state  # as `audionmf.nmf.fit` would take it
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _new_learner(self) -> BatchLearner:
        self._n_batches = 0
        return BatchLearner(
            self.n_components, init=self.init, seed=self._seed(), n_threads=self.n_threads
        )

    def _set(self, templates: Matrix, n_iter: int, divergence: float) -> None:
        self.components_ = np.ascontiguousarray(templates.T)
        self.n_components_ = len(self.components_)
        self.n_iter_ = n_iter
        self.reconstruction_err_ = float(np.sqrt(2 * max(0.0, divergence)))
