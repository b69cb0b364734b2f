"""What is fetched is what `pip download` fetches, and nothing of it is run; compared on indexes of these tests' own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.metadata
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, build_wheel, parse_source, wheels_of
from sage_wheels.building.download import fetch, fetch_build_requirements
from sage_wheels.errors import BuildFailed, SourceError
from sage_wheels.prefix import find_prefix
from sage_wheels.prefix.interpreter import Facts
from sage_wheels.requirements.references import file_url
from sage_wheels.requirements.sources import RemoteFile, Requirement, SdistFile
from support.index import Index
from support.projects import make_sdist, make_tree
from support.pythons import make_installation
from support.trees import make_prefix
from support.wheels import make_wheel

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

# Writes down that it ran, whichever hook of the project it is in.
_HOOK = "import os; open(os.environ['RAN'], 'a').write('build\\n')\n"
_HEAD = "def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):"
_METADATA = "\n    open(os.environ['RAN'], 'a').write('metadata\\n')"


def make_files(directory: Path) -> Path:
    """What the indexes have: `both` as wheels and sdists, `only` as sdists, `old-name` as an sdist named as of old."""
    directory.mkdir()
    for version in ("1.0", "1.1", "2.0", "3.0rc1"):
        for name in ("both", "only"):
            tree = make_tree(directory.parent / f"{name}-{version}", name, version, hook=_HOOK)
            backend = tree / "backend" / "tiny.py"
            text = backend.read_text()
            assert text.count(_HEAD) == 1
            backend.write_text(text.replace(_HEAD, _HEAD + _METADATA))
            make_sdist(directory, tree, name, version)
        make_wheel(directory, "both", version, {"both.py": ""}, requires=["only"])
    make_wheel(directory, "both", "4.0", {"both.py": ""}, tag="cp27-cp27mu-win32")
    tree = make_tree(directory.parent / "tree", "old-name", "1.0")
    make_sdist(directory, tree, "old-name", "1.0.0-post1")
    return directory


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_files(tmp_path_factory.mktemp("index") / "files")


@pytest.fixture(autouse=True)
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of nobody in particular; and the file in which a project says that it was run."""
    for name in [each for each in os.environ if re.match(r"PIP_|.*_PROXY$|.*CA_BUNDLE$|SSL_CERT_|NETRC$", each, re.I)]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return tmp_path / "ran"


Compare = Callable[..., str]


@pytest.fixture
def compare(tmp_path: Path, ran: Path) -> Compare:
    """The file for a requirement by ours and by pip's own `download`; "" if both fail."""

    def run(text: str, *, from_source: bool = False) -> str:
        theirs = tmp_path / "theirs"
        source = parse_source(text)
        assert isinstance(source, (Requirement, RemoteFile))
        words = ["--no-binary", source.name] if from_source else []
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(theirs), *words, "--", text]
        environ = {**os.environ, "RAN": os.devnull}
        said = subprocess.PIPE
        pip = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said, text=True)
        why, path = "", ""
        try:
            path = fetch(source, str(tmp_path / "ours"), from_source=from_source).source.path
        except SourceError as error:
            why = error.details
        _, output = pip.communicate()
        assert not ran.exists()
        assert (pip.returncode == 0) == bool(path), f"pip says:\n{output}\nand to us:\n{why}"
        if not path:
            return ""
        ours = Path(path)
        assert os.listdir(theirs) == [ours.name]
        assert ours.read_bytes() == (theirs / ours.name).read_bytes()
        return ours.name

    return run


def wheel(version: str) -> str:
    return f"both-{version}-py3-none-any.whl"


@pytest.mark.parametrize(
    ("text", "from_source", "expected"),
    [
        ("both", False, wheel("2.0")),
        ("Both[x]<2", False, wheel("1.1")),
        ("both>=3.0rc0", False, wheel("3.0rc1")),
        ("both==4.0", False, ""),
        ("both", True, "both-2.0.tar.gz"),
        ("only", False, "only-2.0.tar.gz"),
        ("only~=1.0", True, "only-1.1.tar.gz"),
        ("only===1.0", True, "only-1.0.tar.gz"),
        ("nothing", False, ""),
    ],
)
def test_the_same_file(
    files: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch, text: str, from_source: bool, expected: str
) -> None:
    with Index(files) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        assert compare(text, from_source=from_source) == expected


