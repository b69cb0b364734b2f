from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from sage_wheels.building.environment.images import WheelSummary
from sage_wheels.building.environment.resolve import resolve
from sage_wheels.building.environment.wheelhouse import WheelEntry, Wheelhouse
from sage_wheels.errors import BuildFailed, WheelRefused, WheelsMissing

MARKERS = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}
Resolve = Callable[..., dict[str, str]]


class Shelf(Wheelhouse):
    """A wheelhouse of wheels that exist in name only: {"a-1.0": ["requires", ...]}."""

    def __init__(self, wheels: dict[str, list[str]]) -> None:
        super().__init__(["/shelf"], ["py3-none-any"])
        self._paths = {}
        for wheel in wheels:
            self._paths.setdefault(wheel.partition("-")[0], []).append(f"/shelf/{wheel}-py3-none-any.whl")
        self._wheels = wheels

    def about(self, path: str) -> WheelSummary:
        stem = os.path.basename(path).removesuffix("-py3-none-any.whl")
        name, _, version = stem.partition("-")
        python = [each.removeprefix("python") for each in self._wheels[stem] if each.startswith("python")]
        requires = [each for each in self._wheels[stem] if not each.startswith("python")]
        return WheelSummary(name, version, requires, "".join(python))


def choose(wheels: dict[str, list[str]], *requirements: str) -> dict[str, str]:
    """The versions that are chosen, by name."""
    shelf = Shelf(wheels)
    chosen = resolve([(each, "hello") for each in requirements], shelf, MARKERS, shelf.about)
    return {entry.name: str(entry.version) for entry in chosen}


def test_nothing_is_asked_for() -> None:
    assert choose({"a-1": []}) == {}


def test_newest_fitting_version() -> None:
    wheels: dict[str, list[str]] = {"a-1": [], "a-2": [], "a-3": [], "a-10": []}
    assert choose(wheels, "a") == {"a": "10"}
    assert choose(wheels, "a<10") == {"a": "3"}
    assert choose(wheels, "a<10", "a!=3") == {"a": "2"}


def test_requirements_of_requirements() -> None:
    assert choose({"a-1": ["b>=1"], "b-2": ["c"], "c-3": [], "d-1": []}, "a") == {"a": "1", "b": "2", "c": "3"}


def test_circles() -> None:
    assert choose({"a-1": ["b"], "b-1": ["a"]}, "a") == {"a": "1", "b": "1"}


def test_a_circle_that_is_left_over_from_a_choice_that_was_given_up() -> None:
    """Nothing needs it any more; `resolvelib` looks for a way from it to what was asked for, without end."""
    wheels = {"x-2": ["a"], "x-1": [], "a-1": ["b"], "b-1": ["a"], "z-1": ["x<2"]}
    assert choose(wheels, "x", "z") == {"x": "1", "z": "1"}


def test_markers_are_those_of_the_building_interpreter() -> None:
    wheels = {"a-1": ["b; python_version<'3.11'", "c; python_version>='3.11'"], "b-1": [], "c-1": []}
    assert choose(wheels, "a", "b; sys_platform=='win32'") == {"a": "1", "c": "1"}


def test_extras_bring_what_they_ask_for_and_nothing_else() -> None:
    wheels = {"a-1": ["b; extra=='toml'", "c; extra=='other'", "d"], "b-1": [], "c-1": [], "d-1": []}
    assert choose(wheels, "a") == {"a": "1", "d": "1"}
    assert choose(wheels, "a[toml]") == {"a": "1", "b": "1", "d": "1"}
    assert choose(wheels, "a[toml]", "a[other]") == {"a": "1", "b": "1", "c": "1", "d": "1"}


def test_an_extra_asked_for_later_is_of_the_same_version() -> None:
    wheels = {"a-1": ["b; extra=='x'"], "a-2": ["b; extra=='x'"], "b-1": [], "c-1": ["a[x]<2"]}
    assert choose(wheels, "a", "c") == {"a": "1", "b": "1", "c": "1"}


def test_an_older_version_is_taken_if_the_newest_leads_nowhere() -> None:
    wheels = {"a-1": ["c<2"], "a-2": ["c>=2", "b>=2"], "b-1": [], "c-1": [], "c-2": []}
    assert choose(wheels, "a", "b") == {"a": "1", "b": "1", "c": "1"}


def test_pre_releases_only_where_nothing_else_fits_or_one_is_named() -> None:
    wheels: dict[str, list[str]] = {"a-1": [], "a-2rc1": [], "b-1rc1": []}
    assert choose(wheels, "a") == {"a": "1"}
    assert choose(wheels, "a>=2rc1") == {"a": "2rc1"}
    assert choose(wheels, "b") == {"b": "1rc1"}


def test_requires_python() -> None:
    assert choose({"a-1": [], "a-2": ["python>=3.12"], "a-3": ["python>=3.11,<4"]}, "a<3") == {"a": "1"}
    assert choose({"a-1": [], "a-2": ["python nonsense"]}, "a") == {"a": "2"}


