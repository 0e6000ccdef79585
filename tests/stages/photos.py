"""Photos with a sentence that is true of them, for tests of the image-text model."""

import io

from PIL import Image

CAT, COFFEE = "A young brown cat with green eyes.", "A red cup of coffee on a table."


def photo(name: str) -> Image.Image:
    """One of the photos of scikit-image: astronaut, chelsea (a cat), coffee."""
    from skimage import data

    return Image.fromarray(getattr(data, name)()).convert("RGB")


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
