"""What publishing a project does to what is on the registry already."""

import time
from pathlib import Path

from console.apply import apply_project
from console.project import load_project
from hookmill.registry import Pause, RegistryView, publish
from hookmill.topics import Topic
from tests.console.projects import make_project
from tests.redelivery.installation import install

FILES = {
    "sources/shop/source.toml": 'function = "function.py"\n',
    "sources/shop/function.py": "async def on_request(request, settings):\n    pass\n",
}


async def test_a_pause_stays_when_a_project_is_published_and_goes_with_its_sink(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {**FILES, "sinks.toml": '[w]\nkind = "sqlite"\n'})
    installation = await install(tmp_path / "data", None)
    log, names, config = installation.log, installation.names, installation.config.processors
    topic = names.full(Topic.REGISTRY)
    await apply_project(load_project(folder), log, names, config)
    pause = Pause("w", time.time_ns() // 1_000_000)
    await publish(log, topic, [pause])

    (folder / "sinks.toml").write_text('[w]\nkind = "jsonl"\npath = "out.jsonl"\n')
    changed = await apply_project(load_project(folder), log, names, config)
    async with RegistryView(log, topic) as view:
        assert view.registry.pauses == {"w": pause}
        assert view.registry.sinks["w"].kind == "jsonl"
    (folder / "sinks.toml").write_text('[other]\nkind = "sqlite"\n')
    removed = await apply_project(load_project(folder), log, names, config)

    assert (changed.published, changed.removed) == (("sink/w",), ())
    assert removed.removed == ("pause/w", "sink/w")
    async with RegistryView(log, topic) as view:
        assert view.registry.pauses == {}
