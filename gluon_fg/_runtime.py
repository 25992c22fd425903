"""Import order (filled in by set-up)."""
import mxnet  # noqa: F401
import decord  # noqa: F401, I001
