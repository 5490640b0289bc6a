"""`hookmill init`: a new project folder that runs as it is."""

from pathlib import Path
from typing import Final

from hookmill.errors import ConfigError

_FILES: Final = {
    ".gitignore": ".hookmill/\n",
    "sinks.toml": """\
# Where events and objects go. Each table is one sink; paths are relative to the data folder.

[warehouse]
kind = "sqlite"
path = "warehouse.db"

[stream]
kind = "jsonl"
path = "-"          # stdout
objects = false
""",
    "sources/hello/source.toml": """\
name = "Hello"
function = "function.js"

[settings]
greeting = "Hello"
""",
    "sources/hello/function.js": """\
async function onRequest(request, settings) {
  const body = request.json()

  Segment.track({
    event: 'Greeted',
    userId: body.user,
    properties: { text: `${settings.greeting}, ${body.user}` }
  })
  Segment.set({ collection: 'people', id: body.user, properties: { greeted: true } })
}
""",
    "sources/hello/examples/ada.json": """\
{
  "body": {"user": "ada"},
  "expect": {
    "events": [{"type": "track", "event": "Greeted", "userId": "ada", "properties": {"text": "Hello, ada"}}],
    "objects": [{"collection": "people", "id": "ada", "properties": {"greeted": true}}]
  }
}
""",
}


def create_project(folder: Path) -> list[Path]:
    """A first project is in `folder`; returns its files. Errors: `ConfigError`; nothing is ever written over."""
    present = [name for name in _FILES if (folder / name).exists()]
    if present:
        raise ConfigError(f"{folder / present[0]} exists; `hookmill init` changes nothing that is there.")
    written = []
    try:
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be written: {error.strerror}.") from None
    return written
