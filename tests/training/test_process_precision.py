import mxnet as mx
import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import precision


def test_a_process_keeps_its_precision(monkeypatch):
    """AMP cannot be undone: a second training would go on in the first one's type, in float16 without loss scaling."""
    started = []
    monkeypatch.setattr(precision.amp, 'init', lambda target_dtype: started.append(target_dtype))
    monkeypatch.setattr(precision, 'computes_bfloat16', lambda: True)
    monkeypatch.setattr(precision, '_enabled', [])
    for name in ('float32', 'bfloat16', 'bfloat16'):
        precision.enable(name, mx.cpu())
    assert started == ['bfloat16']
    with pytest.raises(UserError, match='float32: this process has trained in bfloat16') as caught:
        precision.enable('float32', mx.cpu())
    assert '\n' not in str(caught.value)
