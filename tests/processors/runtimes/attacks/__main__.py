"""Makes the tables of docs/isolation.md anew: `python -m tests.processors.runtimes.attacks`, as root."""

import re
import shutil
from pathlib import Path

from tests.processors.runtimes.attacks.levels import run_as, table, users

DOCUMENT = Path(__file__).parents[4] / "docs" / "isolation.md"

node = shutil.which("node")
assert node is not None, "Node.js is needed"
text = DOCUMENT.read_text()
for user in users():
    begin = f"<!-- {user} -->\n"
    text = re.sub(f"{re.escape(begin)}(\\|.*\n)*", begin + table(run_as(user, node)), text)
DOCUMENT.write_text(text)
