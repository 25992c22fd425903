"""A network whose responses are known, and videos with a light in them."""

from lights import flash, light  # noqa: F401  (fixtures)
