"""The dashboard: every query of it brings data from a real run that a real Prometheus scraped."""

import asyncio
import contextlib
import json
import math
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.samples import choose_sample
from console.tokens import TokenFile
from hookmill.config import Config
from hookmill.log import open_log
from hookmill.records import NewRecord
from hookmill.topics import Topic
from tests.deploy.compose_file import read_yaml, services
from tests.deploy.prometheus_server import CONFIG, Prometheus
from tests.processes import QUICKSTART, ROOT, Process, free_port, run_hookmill, started, wait_until

GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "hookmill.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]

PAUSE_BETWEEN_WEBHOOKS_S = 0.1
DATA_DEADLINE_S = 60.0
IMPATIENT = {"HOOKMILL_RETRY__DELAYS_S": "0.1,0.1,0.1,0.1,0.1"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrapes a pipeline that gets good, bad and refused webhooks all the time."""
    folder = tmp_path_factory.mktemp("run")
    project, data_dir = folder / "project", folder / "data"
    shutil.copytree(QUICKSTART, project, ignore=shutil.ignore_patterns(".hookmill"))
    options = ["--data-dir", str(data_dir)]
    for job in (["topics", "ensure"], ["apply", str(project)]):
        code, output = run_hookmill(*job, *options)
        assert code == 0, output
    port = free_port()
    stages = {
        "ingest:8081": Process(["ingest", "--port", str(port), *options], folder / "ingest"),
        "process:8082": Process(["process", *options], folder / "process", IMPATIENT),
        "sink:8083": Process(["sink", *options], folder / "sink"),
        "mover:8084": Process(["mover", *options], folder / "mover", IMPATIENT),
    }
    with started(*stages.values()):
        asyncio.run(send_what_no_sink_can_read(data_dir))
        targets = {name: stage.admin.removeprefix("http://") for name, stage in stages.items()}
        with Prometheus(folder, targets) as server, webhooks_coming_in(f"http://127.0.0.1:{port}", project):
            yield server


async def send_what_no_sink_can_read(data_dir: Path) -> None:
    """A dead letter for each sink: no function can send this, since what functions send is checked before."""
    config = Config(data_dir=data_dir)
    async with open_log(config).sender() as sender:
        await sender.send(config.topics.names.full(Topic.EVENTS), [NewRecord(value=b"not JSON")])


@contextlib.contextmanager
def webhooks_coming_in(url: str, project: Path) -> Iterator[None]:
    """The sample of each source, one refused, one retried, and one with a token nobody knows: again and again."""
    tokens = TokenFile(project)
    samples = {slug: choose_sample(project, slug, None, None).body for slug in ("drift", "pipedrive", "zuora")}
    posts = [(tokens.get(slug), body) for slug, body in samples.items()]
    posts += [(tokens.get("drift"), b"{}"), (tokens.get("drift"), b"not JSON"), ("unknown", b"{}")]
    is_over = threading.Event()

    def post_all() -> None:
        while not is_over.wait(PAUSE_BETWEEN_WEBHOOKS_S):
            for token, body in posts:
                post(f"{url}/v1/webhooks/{token}", body)

    thread = threading.Thread(target=post_all)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def mounts(service: dict[str, Any]) -> list[str]:
    """Its folders of the repository, each `outside:inside:mode`."""
    return [volume for volume in service["volumes"] if volume.startswith("./")]


def post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=60):
        pass


@pytest.mark.parametrize(("panel", "query"), QUERIES, ids=[f"{title}: {query}" for title, query in QUERIES])
def test_every_query_brings_data(prometheus: Prometheus, panel: str, query: str) -> None:
    """A value that is a number: the quantile of a histogram in which nothing happened is none."""
    query = query.replace("$__rate_interval", "4s")
    assert "$" not in query

    def has_data() -> bool:
        return any(math.isfinite(value) for value in prometheus.query(query))

    wait_until(has_data, DATA_DEADLINE_S, f"{panel} has data: {query}")


def test_alerts_on_dead_letters_fire_and_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    def firing() -> set[str]:
        return {rule["name"] for rule in prometheus.rules() if rule.get("state") == "firing"}

    wait_until(
        lambda: {"HookmillDeadLetters", "HookmillSinkDeadLetters"} == firing(), DATA_DEADLINE_S, "the alerts fire"
    )
    wait_until(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, DATA_DEADLINE_S, "every rule is ok")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_source(panel: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert panel["title"]
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert [source["datasource"] for source in (panel, *panel["targets"])] == [chosen] * (1 + len(panel["targets"]))
    assert all(target["legendFormat"] for target in panel["targets"])


def test_the_source_of_the_data_is_a_variable() -> None:
    assert [(variable["name"], variable["type"]) for variable in DASHBOARD["templating"]["list"]] == [
        ("datasource", "datasource")
    ]


def test_rates_are_over_the_interval_that_grafana_derives_from_the_scrape_interval() -> None:
    ranges = [window for _, query in QUERIES for window in re.findall(r"\[(.*?)\]", query)]
    source = read_yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"][0]

    assert set(ranges) == {"$__rate_interval"}
    assert source["jsonData"]["timeInterval"] == read_yaml(CONFIG)["global"]["scrape_interval"]


def test_grafana_finds_the_dashboard_where_compose_mounts_it() -> None:
    grafana = services()["grafana"]
    mounted = {inside: ROOT / outside for outside, inside, _ in (line.split(":") for line in mounts(grafana))}
    provider = read_yaml(GRAFANA / "provisioning" / "dashboards" / "hookmill.yml")["providers"][0]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert mounted["/etc/grafana/provisioning"] == GRAFANA / "provisioning"
    assert mounted[provider["options"]["path"]] == GRAFANA / "dashboards"
    assert (mounted[str(home.parent)] / home.name).is_file()


def test_panels_do_not_overlap_and_their_ids_are_unique() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
