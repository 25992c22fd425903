"""Charts have their panels, names and colors; nothing is cut off however long the names are."""

import cv2
import numpy as np
import pytest
from films import texts

from gluon_fg.analysis.embedding import Embedding
from gluon_fg.analysis.similarity import ClassSimilarity, Similarity
from gluon_fg.analysis.similarity_accuracy import Point, Series
from gluon_fg.analysis.weight_similarity import WeightSimilarity
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.visualization import charts
from gluon_fg.visualization.confusion import confusion_chart
from gluon_fg.visualization.figures import to_array

CLASSES = ('a', 'b', 'c', 'd')
MATRIX = np.array([[1, 0.9, 0.5, 0.6], [0.9, 1, 0.7, 0.2], [0.5, 0.7, 1, 0.3], [0.6, 0.2, 0.3, 1]])
LONG = 'pretending to put something behind something, and then taking it away again'


def check_inside(figure):
    """All that is drawn lies on the figure, but for the margin that saving adds; returns the picture."""
    picture, drawn = to_array(figure), figure.get_tightbbox(figure.canvas.get_renderer())
    width, height = figure.get_size_inches()
    assert drawn.x0 > -0.1 and drawn.y0 > -0.1 and drawn.x1 < width + 0.1 and drawn.y1 < height + 0.1
    return picture


def test_relation_has_its_points_and_bars():
    points = [Point(name, x, 0.2 * i, 10) for i, (name, x) in enumerate(zip(CLASSES, (1, 0.7, 0.4, 0)))]
    series = [Series(title, points, 0.5, -1.0, -1.0, -1.0) for title in ('net', 'other')]
    figure = charts.relation_chart(series, 5)
    scatter, counts, means = figure.axes
    assert [list(line.get_xdata()) for line in scatter.lines] == [[1, 0.7, 0.4, 0]] * 2
    assert [bar.get_height() for bar in counts.patches] == [1, 0, 1, 1, 1] * 2
    assert [round(bar.get_height(), 9) for bar in means.patches][:5] == [0.6, 0, 0.4, 0.2, 0]
    assert check_inside(figure).std() > 10 and 'net: rho -1.00 (-1.00 to -1.00)' in texts(figure)
    with pytest.raises(UserError, match='bins must be at least 1, got 0'):
        charts.relation_chart(series, 0)


@pytest.mark.parametrize('classes', [CLASSES, (LONG, 'b $1', 'c', 'd')])
def test_similarities_on_one_scale(tmp_path, classes):
    kinds = tuple(Similarity(name, None, m) for name, m in (('universal', MATRIX), ('both', MATRIX**2)))
    figure = charts.similarity_chart(ClassSimilarity('net', 'videos', classes, None, kinds))
    images = [axis.images[0] for axis in figure.axes[:2]]
    np.testing.assert_allclose(images[0].get_array(), 1 - (1 - MATRIX) / 0.8)
    assert [image.get_clim() for image in images] == [(0, 1)] * 2
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert names == [charts.short_name(name) for name in classes] and all(len(n) <= 48 for n in names)
    check_inside(figure)
    charts.save_chart(figure, tmp_path / 'matrix.png')
    assert min(cv2.imread(str(tmp_path / 'matrix.png')).shape[:2]) > 300
    assert [p.name for p in tmp_path.iterdir()] == ['matrix.png']


def test_weights_in_the_order_of_names():
    confusing = np.zeros((4, 4), bool)
    one = WeightSimilarity('without', ('push', 'lift', 'move', 'drop'), MATRIX, confusing)
    figure = charts.weight_similarity_chart([one, one._replace(title='with', matrix=np.eye(4))])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ['drop', 'lift', 'move', 'push']
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array()[0], MATRIX[3][[3, 1, 2, 0]])
    picture = check_inside(figure)
    assert picture.shape[1] > 2 * picture.shape[0] and {'without', 'with'} <= set(texts(figure))
    with pytest.raises(UserError, match='without and b have other classes'):
        charts.weight_similarity_chart([one, one._replace(title='b', classes=('x',) * 4)])


