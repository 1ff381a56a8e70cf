"""The short film of an episode has its last pictures, each at its time."""
import io

import numpy as np
from PIL import Image

from mario_dqn.settings import EnvConfig
from mario_dqn.show.player import pictures_of, record, short_film


def test_every_picture_of_the_short_film_is_that_of_its_time():
    recording = record([1] * 40, EnvConfig(sticky=0.0), limit=40)
    originals = list(pictures_of(recording))[-60:]                                          # the last second
    film = Image.open(io.BytesIO(short_film(recording, seconds=1)))
    assert film.n_frames == 15
    for i in range(film.n_frames):
        film.seek(i)
        errors = [np.abs(np.asarray(film.convert('RGB')).astype(int) - original).mean() for original in originals]
        assert errors[4 * i] == min(errors) < 1
