"""Pictures that a notebook shows by themselves, whichever backend of matplotlib it uses."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, final

from nnlab.api.page import image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class Picture:
    """One figure.

    Args:
        figure: drawn, and of no window.
    """

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure

    @cached_property
    def png(self) -> bytes:
        """The figure in pixels."""
        from nnlab.figure import png

        return png(self.figure)[0]

    def save(self, path: str | Path) -> None:
        """Write it into a file, as PNG or SVG by the file's ending.

        Raises:
            ValueError: for another ending.
        """
        from nnlab.durable import write_atomic
        from nnlab.figure import svg

        path = Path(path)
        if path.suffix not in (".png", ".svg"):
            raise ValueError(f"{path}: expected a name that ends in .png or .svg")
        write_atomic(path, self.png if path.suffix == ".png" else svg(self.figure))

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"Picture({width:g} × {height:g} inches)"


@final
class Pictures(Mapping[str, Picture]):
    """Figures by their names, drawn when somebody looks at one.

    Args:
        draw: draws all of them.
    """

    def __init__(self, draw: "Callable[[], Mapping[str, Figure]]") -> None:
        self._draw = draw

    @cached_property
    def _drawn(self) -> Mapping[str, Picture]:
        return {name: Picture(figure) for name, figure in self._draw().items()}

    def __getitem__(self, name: str) -> Picture:
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drawn)

    def __len__(self) -> int:
        return len(self._drawn)

    def __repr__(self) -> str:
        return f"Pictures({', '.join(self)})"

    def _repr_html_(self) -> str:
        return "".join(image(picture.png, name) for name, picture in self.items())
