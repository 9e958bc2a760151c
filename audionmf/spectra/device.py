"""Arrays on a graphics card: PyTorch's, where a device other than the processor is asked for.

PyTorch is the extra ``gpu``, in whichever build the card needs; it is loaded when a device is first
used. What is computed is what the processor computes, but for rounding: products are done in full
single precision, never in the shorter formats that cards have for them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import LimitError, MissingExtraError, ParameterError
from audionmf.settings import CPU, DEVICE_RULE, is_device
from audionmf.spectra.masks import source_masks
from audionmf.spectra.stft import STFT, Samples, Transform

__all__ = ["exact_products", "masks_on", "models_on", "stft_on", "torch_device"]

_CARD_FRAMES = 2048


def torch_device(name: str) -> Any:
    """Return PyTorch's device for a name.

    Parameters
    ----------
    name : str
        ``cuda``, ``cuda:1``, …: a card of NVIDIA, or of AMD under a ROCm build. ``torch``: PyTorch on
        the processor, which is slower than the machine code of this package and there to try it.

    Returns
    -------
    torch.device
        One that can be used.

    Raises
    ------
    ParameterError
        If there is no such device.
    MissingExtraError
        If PyTorch is not installed.
    """
    if not is_device(name) or name == CPU:
        raise ParameterError(f"device must be {DEVICE_RULE}, not {name!r}")
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"the device {name!r} needs PyTorch, which is not installed: pip install 'audionmf[gpu]', "
            "or PyTorch's own build for your card; or leave device at 'cpu'"
        ) from error
    if name == "torch":
        return torch.device("cpu")
    _, _, number = name.partition(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        found = f"it finds {count}" if count else "it finds no graphics card"
        raise ParameterError(
            f"PyTorch {torch.__version__} cannot use the device {name!r}, {found}; take another, or "
            "leave device at 'cpu'"
        )
    return torch.device(name)


_lock = threading.Lock()
_inside: list[str] = []  # what was set before, once for each that is within `exact_products`


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Have PyTorch multiply in full single precision, whatever was set; the last one puts it back."""
    import torch

    with _lock:
        _inside.append(_inside[0] if _inside else torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise LimitError(
            "the graphics card has too little memory for this; take fewer frames or components, or "
            "leave device at 'cpu'"
        ) from error
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class _CardSTFT(STFT):
    """An STFT whose transforms a device computes; arrays go there and come back."""

    device: str = "torch"
    least_frames: ClassVar[int] = _CARD_FRAMES

    def synthesise(
        self, transform: Transform, n_threads: int = 1, mask: NDArray[np.float32] | None = None
    ) -> Samples:
        """Do what `STFT.synthesise` does."""
        import torch

        transform = transform if mask is None else transform * mask
        place = torch_device(self.device)
        spectra = _sent(np.swapaxes(transform, -1, -2), place)
        window = _sent(self._window(), place)
        frames = torch.fft.irfft(spectra, self.n_fft, dim=-1) * window
        *others, n_frames, n_fft = frames.shape
        length = (n_frames - 1) * self.hop_length + n_fft
        total = torch.nn.functional.fold(
            frames.reshape(-1, n_frames, n_fft).swapaxes(1, 2),
            (1, length), (1, n_fft), stride=(1, self.hop_length),
        )  # fmt: skip
        samples: Samples = total.reshape(*others, length).cpu().numpy()
        return samples

    def _frames(
        self, samples: Samples, count: int, window: Samples, n_threads: int, step: int = 1
    ) -> Transform:
        import torch

        place = torch_device(self.device)
        hop = self.hop_length * step
        length = (count - 1) * hop + self.n_fft
        framed = _sent(samples[:, :length], place).unfold(-1, self.n_fft, hop)
        transform: Transform = torch.fft.rfft(framed * _sent(window, place), dim=-1).cpu().numpy()
        return np.swapaxes(transform, -1, -2)


def stft_on(stft: STFT, device: str) -> STFT:
    """Return a transform that a device computes; for ``cpu`` the same one."""
    if device == CPU:
        return stft
    torch_device(device)
    return _CardSTFT(stft.n_fft, stft.hop_length, stft.window, device)


def models_on(
    W: NDArray[np.float32], H: NDArray[np.float32], groups: list[list[int]], device: str
) -> NDArray[np.float32]:
    """Return the product W H of each group of components, (n_groups, n_bins, n_frames).

    Parameters
    ----------
    W : ndarray, shape (n_bins, n_components)
        Templates.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    groups : list of list of int
        The components of each group.
    device : str
        As in `torch_device`, not ``cpu``.
    """
    place = torch_device(device)
    with exact_products():
        rows, frames = _sent(W.T, place), _sent(H.T, place)
        found = [(frames[:, group] @ rows[group]).cpu().numpy() for group in groups]
    return np.stack(found).swapaxes(1, 2)


def masks_on(
    models: NDArray[np.float32], exponent: float, kind: str, device: str
) -> NDArray[np.float32]:
    """Return what `masks.source_masks` returns; a device computes the masks of kind "wiener"."""
    if device == CPU or kind != "wiener":
        masks: NDArray[np.float32] = source_masks(models, exponent, kind).astype(
            np.float32, copy=False
        )
        return masks
    source_masks(models[:, :0], exponent, kind)  # what it refuses
    import torch

    # Bins stay neighbours there and back.
    levels = _sent(np.swapaxes(models, 1, 2), torch_device(device))
    loudest = levels.amax(dim=0)
    powers = (levels / torch.where(loudest > 0, loudest, torch.ones_like(loudest))) ** exponent
    powers = torch.where(loudest > 0, powers, torch.ones_like(powers))
    shares = powers / powers.sum(dim=0)
    return np.swapaxes(shares.cpu().numpy(), 1, 2)


def _sent(array: NDArray[Any], place: Any) -> Any:
    """Return a copy of an array on a device; PyTorch takes no read-only arrays as they are."""
    import torch

    return torch.tensor(np.ascontiguousarray(array), device=place)
