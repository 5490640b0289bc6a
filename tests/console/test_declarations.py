"""`hookmill types`: what a type checker makes of functions, and whether the declarations are true."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from console.declarations import declare_settings, write_declarations
from console.project import load_project
from console.trial import try_sources
from hookmill.config import ProcessorsConfig
from hookmill.errors import ConfigError
from tests.console.projects import make_project, npm_tool
from tests.processes import run_hookmill

SOURCE = 'function = "function.ts"\n\n[settings]\nregion = "eu"\n'
FUNCTION = """\
import { euros } from '../../shared/money'

async function onRequest(request: ServerRequest, settings: Settings<'shop'>): Promise<void> {
  const order = request.json()
  const sender: string | null = request.headers.get('x-sender') ?? request.url.searchParams.get('sender')
  const signature = crypto.createHmac('sha256', settings.region).update(request.text()).digest('hex')
  if (!crypto.timingSafeEqual(Buffer.from(signature, 'hex'), Buffer.from(sender ?? '', 'hex'))) {
    throw new ValidationError('signature')
  }
  const rate: number = await cache.load('rate', 60_000, async () => {
    const response = await fetch(new URL('https://rates.example/eur'))
    return (await response.json()).rate
  })
  Segment.identify({ anonymousId: 'a', traits: order.customer })
  Segment.track({ event: 'Paid', userId: order.id, timestamp: new Date(), properties: { value: euros(100) * rate } })
  Segment.group({ groupId: 1, userId: 'u' })
  Segment.page({ userId: 'u', name: 'Home' })
  Segment.screen({ userId: 'u' })
  Segment.alias({ previousId: 'old', userId: 'u' })
  const row = Segment.set({ collection: 'orders', id: 7, properties: { at: btoa('x'), first: _.head([1]) } })
  Segment.delete({ collection: 'orders', id: row.id })
  for (const [name, value] of request.headers) console.info(name, value, row.id)
  setTimeout(() => console.log('late'), 10)
  throw new DropEvent('enough')
}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in TypeScript with its declarations."""
    files = {
        "sources/shop/source.toml": SOURCE,
        "sources/shop/function.ts": FUNCTION,
        "sources/other/source.toml": 'function = "function.js"\n',
        "sources/other/function.js": "async function onRequest(request, settings) { Segment.set({}) }\n",
        "shared/money.ts": "export const euros = (cents: number): number => cents / 100\n",
    }
    write_declarations(make_project(tmp_path, files))
    return tmp_path


def complaints(project: Path) -> list[str]:
    """What the compiler says, an entry per error."""
    done = subprocess.run(
        [npm_tool("tsc"), "-p", "."], cwd=project, capture_output=True, text=True, timeout=250, check=False
    )
    return [line for line in done.stdout.splitlines() if re.match(r"\S.*error TS", line)]


def test_a_strict_compiler_accepts_what_functions_may_do(project: Path) -> None:
    assert complaints(project) == []


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("Segment.track({ event: 'x' })", "TS2345"),
        ("Segment.track({ userId: 'u' })", "TS2345"),
        ("Segment.track({ event: 'x', userId: 'u', category: 'dropped' })", "TS2353"),
        ("Segment.identify({ userId: 'u', traits: 1 })", "TS2322"),
        ("Segment.set({ collection: 'c' })", "TS2741"),
        ("Segment.delete({ collection: 'c', id: 1, properties: {} })", "TS2353"),
        ("Segment.alias({ userId: 'u' })", "TS2345"),
        ("new ServerRequest('x').method", "TS2339"),
        ("const n: number = ({} as Settings<'shop'>).region", "TS2322"),
        ("let s: Settings<'shopp'>", "TS2344"),
        ("process.exit()", "TS2591"),
        ("require('fs')", "TS2591"),
        ("document.title", "TS2584"),
    ],
)
def test_a_strict_compiler_refuses_what_functions_may_not_do(project: Path, statement: str, code: str) -> None:
    (project / "sources" / "shop" / "bad.ts").write_text(f"{statement}\n")

    (complaint,) = complaints(project)

    assert complaint.startswith("sources/shop/bad.ts(1,")
    assert f"error {code}:" in complaint


async def test_the_declared_globals_are_those_that_functions_have(tmp_path: Path) -> None:
    folder = make_project(
        tmp_path,
        {
            "sources/a/source.toml": 'function = "function.js"\ntimeout_ms = 10000\n',
            "sources/a/function.js": (
                "async function onRequest(request) {\n"
                "  const missing = request.json().filter((name) => !(name in globalThis))\n"
                "  Segment.set({ collection: 'c', id: 1, properties: { missing, there: Object.keys(window) } })\n"
                "}\n"
            ),
        },
    )
    write_declarations(folder)
    text = (folder / "hookmill.d.ts").read_text()
    declared = set(re.findall(r"^declare (?:const|class|function) (\w+)", text, re.MULTILINE))
    (folder / "sources" / "a" / "examples").mkdir()
    (folder / "sources" / "a" / "examples" / "x.json").write_text(json.dumps({"body": sorted(declared)}))

    (trial,) = await try_sources(load_project(folder).sources, ProcessorsConfig())
    ((_, came),) = trial.results
    found = came.objects[0]["properties"]

    assert found["missing"] == []
    assert set(found["there"]) | {"window"} == declared


def test_settings_have_the_types_of_their_values() -> None:
    settings = {"n": 1.5, "on": True, "list": ["a", 1], "none": [], "deep": {"a-b": "x"}}

    assert declare_settings({"shop": settings, "bare": {}}) == (
        "/** Settings by source, as its source.toml has them. */\n"
        "interface SettingsOfSources {\n"
        '  "shop": { "n": number; "on": boolean; "list": (number | string)[]; "none": unknown[]; '
        '"deep": { "a-b": string } }\n'
        '  "bare": {}\n'
        "}\n"
        "type Settings<Source extends keyof SettingsOfSources> = SettingsOfSources[Source]\n"
    )


def test_declarations_are_renewed_but_a_compiler_configuration_is_kept(project: Path) -> None:
    (project / "tsconfig.json").write_text("{}")
    (project / "hookmill.d.ts").write_text("// old")

    code, output = run_hookmill("types", str(project))

    assert code == 0
    assert output.splitlines() == [str(project / "hookmill.d.ts"), str(project / "segment.pyi")]
    assert (project / "tsconfig.json").read_text() == "{}"
    assert "declare const Segment" in (project / "hookmill.d.ts").read_text()


def test_a_function_that_does_not_even_parse_is_no_obstacle(project: Path) -> None:
    (project / "sources" / "shop" / "function.ts").write_text("async function {")

    assert write_declarations(project)


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a project"):
        write_declarations(tmp_path)