def test_pip_itself_runs_what_it_downloads(files: Path, ran: Path, tmp_path: Path) -> None:
    """So that the other tests see something where there is something to be seen."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-index", "-f", str(files), "only==1.0"]
    subprocess.run([*command, "-d", str(tmp_path)], check=True)
    assert ran.read_text() == "metadata\n"


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({"PIP_PRE": "1"}, "both", wheel("3.0rc1")),
        ({"PIP_NO_BINARY": ":all:"}, "both", "both-2.0.tar.gz"),
        ({"PIP_ONLY_BINARY": "only"}, "only", ""),
        ({"PIP_NO_INDEX": "1"}, "both", ""),
        ({"PIP_CONSTRAINT": "{tmp}/constraints.txt"}, "both", wheel("1.0")),
        ({"PIP_CONFIG_FILE": "{tmp}/pip.conf"}, "both", wheel("1.1")),
        ({"PIP_REQUIRE_HASHES": "1"}, "both==1.0", ""),
    ],
    ids=str,
)
def test_settings_of_pip(
    files: Path,
    compare: Compare,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    text: str,
    expected: str,
) -> None:
    (tmp_path / "constraints.txt").write_text("both==1.0\n")
    (tmp_path / "less.txt").write_text("both<2\n")
    with Index(files) as index:
        conf = f"[global]\nindex-url = {index.url}\n[download]\nconstraint = {tmp_path}/less.txt\n"
        (tmp_path / "pip.conf").write_text(conf)
        if "PIP_CONFIG_FILE" not in settings:
            monkeypatch.setenv("PIP_INDEX_URL", index.url)
        for name, value in settings.items():
            monkeypatch.setenv(name, value.replace("{tmp}", str(tmp_path)))
        assert compare(text) == expected


@pytest.mark.parametrize("text", ["both", "both==2.0", "both==2.*", "only>=2"])
def test_yanked_files(files: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    versions = [f"{name}-{version}" for name in ("both", "only") for version in ("2.0", "3.0rc1")]
    names = [f"{version}{end}" for version in versions for end in ("-py3-none-any.whl", ".tar.gz")]
    yanked = dict.fromkeys(names, 'data-yanked="bad"')
    with Index(files, attributes=yanked) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        name = compare(text)
    assert ("2.0" in name) == (text == "both==2.0")


def test_what_was_yanked_is_said(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    with Index(files, attributes={wheel("2.0"): 'data-yanked="it is bad"'}) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_ONLY_BINARY", ":all:")
        fetch(_requirement("both==2.0"), str(tmp_path), on_note=notes.append)
    assert len(notes) == 1
    assert "yanked" in notes[0]
    assert notes[0].endswith("it is bad")


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [("&lt;3", False), ("&gt;=3.10", True), ("no version", True)],
)
def test_requires_python(
    files: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch, wanted: str, fits: bool
) -> None:
    names = [wheel("2.0"), "both-2.0.tar.gz"]
    with Index(files, attributes=dict.fromkeys(names, f'data-requires-python="{wanted}"')) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        assert compare("both") == wheel("2.0" if fits else "1.1")


@pytest.mark.parametrize("way", ["url", "netrc", "none"])
def test_credentials(files: Path, compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    with Index(files, credentials="me:secret") as index:
        url = index.url
        if way == "url":
            url = url.replace("//", "//me:secret@")
        elif way == "netrc":
            netrc = tmp_path / "home" / ".netrc"
            netrc.write_text("machine 127.0.0.1 login me password secret\n")
            netrc.chmod(0o600)
        monkeypatch.setenv("PIP_INDEX_URL", url)
        assert compare("both==1.0") == ("" if way == "none" else wheel("1.0"))


_KEYRING = """\
class credentials:
    username, password = "me", "secret"
def get_password(service, user):
    return "secret" if user == "me" else None
def get_credential(service, user):
    return credentials
