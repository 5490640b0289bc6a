"""A function that fails once is run again, with nothing but the project folder and `hookmill dev`."""

import json
import subprocess
from pathlib import Path

from tests.processes import Process, dev_urls, started, wait_until

FUNCTION = """
let calls = 0
async function onRequest(request) {
  calls += 1
  if (calls === 1) throw new RetryError('not yet')
  Segment.track({ event: 'Delivered', userId: 'u-1', properties: { calls } })
}
"""
IMPATIENT = {"HOOKMILL_RETRY__DELAYS_S": "0.5,1,1,1,1"}


def test_dev_delivers_on_the_second_try_what_failed_once(tmp_path: Path) -> None:
    source = tmp_path / "sources" / "shop"
    source.mkdir(parents=True)
    (source / "source.toml").write_text('function = "function.js"\ntimeout_ms = 10000\n')
    (source / "function.js").write_text(FUNCTION)
    (tmp_path / "sinks.toml").write_text('[lines]\nkind = "jsonl"\n')
    dev = Process(["dev", str(tmp_path), "--port", "0"], tmp_path / "dev", IMPATIENT)

    with started(dev):
        url = dev_urls(dev)["shop"]
        answer = subprocess.run(["curl", "-s", "-d", "{}", url], capture_output=True, timeout=60, check=True)
        wait_until(lambda: '"Delivered"' in dev.stdout, 60, "the event of the second delivery")
        wait_until(lambda: "shop  ok  1 event" in dev.stderr, 60, "its line")
        code, _ = dev.stop()

    request_id = json.loads(answer.stdout)["request_id"]
    [first, second] = [line for line in dev.stderr.splitlines() if request_id in line]
    assert first.startswith("shop  error")
    assert first.endswith(f"{request_id}  -> retry in 0.5 s")
    assert second.startswith("shop  ok  1 event")
    assert "RetryError: not yet" in dev.stderr
    [event] = [json.loads(line) for line in dev.stdout.splitlines()]
    assert event["properties"] == {"calls": 2}
    assert code == 0
