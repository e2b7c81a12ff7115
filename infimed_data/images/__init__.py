"""Images: everything that is known about one, from a single decode, and the resize that an output may ask for."""

from infimed_data.images.fitting import GreyCopy, fit, grey_copy, image_tokens, thumbnail
from infimed_data.images.measures import SQUARE, Look, Measures, finish, look, measure, square
from infimed_data.images.pixels import FORMATS, Canvas, blob_digest, is_deep

__all__ = [
    "FORMATS",
    "SQUARE",
    "Canvas",
    "GreyCopy",
    "Look",
    "Measures",
    "blob_digest",
    "finish",
    "fit",
    "grey_copy",
    "image_tokens",
    "is_deep",
    "look",
    "measure",
    "square",
    "thumbnail",
]
