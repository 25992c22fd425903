"""Networks in the form they are used in, not trained in: `Predictor`, fused graphs, other runtimes, ONNX."""

from typing import Any

__all__ = ['Predictor']


def __getattr__(name: str) -> Any:
    """Load `Predictor` when it is asked for: a command's options need no MXNet."""
    if name == 'Predictor':
        from .predictor import Predictor

        return Predictor
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