"""


@pytest.mark.parametrize(
    ("provider", "kind", "user", "is_used"),
    [
        ("", "program", "me@", True),
        ("", "module", "", True),
        ("subprocess", "program", "me@", True),
        ("import", "module", "", True),
        ("disabled", "program", "me@", False),
        ("no input", "module", "me@", False),
    ],
)
def test_keyring(
    files: Path,
    compare: Compare,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    kind: str,
    user: str,
    is_used: bool,
) -> None:
    if tuple(map(int, importlib.metadata.version("pip").split(".")[:2])) < (23, 1):
        pytest.skip("before pip 23.1, there is no choice of a keyring")
    keyring = tmp_path / "keyring"
    keyring.mkdir()
    if kind == "program":
        (keyring / "keyring").write_text("#!/bin/sh\necho secret\n")
        (keyring / "keyring").chmod(0o755)
        monkeypatch.setenv("PATH", f"{keyring}:{os.environ['PATH']}")
    (keyring / "keyring.py").write_text(_KEYRING if kind == "module" else "raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(keyring))
    if provider == "no input":
        monkeypatch.setenv("PIP_NO_INPUT", "1")
    elif provider:
        monkeypatch.setenv("PIP_KEYRING_PROVIDER", provider)
    with Index(files, credentials="me:secret") as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", f"//{user}"))
        assert compare("both==1.0") == (wheel("1.0") if is_used else "")


def test_wrong_credentials_are_no_traceback(files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Index(files, credentials="me:secret") as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        with pytest.raises(SourceError) as raised:
            fetch(_requirement("both==1.0"), str(tmp_path / "ours"))
    assert "401" in raised.value.details
    assert "Traceback" not in raised.value.details


@pytest.mark.parametrize("variable", ["PIP_PROXY", "http_proxy"])
def test_proxies(files: Path, compare: Compare, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with Index(files) as index:
        monkeypatch.setenv(variable, index.address)
        monkeypatch.setenv("PIP_INDEX_URL", "http://nowhere.invalid/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", "nowhere.invalid")
        assert compare("both==1.0") == wheel("1.0")
        assert f"http://nowhere.invalid/files/{wheel('1.0')}" in [each.partition("#")[0] for each in index.asked]


@pytest.mark.parametrize("way", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "none"])
def test_certificates(files: Path, compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Index(files, tls=tls) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_RETRIES", "0")
        if way != "none":
            monkeypatch.setenv(way, str(certificate))
        assert compare("both==1.0") == ("" if way == "none" else wheel("1.0"))


def _requirement(text: str) -> Requirement | RemoteFile:
    source = parse_source(text)
    assert isinstance(source, (Requirement, RemoteFile))
    return source


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_hashes(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the index, of a URL, and those after a requirement."""
    right, wrong = _sha256(files / "only-1.0.tar.gz"), "0" * 64
    with Index(files) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        url = f"{index.files}/only-1.0.tar.gz"
        for text in (
            f"only==1.0 --hash=sha256:{right}",
            f"only @ {url}#sha256={right}",
            f"{url}#egg=only&sha256={right}",
        ):
            assert fetch(_requirement(text), str(tmp_path / _name(text))).source.path.endswith("/only-1.0.tar.gz")
        refused = [f"only==1.0 --hash=sha256:{wrong}", f"only @ {url}#sha256={wrong}"]
        unpinned = f"only --hash=sha256:{right}"  # pip 26.3 takes it, older ones did not
        refused += [unpinned] * ("pinned with ==" in _said_by_pip(tmp_path, unpinned))
        for text in refused:
            with pytest.raises(SourceError, match="pip could not download"):
                fetch(_requirement(text), str(tmp_path / _name(text)))
    page = (tmp_path / "simple" / "only").resolve()
    page.mkdir(parents=True)
    (page / "index.html").write_text(
        f'<a href="{file_url(str(files))}/only-1.0.tar.gz#sha256={wrong}">only-1.0.tar.gz</a>'
    )
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/simple")
    with pytest.raises(SourceError, match=r"pip could not download only==1\.0") as raised:
        fetch(_requirement("only==1.0"), str(tmp_path / "bad"))
    assert "DO NOT MATCH" in raised.value.details


def test_a_url_that_cannot_be_reached_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/only-1.0.tar.gz"
        with pytest.raises(SourceError, match="pip could not download http://") as raised:
            fetch(_requirement(url), str(tmp_path / "bad"))
    assert "Connection refused" in raised.value.details
    assert "Traceback" not in raised.value.details
    assert '  File "' not in raised.value.details


def _said_by_pip(tmp_path: Path, text: str) -> str:
    """What the command `pip download` says of the requirement `text`."""
    (tmp_path / "requirements").write_text(text)
    command = [sys.executable, "-I", "-m", "pip", "download", "--no-deps", "--no-build-isolation", "-r", "requirements"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True).stderr


