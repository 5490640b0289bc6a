"""A program: a runner pool at level strict that runs the hostile functions as user code, beside those of a neighbour.

Standard output: JSON `{"attack of language on whom": what it got}`; empty when all failed.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from processors.runtimes.confinement import Level
from processors.runtimes.contract import Code, Outcome
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.attacks.world import ALONE, names_in_javascript, names_in_python, world
from tests.processors.runtimes.languages import FILES, Twins, events, statuses, webhook

HERE: Final = Path(__file__).parent
TIMEOUT_MS: Final = 20_000
"""The searches of all memory take a second where nothing else runs."""

NEIGHBOUR: Final = Twins(
    "async function onRequest(request, settings) { globalThis.kept = settings }",
    "async def on_request(request, settings): globals()['kept'] = settings",
)
NEIGHBOURS_SECRET: Final = "neighbour's secret 4711"
# The pattern does not match itself, so that only what was the neighbour's is found.
SEARCH: Final = Twins(
    r"""
    const process = Buffer.constructor('return process')()
    async function onRequest(request, settings) {
      let loot = ''
      let rest = ''
      for await (const chunk of process.getBuiltinModule('v8').getHeapSnapshot()) {
        const found = /neighbour's[ ]secret \d+/.exec(rest + chunk)
        if (found) loot = found[0]
        rest = String(chunk).slice(-64)
      }
      Segment.track({event: 'search all memory', userId: 'attacker', properties: {loot}})
    }
    """,
    r"""
    import gc, re
    PATTERN = re.compile(r"neighbour's[ ]secret \d+")
    def texts(thing):
        if isinstance(thing, dict): yield from (text for pair in thing.items() for text in pair if type(text) is str)
        elif isinstance(thing, (list, tuple, set)): yield from (text for text in thing if type(text) is str)
    async def on_request(request, settings):
        # Those that the zygote froze are among them only when thawed.
        gc.unfreeze()
        found = [text for thing in gc.get_objects() for text in texts(thing) if PATTERN.search(text)]
        segment.track(event='search all memory', user_id='attacker', properties={'loot': str(found) if found else ''})
    """,
)


def hostile(language: str, targets: dict[str, Any]) -> tuple[Code, list[str]]:
    """The hostile function with its targets, and its attacks."""
    text = (HERE / FILES[language]).read_text()
    names = names_in_javascript(text) if language == "javascript" else names_in_python(text)
    site = targets["readable"] if language == "python" else None
    return Twins(text, text).code(language, settings=targets, site=site, timeout_ms=TIMEOUT_MS), names


async def attack(pool: ProcessPool, code: Code, names: Sequence[str], whom: str) -> dict[str, str]:
    """What got through, or went otherwise than failing."""
    alone = [[name] for name in names if name in ALONE]
    seen: dict[str, str] = {}
    for group in ([name for name in names if name not in ALONE], *alone):
        outcomes = await pool.run(code, [webhook({"attack": name}) for name in group])
        loot = {f"{name} of {whom} in {code.language}": got(o) for name, o in zip(group, outcomes, strict=True)}
        seen |= {name: text for name, text in loot.items() if text}
    return seen


def got(outcome: Outcome) -> str:
    """Empty if the attack ran, and failed."""
    if outcome.status != "ok":
        return f"{outcome.status}: {outcome.error}"
    return str(events(outcome)[0]["properties"]["loot"])


async def main() -> dict[str, str]:
    """All attacks on the stage itself, and on a runner of another source."""
    with world() as (files, victim, targets):
        targets["victim"] = os.getpid()  # what listens is another process, and has forked from this one
        async with ProcessPool(node=None, max_runners=4, idle_s=60, isolation=Level.STRICT) as pool:
            seen: dict[str, str] = {}
            for language in FILES:
                neighbour = NEIGHBOUR.code(language, settings={"secret": NEIGHBOURS_SECRET})
                others = set(pool.pids)
                await pool.run(neighbour, [webhook()])
                [runner] = set(pool.pids) - others
                code, names = hostile(language, targets)
                seen |= await attack(pool, code, names, "the stage")
                code, _ = hostile(language, {**targets, "victim": runner})
                seen |= await attack(pool, code, [name for name in names if "parent" in name], "a neighbour")
                seen |= await attack(pool, SEARCH.code(language, timeout_ms=TIMEOUT_MS), ["search"], "a neighbour")
                if statuses(await pool.run(neighbour, [webhook(), webhook()])) != ["ok", "ok"]:
                    seen[f"neighbour in {language}"] = "not served any more"
        seen |= dict.fromkeys(victim.witnessed(), "witnessed")
        if files.have_changed():
            seen["files"] = "changed"
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
