import pytest

from gluon_fg.errors import UserError
from gluon_fg.evaluation.gains import ClassGain, Gains
from gluon_fg.visualization.figures import to_array
from gluon_fg.visualization.gains import MOST, gain_chart, shown


def found(values, videos=40):
    rows = [
        ClassGain(
            f'class {i}', None, videos + i % 2, 0, 0, 0.0, 0.0, g, g - 0.1, g + 0.1, 0, 0, 0.01, 0.01 if g > 0.2 else 1
        )
        for i, g in enumerate(values)
    ]
    return Gains(rows, [], True, [])


def test_which_classes_are_drawn():
    few = found([0.3, 0.1, 0.0, -0.1, -0.4])
    assert [r.gain for r in shown(few)] == [0.3, 0.1, 0.0, -0.1, -0.4]
    assert [r.gain for r in shown(few, 1)] == [0.3, -0.4]
    many = found([0.5 - i / 200 for i in range(201)])
    assert [r.name for r in shown(many)] == [f'class {i}' for i in [*range(20), *range(181, 201)]]
    assert len(shown(many)) == MOST


def test_bars_reach_as_far_as_the_gains():
    """Read off the picture: the bar of +60 points is twice as long as the one of -30, in the colors of their p."""
    image = to_array(gain_chart(found([0.6, -0.3]), ('base', 'better'))).astype(int)

    def width(color):
        at = abs(image - color).sum(axis=2) < 12
        return at.sum(axis=1).max()

    assert width((0x1B, 0x7F, 0x5C)) == pytest.approx(2 * width((0xE6, 0xA7, 0x9F)), rel=0.03)


def test_nothing_to_draw():
    with pytest.raises(UserError, match='no class gains or loses'):
        gain_chart(found([0.0] * 3), per_class=2)
    with pytest.raises(UserError, match='at least 1, got 0'):
        gain_chart(found([0.1]), per_class=0)
