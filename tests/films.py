"""Reading back what was drawn: the frames of a film, the texts of a figure."""

import cv2
from matplotlib.text import Text


def read_film(path):
    """Frames (H, W, 3) RGB of a film, and its rate."""
    film, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = film.read()
        if not there:
            return frames, film.get(cv2.CAP_PROP_FPS)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def texts(figure):
    """All texts of a figure, in the order of drawing."""
    return [artist.get_text() for artist in figure.findobj(Text) if artist.get_text()]