def test_embeddings_side_by_side():
    labels = np.repeat([3, 7], 12)
    points = np.random.default_rng(0).normal(size=(24, 2)) + 20 * (labels == 7)[:, None]
    one = Embedding('before', points, labels, 1.0)
    figure = charts.embedding_chart([one, one._replace(title='after')], [(3, 'opens'), (7, LONG)])
    picture = check_inside(figure).astype(int)
    assert picture.shape[1] > 1.5 * picture.shape[0]
    for color in ((0xDE, 0xB3, 0x40), (0x90, 0x6F, 0xB8)):  # three quarters of it on white
        assert (abs(picture - color).sum(axis=2) < 12).sum() > 24 * 10
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_xydata(), points[labels == 3])
    assert any('nearest neighbors mostly of its class: 100 %' in text for text in texts(figure))
    check_inside(charts.embedding_chart([one], [(3, 'opens'), (7, LONG)]))


NAMES = ('disc: plus', 'arm opens', 'disc: cross', 'arm closes', 'disc: ring')
GROUPS = ('disc', 'arm', 'disc', 'arm', 'disc')
LABELS = (0, 0, 2, 2, 4, 1, 1, 3, -1)
BASELINE, BETTER = [2, 2, 2, 0, 1, 3, 1, 1, 0], [0, 2, 2, 2, 4, 1, 1, 1, 0]


def scores(predicted, model='net', ids=None, groups=GROUPS, classes=NAMES):
    p = np.full((len(predicted), 1, len(classes)), 0.1, np.float32)
    p[np.arange(len(predicted)), 0, predicted] = 0.6
    ids = tuple(ids or [f'{i}.mp4' for i in range(len(predicted))])
    return Scores(ids, np.array(LABELS, np.int64), p, ('comb',), classes, groups, 'train_time', {}, model, 'toy')


@pytest.mark.parametrize('groups', [None, ['arm']])
def test_confusion_of_two_models(groups):
    figure = confusion_chart(scores(BASELINE, 'base'), scores(BETTER, 'better'), groups=groups)
    picture = check_inside(figure)
    assert min(picture.shape[:2]) > 150 and len(np.unique(picture)) > 20
    drawn = [axis for axis in figure.axes if axis.images and axis.axison][: 2 if groups else 4]
    np.testing.assert_allclose(drawn[-2].images[0].get_array(), [[0.5, 0.5], [1, 0]])
    assert [t.get_text() for t in drawn[-2].get_yticklabels()] == ['opens', 'closes']
    assert 'arm: base\n33 % right' in texts(figure)


def test_confusion_of_one_model():
    figure = confusion_chart(scores(BASELINE, 'base', groups=None))
    (drawn,) = [axis for axis in figure.axes if axis.images and axis.axison]
    shares = np.zeros((5, 5))
    shares[0, 2], shares[2, 2], shares[2, 0], shares[4, 1] = 1, 0.5, 0.5, 1
    shares[1, 3], shares[1, 1], shares[3, 1] = 0.5, 0.5, 1
    np.testing.assert_allclose(drawn.images[0].get_array(), shares)
    assert [t.get_text() for t in drawn.get_yticklabels()] == list(NAMES)
    check_inside(figure)


def test_confusion_of_long_names_without_groups():
    names = (LONG, *NAMES[1:])
    figure = confusion_chart(*(scores(p, groups=None, classes=names) for p in (BASELINE, BETTER)))
    check_inside(figure)
    assert 'Rows: true class. Columns: predicted class.' in texts(figure)
    assert any(text.startswith('all classes: net') for text in texts(figure))


def test_confusions_that_cannot_be_compared():
    other = scores(BASELINE, ids=['other.mp4', *[f'{i}.mp4' for i in range(1, 9)]])
    with pytest.raises(UserError, match='not of the same videos'):
        confusion_chart(scores(BASELINE), other)
    with pytest.raises(UserError, match="unknown group 'am'; did you mean 'arm'"):
        confusion_chart(scores(BASELINE), scores(BETTER), groups=['am'])
