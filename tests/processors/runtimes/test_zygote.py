"""The zygote of a pool that ends meanwhile."""

import subprocess
import sys

from tests.processes import ROOT, clean_environment

_LEFT_ALONE = """
import socket, sys
sys.path += sys.argv[1:]
from hookmill_runtime.zygote import Zygote
control, pool = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
pool.close()
print(Zygote(control).serve())
"""


def test_a_zygote_ends_quietly_when_it_has_nobody_to_tell() -> None:
    runtimes = ROOT / "processors" / "runtimes"
    command = [sys.executable, "-c", _LEFT_ALONE, str(runtimes / "python"), str(runtimes)]

    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.stderr) == ("None\n", "")
