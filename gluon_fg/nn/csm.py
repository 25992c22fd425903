"""Names that analysis still imports from here."""

from .class_similarity import ChannelActivity, Pair, distance, similarity  # noqa: F401
from .class_similarity import related_pairs as confusing_pairs  # noqa: F401
