"""Films: as many pictures as moments, each the one that the map alone would be, and all in the same frame."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nnlab.figure import decision_film, decision_map, png, value_film, value_map

GRID = np.linspace(-1.0, 1.0, 40)
X, Y = np.meshgrid(GRID, GRID)
POINTS = np.random.default_rng(0).uniform(-1, 1, (60, 2))
SUM = POINTS.sum(axis=1)
INPUTS = ["x1 (m)", "x2 (m)"]
#: of the film's pictures, as of Figure.dpi
DPI = 76
HALF = X + Y > 0


def turned(num: int) -> np.ndarray:
    """Planes that turn and grow, shape [M, 40, 40]."""
    angles = np.linspace(0, 2, num)
    return np.stack([(0.2 + angle) * (np.cos(angle) * X + np.sin(angle) * Y) for angle in angles])


def decisions(num: int = 5, class_names: tuple[str, ...] = ("a", "b"), title: str = "run: epoch {}") -> bytes:
    planes = turned(num)
    splits = {"train": (POINTS, (SUM > 0).astype(int)), "test": (POINTS + 0.05, (SUM > 0).astype(int))}
    titles = [title.format(index) for index in range(num)]
    codes, confidence = (planes > 0).astype(np.int16), 1 / (1 + np.exp(-3 * abs(planes)))
    return decision_film(GRID, GRID, codes, confidence, splits, class_names, INPUTS, titles)


def decision_still(index: int, num: int = 5) -> Figure:
    plane = turned(num)[index]
    splits = {"train": (POINTS, (SUM > 0).astype(int)), "test": (POINTS + 0.05, (SUM > 0).astype(int))}
    confidence = 1 / (1 + np.exp(-3 * abs(plane)))
    return decision_map(
        GRID, GRID, (plane > 0).astype(int), confidence, splits, ["a", "b"], INPUTS, f"run: epoch {index}"
    )


def values(num: int = 5, title: str = "run: epoch {}") -> bytes:
    titles = [title.format(index) for index in range(num)]
    return value_film(GRID, GRID, turned(num), {"train": (POINTS, SUM)}, "z (kg)", INPUTS, titles)


def value_still(index: int, num: int = 5) -> Figure:
    splits = {"train": (POINTS, SUM)}
    return value_map(GRID, GRID, turned(num)[index], splits, "z (kg)", INPUTS, f"run: epoch {index}")


def pictures(gif: bytes) -> list[np.ndarray]:
    """Every picture in red, green and blue, shape [height, width, 3]."""
    with Image.open(io.BytesIO(gif)) as film:
        shown = []
        for index in range(film.n_frames):
            film.seek(index)
            shown.append(np.asarray(film.convert("RGB")).astype(int))
    return shown


FILMS = {"decisions": (decisions, decision_still), "values": (values, value_still)}


@pytest.mark.parametrize(("film", "still"), FILMS.values(), ids=FILMS)
def test_film_any_picture_is_the_map_alone_but_for_the_number_of_colours(film, still):
    """But for the bar beside the values, which is open where any of the pictures goes beyond it."""
    shown = pictures(film())
    assert len(shown) == 5
    for index in (0, 2, 4):
        alone = np.asarray(Image.open(io.BytesIO(png(still(index), DPI)[0])).convert("RGB")).astype(int)
        assert shown[index].shape == alone.shape
        width = alone.shape[1]
        map_and_heading = np.s_[:, : int(width * 0.63)]
        off = abs(shown[index] - alone)[map_and_heading].max(axis=2)
        assert off.mean() < 4
        assert off.max() < 110


@pytest.mark.parametrize("film", [decisions, values])
def test_film_pictures_differ_in_the_heading_and_the_map_alone(film):
    shown = pictures(film())
    changed = np.any([(picture != shown[0]).any(axis=2) for picture in shown[1:]], axis=0)
    height, width = changed.shape
    rows, columns = np.nonzero(changed)
    heading = rows < 0.07 * height
    assert heading.any()
    assert not heading.all()
    assert columns[~heading].min() > 0.08 * width
    assert columns[~heading].max() < 0.64 * width
    assert rows[~heading].min() > 0.12 * height


@pytest.mark.parametrize("film", [decisions, values])
def test_film_page_is_white(film):
    for picture in pictures(film()):
        assert picture[[2, 2, -3, -3], [2, -3, 2, -3]].min() == 255


def test_film_equal_arrays_give_equal_bytes():
    assert decisions() == decisions()
    assert values() == values()


@pytest.mark.parametrize(("num", "each"), [(1, None), (2, 500), (30, 200), (41, 140), (60, 100), (70, 100)])
def test_film_lasts_about_six_seconds_and_shows_its_last_picture_for_two(num, each):
    with Image.open(io.BytesIO(decisions(num))) as film:
        assert (film.n_frames, film.info.get("loop", 0)) == (num, 0)
        durations = []
        for index in range(num):
            film.seek(index)
            durations.append(film.info["duration"] if num > 1 else 2000)
    assert durations == [*[each] * (num - 1), 2000]


def test_film_of_sixty_pictures_with_many_points_stays_below_three_megabytes():
    generator = np.random.default_rng(1)
    grid = np.linspace(-1, 1, 100)
    first, second = np.meshgrid(grid, grid)
    times = np.linspace(0.1, 3, 60)[:, None, None]
    planes = times * np.sin(3 * first + times) * np.cos(2 * second)
    points = generator.uniform(-1, 1, (2000, 2))
    splits = {"train": (points, np.sin(3 * points[:, 0]))}
    content = value_film(grid, grid, planes, splits, "z", INPUTS, [f"run: epoch {index}" for index in range(60)])
    assert len(content) < 3_000_000


def test_film_equal_pictures_are_pictures_all_the_same():
    """A viewer shows nothing new, but the film is as long as it says."""
    codes, confidence = np.stack([HALF] * 4).astype(int), np.full((4, 40, 40), 0.75)
    content = decision_film(GRID, GRID, codes, confidence, {}, ["a", "b"], INPUTS, [f"epoch {i}" for i in range(4)])
    assert len(pictures(content)) == 4


def test_film_values_that_are_no_numbers_are_drawn():
    planes = np.ones((4, 40, 40), dtype=np.float32)
    planes[1], planes[2], planes[3, 5] = np.nan, np.inf, -np.inf
    corners = {"train": (np.array([[-0.9, -0.9], [0.9, 0.9]]), np.array([-1.0, 1.0]))}
    shown = pictures(value_film(GRID, GRID, planes, corners, "z", INPUTS, list("abcd")))
    assert len(shown) == 4
    assert shown[0][200, 200].min() < 200
    assert shown[1][200, 200].min() == 255  # nothing of the picture before shows through


def test_film_awkward_names_are_shown_literally():
    name = "_cost_$a$ \\frac 中"
    assert len(pictures(decisions(2, (name, "b"), title=f"{name} {{}}"))) == 2
    assert len(pictures(values(2, title=f"{name} {{}}"))) == 2


def test_film_of_nothing_is_refused_in_its_own_words():
    none = np.empty((0, 40, 40))
    with pytest.raises(ValueError, match="film: expected at least one picture, found none"):
        decision_film(GRID, GRID, none, none, {}, ["a"], INPUTS, [])
    with pytest.raises(ValueError, match="film: expected at least one picture, found none"):
        value_film(GRID, GRID, none, {}, "z", INPUTS, [])
