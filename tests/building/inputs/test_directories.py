"""Which directories a build may read, as far as variables, settings and files say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.building.inputs.directories import named


@pytest.fixture
def nobody(tmp_path: Path) -> dict[str, str]:
    """The variables of somebody who names nothing."""
    return {"HOME": str(tmp_path / "home")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-DCMAKE_PREFIX_PATH=/o/x;/o/y", "/o/x /o/y"),
        ("cmake.args=-DFoo_DIR:PATH=/o/foo;-DBar_ROOT=/o/bar", "/o/foo /o/bar"),
        ("setup-args=-Dbuild.pkg_config_path=/o/pc", "/o/pc"),
        ("setup-args=--pkg-config-path=/o/a,/o/b", "/o/a /o/b"),
        ("--build-option=build_ext --include-dirs=/a:/b --library-dirs /c --rpath=/d", "/a /b /c"),
        ('cmake.args=-DCMAKE_C_FLAGS="-I/a -isystem /b"', "/a /b"),
        ("-DFoo_INCLUDE_DIR=/a -DFoo_LIBRARY_DIRS=/b", "/a /b"),
        # what only the installed wheel has, the interpreter, the system's, and no definition
        ("-DCMAKE_INSTALL_LIBDIR=/x -DPython3_ROOT_DIR=/x -DFoo_ROOT=/usr -DBLAS_DIR=/usr/lib/blas FOO_ROOT=/x", ""),
    ],
)
def test_definitions(nobody: dict[str, str], text: str, expected: str) -> None:
    found = named(nobody, [text], [])
    assert set(expected.split()) <= found.whole
    assert not any(path.startswith(("/x", "/usr", "/d")) for path in found.whole | found.flat)


def test_of_a_library_the_files_beside_it(nobody: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "libx.a").touch()
    assert named(nobody, [f"-DX_LIBRARIES={tmp_path}/libx.a"], []) == (set(), {str(tmp_path)})


def test_files(nobody: dict[str, str], tmp_path: Path) -> None:
    texts = {
        "cross.ini": "[properties]\npkg_config_path = '/a'\n[built-in options]\nc_args = ['-O2', '-I/b']\n",
        "tool.cmake": 'set(CMAKE_C_COMPILER cc)\nlist(APPEND CMAKE_PREFIX_PATH "/c")\n',
        "site.cfg": "[build_ext]\ninclude_dirs = /d:/e\nlibrary_dirs=/f\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in (*texts, "missing.cfg")]
    assert named(nobody, [], files).whole == {"/a", "/b", "/c", "/d", "/e", "/f"}


def test_what_a_pc_file_names(nobody: dict[str, str], tmp_path: Path) -> None:
    """Headers anywhere below a directory; libraries, and what is beside them; nothing of the system."""
    where = tmp_path / "lib" / "pkgconfig"
    where.mkdir(parents=True)
    (where / "libx.a").touch()
    (where / "x.pc").write_text(
        "prefix = ${pcfiledir}/../..\n"
        "again=${again}\n"
        "Name: x\n"
        'Cflags: -I${prefix}/include -I"/with a blank" -I/usr/include/x -DX=${again}\n'
        f"Libs: -L${{prefix}}/lib -lx {where}/libx.a\n"
        "Libs.private: -L/private -lm\n"
    )
    found = named({**nobody, "PKG_CONFIG_LIBDIR": str(where)}, [], [])
    assert found.whole >= {str(where), str(tmp_path / "include"), "/with a blank"}
    assert found.flat == {str(tmp_path / "lib"), "/private"}
    assert "/usr/include/x" not in found.whole


@pytest.mark.parametrize("name", ["Boost_ROOT", "HDF5_DIR", "CUDA_HOME", "fftw_prefix", "MKLROOT", "OPENBLAS"])
def test_what_is_installed_where_a_variable_says(nobody: dict[str, str], tmp_path: Path, name: str) -> None:
    """Its headers and libraries; the files for CMake, if the variable names their directory; nothing else there."""
    root = tmp_path / "boost"
    for each in ("include", "lib", "src", "lib/cmake/Boost"):
        (root / each).mkdir(parents=True)
    wanted = {f"{root}/include", f"{root}/lib"}
    assert named({**nobody, name: str(root)}, [], []) == (wanted, set())
    assert named({**nobody, name: f"/usr:{root}/"}, [], []) == (wanted, set())
    (root / "lib/cmake/Boost/BoostConfig.cmake").touch()
    assert named({**nobody, name: f"{root}/lib/cmake/Boost"}, [], []) == (set(), {f"{root}/lib/cmake/Boost"})


@pytest.mark.parametrize("name", ["GEOS_INCLUDE_PATH", "PROJ_LIBDIR", "OPENSSL_LIB_DIR", "boost_includedir"])
def test_directories_that_a_variable_names(nobody: dict[str, str], tmp_path: Path, name: str) -> None:
    (tmp_path / "libx.a").touch()
    assert named({**nobody, name: f"/usr/include:{tmp_path}"}, [], []) == ({str(tmp_path)}, set())
    assert named({**nobody, name: f"{tmp_path}/libx.a"}, [], []) == (set(), {str(tmp_path)})


@pytest.mark.parametrize(
    "name", ["SAGE_WHEELS_DIR", "XDG_RUNTIME_DIR", "BOOST", "DESTDIR", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "MANPATH"]
)
def test_other_variables_name_nothing(nobody: dict[str, str], tmp_path: Path, name: str) -> None:
    (tmp_path / "include").mkdir()
    assert named({**nobody, name: str(tmp_path)}, [], []) == (set(), set())


def test_a_virtual_environment_has_no_libraries(nobody: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    assert named({**nobody, "MY_PREFIX": str(tmp_path)}, [], []) == (set(), set())


@pytest.mark.parametrize(
    "text", ["--sysroot={}", "-O2 --sysroot {}", "-isysroot {}", "-isysroot{}", "-DCMAKE_SYSROOT={}", "'--sysroot={}'"]
)
def test_a_sysroot(nobody: dict[str, str], tmp_path: Path, text: str) -> None:
    for each in ("usr/include", "lib", "home"):
        (tmp_path / each).mkdir(parents=True)
    found = named({**nobody, "CFLAGS": text.format(tmp_path)}, [], [])
    assert found == ({f"{tmp_path}/usr/include", f"{tmp_path}/lib"}, set())
    assert named({**nobody, "CFLAGS": text.format("/")}, [], []).whole <= {"/usr/local"}