def test_missing_says_who_asks_and_where_was_looked() -> None:
    with pytest.raises(WheelsMissing) as raised:
        choose({"a-1": ["b>=2"]}, "a")
    assert str(raised.value) == (
        "a 1 asks for b>=2, but there is no wheel of b in /shelf; build that first, name its directory with "
        "--find-links, or allow the package index with --index"
    )
    assert raised.value.names == ["b"]


def test_the_wrong_version_says_which_there_are() -> None:
    with pytest.raises(WheelsMissing, match=r"hello asks for a>3, but the versions of a in /shelf are 2, 1"):
        choose({"a-1": [], "a-2": []}, "a>3")


def test_a_conflict_names_both_askers() -> None:
    with pytest.raises(WheelsMissing) as raised:
        choose({"a-1": ["c<2"], "b-1": ["c>=2"], "c-1": [], "c-2": []}, "a", "b")
    assert "c<2 (asked for by a 1)" in str(raised.value)
    assert "c>=2 (asked for by b 1)" in str(raised.value)
    assert "2, 1" in str(raised.value)


def test_urls_and_nonsense_are_refused() -> None:
    with pytest.raises(BuildFailed, match="only what a build asks for itself may have a URL"):
        choose({}, "a @ https://example.org/a.whl")
    with pytest.raises(BuildFailed, match="which is no requirement"):
        choose({}, "a >< 1")
    with pytest.raises(BuildFailed, match=r"b 1 asks for .*its marker cannot be evaluated"):
        choose({"b-1": ["a; os_name ~= 'x'"]}, "b")


def test_a_wheel_that_cannot_be_read_is_passed_over_and_named_if_there_is_no_other() -> None:
    shelf = Shelf({"a-1": [], "a-2": []})

    def about(path: str) -> WheelSummary:
        if "a-2" in path:
            raise WheelRefused(f"{path} is damaged")
        return shelf.about(path)

    assert [str(entry.version) for entry in resolve([("a", "hello")], shelf, MARKERS, about)] == ["1"]
    with pytest.raises(WheelsMissing, match=r"a-2-py3-none-any\.whl is damaged"):
        resolve([("a>1", "hello")], shelf, MARKERS, about)


NAMES = "abcd"
VERSIONS = ["1", "2", "3"]
specifiers = st.sampled_from(["", *(f"{op}{version}" for op in (">=", "<", "==", "!=") for version in VERSIONS)])
lines = st.builds(lambda name, specifier: f"{name}{specifier}", st.sampled_from(NAMES), specifiers)
shelves = st.dictionaries(
    st.builds(lambda name, version: f"{name}-{version}", st.sampled_from(NAMES), st.sampled_from(VERSIONS)),
    st.lists(lines, max_size=3),
)


def solutions(wheels: dict[str, list[str]], wanted: list[str]) -> list[dict[str, str]]:
    """By brute force: every choice of at most one version of each name that fulfils all it asks for."""
    found = []
    for versions in itertools.product(["", *VERSIONS], repeat=len(NAMES)):
        choice = {name: version for name, version in zip(NAMES, versions, strict=True) if version}
        if any(f"{name}-{version}" not in wheels for name, version in choice.items()):
            continue
        asked = [*wanted, *(line for name, version in choice.items() for line in wheels[f"{name}-{version}"])]
        if all(_fulfils(choice, Requirement(line)) for line in asked):
            found.append(choice)
    return found


def _fulfils(choice: dict[str, str], requirement: Requirement) -> bool:
    version = choice.get(requirement.name)
    return version is not None and requirement.specifier.contains(Version(version))


@given(shelves, st.lists(lines, min_size=1, max_size=3))
def test_a_solution_is_found_exactly_if_there_is_one(wheels: dict[str, list[str]], wanted: list[str]) -> None:
    possible = solutions(wheels, wanted)
    try:
        chosen: Any = choose(wheels, *wanted)
    except WheelsMissing:
        chosen = None
    assert chosen in possible if possible else chosen is None


def test_the_result_does_not_depend_on_the_order_of_the_requirements() -> None:
    wheels = {"a-1": ["c"], "a-2": ["c<2"], "b-1": ["c"], "b-2": ["c>=2"], "c-1": [], "c-2": []}
    results = {tuple(sorted(choose(wheels, *order).items())) for order in itertools.permutations(["a", "b", "c"])}
    assert len(results) == 1


def test_real_wheels(make_wheel: Callable[..., Path], wheelhouse: Path) -> None:
    """What is chosen is the path of a file."""
    path = make_wheel("a", "1.0", requires=["tiny"])
    house = Wheelhouse([str(wheelhouse)], ["py3-none-any"])
    from sage_wheels.wheel.wheel import Wheel

    def about(path: str) -> WheelSummary:
        with Wheel(path) as wheel:
            return WheelSummary(wheel.name, wheel.version, wheel.metadata.get("requires-dist", []), "")

    chosen: list[WheelEntry] = resolve([("a", "hello")], house, MARKERS, about)
    assert {entry.path for entry in chosen} == {str(path), str(wheelhouse / "tiny-1.0-py3-none-any.whl")}
