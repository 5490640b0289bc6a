"""TypeScript and imports: one script that does what the files say, errors at the places where they were written."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from console.bundle import needs_bundling
from console.project import Project, load_project
from console.trial import Produced, try_sources
from hookmill.config import ProcessorsConfig
from hookmill.errors import ConfigError
from tests.console.projects import make_project, npm_tool

TYPESCRIPT = {
    "sources/shop/source.toml": 'function = "function.ts"\ntimeout_ms = 10000\n',
    "sources/shop/function.ts": """\
import { label } from './lib/label'
import { euros } from "../../shared/money.js"
import type { Order } from './lib/order'

enum Kind { Paid = 'Order Paid', Open = 'Order Opened' }

async function onRequest(request: any, settings: Record<string, string>): Promise<void> {
  const order = request.json() as Order
  const event: string = order.paid ? Kind.Paid : Kind.Open
  Segment.track({ event, userId: label(order), properties: { value: euros(order.cents) } })
  if (order.cents < 0)
    throw new RangeError('less than nothing')
}

declare const Segment: any
""",
    "sources/shop/lib/order.ts": "export interface Order { name: string; cents: number; paid?: boolean }\n",
    "sources/shop/lib/label.ts": """\
import type { Order } from './order'

// A name that the function has too: each keeps its own.
export function onRequest(): never { throw new Error('the wrong one') }

export const label = (order: Order): string => {
  return order.name.toUpperCase()
}
""",
    "shared/money.js": "export function euros(cents) {\n  return cents / 100\n}\n",
}


@pytest.fixture(autouse=True)
def esbuild(monkeypatch: pytest.MonkeyPatch) -> None:
    """esbuild is on the PATH."""
    monkeypatch.setenv("PATH", f"{npm_tool('esbuild').parent}:/usr/local/bin:/usr/bin:/bin")


def project_of(tmp_path: Path, files: Mapping[str, str]) -> Project:
    return load_project(make_project(tmp_path, files))


async def produced(tmp_path: Path, files: Mapping[str, str], body: str) -> Produced:
    project = project_of(tmp_path, {**files, "sources/shop/examples/x.json": f'{{"body": {body}}}'})
    (trial,) = await try_sources(project.sources, ProcessorsConfig())
    assert trial.load_error is None, trial.load_error
    ((_, came),) = trial.results
    return came


async def test_typescript_with_imports_runs(tmp_path: Path) -> None:
    came = await produced(tmp_path, TYPESCRIPT, '{"name": "ada", "cents": 1250, "paid": true}')

    assert came.report.error is None
    (event,) = came.events
    assert (event["event"], event["userId"], event["properties"]) == ("Order Paid", "ADA", {"value": 12.5})


async def test_an_error_is_told_where_it_was_written(tmp_path: Path) -> None:
    came = await produced(tmp_path, TYPESCRIPT, '{"name": "ada", "cents": -1}')

    assert came.report.error is not None
    assert (came.report.error.kind, came.report.error.line) == ("RangeError", 12)
    assert "(function.ts:12:11)" in came.report.error.stack


async def test_an_error_of_a_helper_names_the_helper_and_the_line_that_called_it(tmp_path: Path) -> None:
    came = await produced(tmp_path, TYPESCRIPT, '{"cents": 1}')

    assert came.report.error is not None
    assert came.report.error.line == 10
    assert [re.sub(r".*\((.*)\)", r"\1", frame) for frame in came.report.error.stack.splitlines()[1:]] == [
        "lib/label.ts:7:21",
        "function.ts:10:34",
    ]


async def test_stacks_in_the_log_name_the_places_that_were_written(tmp_path: Path) -> None:
    function = """\
type Nothing = undefined

