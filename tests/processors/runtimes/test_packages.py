"""Installed packages that the operator gives to all functions of a language."""

from pathlib import Path

import pytest

from hookmill.config import load_config
from hookmill.errors import ConfigError
from processors.runtimes.contract import Code, Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import webhook


async def test_functions_of_each_language_have_the_packages_of_the_stage(tmp_path: Path) -> None:
    lodash = tmp_path / "node_modules" / "lodash"
    lodash.mkdir(parents=True)
    (lodash / "index.js").write_text("module.exports = { size: (list) => list.length }")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "money.py").write_text("CURRENCY = 'EUR'\n")
    javascript = "onRequest = () => Segment.identify({ userId: `${_.size([1, 2])}` })"
    python = "import money, segment\ndef on_request(r, s):\n    segment.identify(user_id=money.CURRENCY)\n"
    config = load_config(
        {"processors": {"javascript_packages": tmp_path / "node_modules", "python_packages": tmp_path / "site"}}
    )

    async with ProcessPool(None, max_runners=2, idle_s=60, packages=config.processors.packages) as pool:
        [in_javascript] = await pool.run(
            Code("a", "1", "javascript", "function.js", javascript, timeout_ms=10_000), [webhook()]
        )
        [in_python] = await pool.run(Code("b", "1", "python", "function.py", python, timeout_ms=10_000), [webhook()])

    assert (in_javascript.status, in_python.status) == (Status.OK, Status.OK), (in_javascript, in_python)
    assert b'"userId":"2"' in bytes(in_javascript.events[0])
    assert b'"userId":"EUR"' in bytes(in_python.events[0])


def test_a_folder_of_packages_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PYTHON_PACKAGES"):
        load_config({"processors": {"python_packages": tmp_path / "missing"}})
