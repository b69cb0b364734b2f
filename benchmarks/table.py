"""Tables of medians and ratios, printed row by row as markdown."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Aim:
    """At most `limit` times the column `of`; without `of`, at most `limit` in the unit of the table."""

    limit: float
    of: str = ""
    strict: bool = False

    def text(self, unit: str) -> str:
        return f"{'<' if self.strict else '≤'} {self.limit:g}{'x ' + self.of if self.of else ' ' + unit}"

    def is_met(self, value: float) -> bool:
        return value < self.limit if self.strict else value <= self.limit


class Table:
    """One table. The last of `columns` is the subject: it is what is divided by each other one, and what has aims."""

    def __init__(self, title: str, columns: Sequence[str], unit: str = "ms", *, ratios: bool = True) -> None:
        self._columns = columns
        self._unit = unit
        self._peers = columns[:-1] if ratios else ()
        heads = [title, *(f"{name}, {unit}" for name in columns), *(f"÷ {name}" for name in self._peers), "aim", "met"]
        self._print(heads)
        self._print(["---", *["--:"] * (len(heads) - 3), "---", "---"])

    def add(self, what: str, samples: Mapping[str, Sequence[float]], aims: Sequence[Aim] = ()) -> None:
        """Print a row; the samples of all columns are pairs, in the order of the rounds."""
        subject = samples.get(self._columns[-1], ())
        ratios = {
            name: median(own / max(other, 1e-9) for own, other in zip(subject, samples[name], strict=True))
            for name in self._peers
            if subject and name in samples
        }
        judged = [aim.is_met(ratios[aim.of] if aim.of else median(subject)) for aim in aims]
        cells = [_number(median(samples[name])) if name in samples else "" for name in self._columns]
        cells += [f"{ratios[name]:.2f}" if name in ratios else "" for name in self._peers]
        verdict = "met" if all(judged) else "NOT met"
        self._print([what, *cells, ", ".join(aim.text(self._unit) for aim in aims), verdict if aims else ""])

    def end(self) -> None:
        print(flush=True)

    @staticmethod
    def _print(cells: Sequence[str]) -> None:
        print("|", " | ".join(cells), "|", flush=True)


def _number(value: float) -> str:
    """Three digits.

    >>> _number(1234.5), _number(12.34), _number(0.5678), _number(0)
    ('1,234', '12.3', '0.568', '0')
    """
    if value >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