async function onRequest(): Promise<void> {
  console.log(new Error('printed'))
  Promise.reject(new Error('left alone'))
  await new Promise((resolve) => setTimeout(resolve, 20))
}
"""
    came = await produced(tmp_path, {**TYPESCRIPT, "sources/shop/function.ts": function}, "1")

    printed, uncaught = (line.text for line in came.report.logs)
    assert "(function.ts:4:15)" in printed
    assert "(function.ts:5:18)" in uncaught


async def test_javascript_with_imports_and_an_exported_handler_runs(tmp_path: Path) -> None:
    files = {
        "sources/shop/source.toml": 'function = "function.js"\ntimeout_ms = 10000\n',
        "sources/shop/function.js": (
            "import rates from './rates.json'\n"
            "import { total } from './total'\n"
            "export const onRequest = async (request) => {\n"
            "  undeclared = 1\n"  # sloppy, as a function without imports is
            "  Segment.set({ collection: 'orders', id: 1, properties: { total: total(request.json(), rates.eur) } })\n"
            "}\n"
        ),
        "sources/shop/rates.json": '{"eur": 2}',
        "sources/shop/total.js": "export function total(amounts, rate) { return _sum(amounts) * rate }\n"
        "const _sum = (amounts) => amounts.reduce((a, b) => a + b, 0)\n",
    }

    came = await produced(tmp_path, files, "[1, 2, 3]")

    assert came.report.error is None
    assert came.objects[0]["properties"] == {"total": 12}


async def test_a_bundle_without_a_handler_says_so(tmp_path: Path) -> None:
    helper = {"sources/shop/lib/label.ts": "export function onRequest() {}\nexport const label = 1\n"}
    function = {"sources/shop/function.ts": "import { label } from './lib/label'\nconsole.log(label)\n"}
    project = project_of(tmp_path, {**TYPESCRIPT, **helper, **function, "sources/shop/examples/x.json": '{"body": 1}'})

    (trial,) = await try_sources(project.sources, ProcessorsConfig())

    assert trial.load_error is not None
    assert trial.load_error.kind == "NoHandler"
    assert "function.ts" in trial.load_error.message


def test_the_same_files_are_the_same_version_wherever_they_are(tmp_path: Path) -> None:
    versions = {project_of(tmp_path / name, TYPESCRIPT).sources[0].function.version for name in ("a", "b/c")}

    assert len(versions) == 1


def test_a_change_of_an_imported_file_is_a_new_version(tmp_path: Path) -> None:
    (before,) = project_of(tmp_path, TYPESCRIPT).sources

    (after,) = project_of(tmp_path, {**TYPESCRIPT, "shared/money.js": "export const euros = (c) => c / 200\n"}).sources

    assert before.function.version != after.function.version


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("import a from 'lodash'", 'imports the package "lodash"'),
        ("import a from 'node:crypto'", 'imports the package "node:crypto"'),
        ("export { a } from '@scope/a'", 'imports the package "@scope/a"'),
        ("import { a } from '../other/a'", "which is neither in"),
        ("import { a } from '../../../outside'", "which is neither in"),
        ("import { a } from './link'", "which is neither in"),
        ("import { a } from './absent'", 'Could not resolve "./absent"'),
    ],
)
def test_an_import_that_is_not_allowed_is_refused(tmp_path: Path, statement: str, complaint: str) -> None:
    (tmp_path / "outside.ts").write_text("export const a = 1\n")
    files = {**TYPESCRIPT, "sources/other/a.ts": "export const a = 1\n"}
    files["sources/shop/function.ts"] = f"{statement}\nasync function onRequest() {{ console.log(a) }}\n"
    folder = make_project(tmp_path / "project", files)
    (folder / "sources" / "shop" / "link.ts").symlink_to(tmp_path / "outside.ts")

    with pytest.raises(ConfigError, match=re.escape(complaint)) as refused:
        load_project(folder)

    assert "sources/shop/function.ts" in str(refused.value)


def test_a_syntax_error_shows_file_line_column_and_the_line(tmp_path: Path) -> None:
    broken = {"sources/shop/lib/label.ts": "export const label = 1\nlet a: string b\n"}

    with pytest.raises(ConfigError, match=re.escape("lib/label.ts:2:14:")) as refused:
        project_of(tmp_path, {**TYPESCRIPT, **broken})

    assert "let a: string b\n" in str(refused.value)
    assert "^" in str(refused.value)


def test_an_esbuild_of_the_project_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_project(tmp_path, TYPESCRIPT)
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    (folder / "node_modules" / ".bin").mkdir(parents=True)
    (folder / "node_modules" / ".bin" / "esbuild").symlink_to(npm_tool("esbuild"))

    assert load_project(folder).sources[0].function.language == "javascript"


def test_without_esbuild_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ConfigError, match="npm install --save-dev esbuild"):
        project_of(tmp_path, TYPESCRIPT)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("import a from './a'", True),
        ("  import {a} from './a'", True),
        ("import{a}from'./a'", True),
        ("import * as a from './a'", True),
        ("import './a'", True),
        ("export async function onRequest() {}", True),
        ("export { onRequest }", True),
        ("exports.processEvents = () => 1", False),
        ("important = 1", False),
        ("// import a from './a'", False),
        ("const a = 'import'", False),
    ],
)
def test_only_imports_and_exports_need_bundling(line: str, answer: bool) -> None:
    assert needs_bundling("function.js", f"let b\n{line}\n") is answer