def _name(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_urls(files: Path, tmp_path: Path, ran: Path) -> None:
    """An archive of any name, with a project in a subdirectory; and what direct_url.json says."""
    archive = tmp_path / "main.tar.gz"
    archive.write_bytes((files / "only-1.0.tar.gz").read_bytes())
    with Index(tmp_path) as index:
        url = index.files.replace("//", "//me:secret@") + "/main.tar.gz"
        fetched = fetch(_requirement(f"Some.Name[x] @ {url}#subdirectory=code"), str(tmp_path / "destination"))
    assert isinstance(fetched.source, SdistFile)
    assert fetched.source.subdirectory == "code"
    assert fetched.source.asked.extras == ("x",)
    assert fetched.direct_url == {
        "archive_info": {"hash": f"sha256={_sha256(archive)}", "hashes": {"sha256": _sha256(archive)}},
        "subdirectory": "code",
        "url": f"{index.files}/main.tar.gz",
    }
    assert not ran.exists()


def test_names_and_versions_as_of_old(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index(files) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("PIP_FIND_LINKS", str(files))
        if "(from versions: none)" in _said_by_pip(tmp_path, "old_name"):  # pip 26.3
            with pytest.raises(SourceError, match="pip could not download old_name"):
                fetch(_requirement("old_name"), str(tmp_path / "destination"))
            return
        fetched = fetch(_requirement("old_name"), str(tmp_path / "destination"))
    assert os.path.basename(fetched.source.path) == "old-name-1.0.0-post1.tar.gz"


def test_a_name_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip takes the name of a dist-info directory to end at its first dash."""
    (tmp_path / "links").mkdir()
    tree = make_tree(tmp_path / "tree", "two-words", "1.0")
    make_sdist(tmp_path / "links", tree, "two_words", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    fetched = fetch(_requirement("two-words"), str(tmp_path / "destination"))
    assert os.path.basename(fetched.source.path) == "two_words-1.0.tar.gz"


# A pip that crashes as pip 24.3 does on Python 3.15.
OLD_PIP = """
import sys
if "--python" in sys.argv:
    raise TypeError("Can't instantiate abstract class")
sys.path.remove({here!r})
del sys.modules["pip"]
import runpy
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("has_pip", [True, False])
def test_a_python_that_is_too_new_for_the_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pip: bool) -> None:
    """The pip that came with that Python is used instead, if there is one."""
    old = tmp_path / "old" / "pip"
    old.mkdir(parents=True)
    (old / "__init__.py").touch()
    (old / "__main__.py").write_text(OLD_PIP.format(here=str(old.parent)))
    python = make_installation(tmp_path / "new")
    if not has_pip:
        [ensurepip] = (tmp_path / "new").glob("lib/python3*/ensurepip")
        ensurepip.unlink()
    house = make_wheel(tmp_path / "links", "one", "1.0", {"one.py": ""}).parent
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PYTHONPATH", str(old.parent))
    out = tmp_path / "fetched"
    outcome = contextlib.nullcontext() if has_pip else pytest.raises(BuildFailed, match="build requirements one")
    with outcome:
        fetch_build_requirements(["one"], str(out), find_links=[str(house)], python=python)
    assert [each.name for each in out.glob("*.whl")] == (["one-1.0-py3-none-any.whl"] if has_pip else [])


@pytest.mark.parametrize("text", ["liar", "liar>=0.5", "liar==1.0"])
def test_an_sdist_of_an_index_makes_the_version_that_it_is_named_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: BuildOptions, text: str
) -> None:
    """Or pip would not have chosen it."""
    (tmp_path / "links").mkdir()
    make_sdist(tmp_path / "links", make_tree(tmp_path / "tree", "liar", "7.0"), "liar", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    with pytest.raises(SourceError, match=re.escape(f"{text} was asked for as liar==1.0, but makes 7.0")):
        build_wheel(parse_source(text), wheel_dir=str(tmp_path / "out"), options=options)
    prefix = find_prefix(make_prefix(tmp_path))
    with (
        pytest.raises(SourceError, match=re.escape(f"liar-1.0.tar.gz (for {text}) was asked for as liar==1.0")),
        wheels_of([text], prefix, options),
    ):
        pass


def test_a_url_without_an_extension(tmp_path: Path, options: BuildOptions) -> None:
    (tmp_path / "files").mkdir()
    sdist = make_sdist(tmp_path / "files", make_tree(tmp_path / "tree", "only", "1.0"), "only", "1.0")
    sdist.rename(tmp_path / "files/main")
    with Index(tmp_path / "files") as index:
        built = build_wheel(parse_source(f"only @ {index.files}/main"), wheel_dir=str(tmp_path), options=options)
        with pytest.raises(SourceError, match=r"^only @ .*/main#subdirectory=sub has no project in its subdirectory"):
            build_wheel(
                parse_source(f"only @ {index.files}/main#subdirectory=sub"), wheel_dir=str(tmp_path), options=options
            )
    assert os.path.basename(built.path).startswith("only-1.0-")


def test_no_password_is_shown(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with Index(tmp_path / "files") as index:
        source = _requirement(f"only @ {index.files.replace('//', '//me:secret@')}/only-1.0.tar.gz")
        with pytest.raises(SourceError) as raised:
            fetch(source, str(tmp_path / "destination"))
    assert "404" in raised.value.details
    assert "secret" not in f"{raised.value} {raised.value.details}"


def test_another_interpreter(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tags and its version count, and it is not run."""
    tags = ["cp27-cp27mu-win32", "cp27-none-any", "py3-none-any"]
    target = Facts("/nowhere/python", "2.7.18+", "", {}, tags, {})
    with Index(files, attributes={wheel("3.0rc1"): 'data-requires-python="&gt;=3"'}) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        fetched = fetch(_requirement("both"), str(tmp_path / "destination"), target=target)
    assert os.path.basename(fetched.source.path) == "both-4.0-cp27-cp27mu-win32.whl"


def test_each_hook_runs_once(
    files: Path, tmp_path: Path, ran: Path, options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(files) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        built = build_wheel(parse_source("only==1.1"), wheel_dir=tmp_path / "dist", options=options)
    assert os.path.basename(built.path) == "only-1.1-py3-none-any.whl"
    assert ran.read_text() == "build\n"
    assert [each for each in index.asked if each.startswith("/files/")] == ["/files/only-1.1.tar.gz"]


def test_variables_of_ours_are_for_pip_alone(tmp_path: Path, files: Path, options: BuildOptions) -> None:
    """What pip builds, a build requirement for example, gets the variables that the caller has, and no more."""
    seen = tmp_path / "seen"
    hook = f"import os; open({str(seen)!r}, 'w').write(' '.join(sorted(n for n in os.environ if n[:4] == 'PIP_')))\n"
    wheels = tmp_path / "index"
    wheels.mkdir()
    make_sdist(wheels, make_tree(tmp_path / "needed", "needed", "1.0", hook=hook), "needed", "1.0")
    tree = make_tree(tmp_path / "hello", "hello", "1.0")
    pyproject = tree / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("requires = []", 'requires = ["needed"]'))
    with Index(wheels) as index, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_INDEX_URL", index.url)
        build_wheel(parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=options._replace(use_index=True))
    pips = {"PIP_BUILD_TRACKER", "PIP_NO_INPUT"}  # pip itself passes on what --no-input says
    assert set(seen.read_text().split()) - pips == {"PIP_CONFIG_FILE", "PIP_INDEX_URL"}


def test_a_pip_that_is_not_known(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that would run what it downloads is not used; one that does so all the same is stopped."""
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / "sitecustomize.py").write_text(
        "import sys\n"
        "if '-c' in sys.orig_argv:\n"
        "    from pip._internal.operations import prepare\n"
        "    from pip._internal.distributions.sdist import SourceDistribution\n"
        "    if __import__('os').environ['CHANGE'] == 'name':\n"
        "        del prepare.unpack_file\n"
        "    else:\n"
        "        prepare._get_prepared_distribution = lambda *_, **__: __import__('subprocess').run([sys.executable])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "changed"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for change, says in (("name", "cannot use the pip"), ("all the same", "would run code")):
        monkeypatch.setenv("CHANGE", change)
        with pytest.raises(SourceError, match=r"pip could not download only==1\.0") as raised:
            fetch(_requirement("only==1.0"), str(tmp_path / "destination"), find_links=[str(files)])
        assert says in raised.value.details
