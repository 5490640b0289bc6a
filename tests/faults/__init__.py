"""The fault harness: real processes under faults, and proof that every webhook ended exactly once.

| module | holds |
| --- | --- |
| `workload` | what webhook number n is, from the seed alone: source, object, size, fate; and the oracle of objects |
| `ledger` | the file of everything sent and answered, and what it says |
| `load` | the provider: posts every webhook until it is accepted, an object's webhooks one after the other |
| `mill` | a project on a log of its own, and a process per stage, started, stopped and killed by name |
| `cluster` | three Kafka brokers, stopped and killed one by one (one broker: `console.broker.LocalKafka`) |
| `outages` | a load that lasts as long as its test, until when webhooks are accepted again, and how long none was |
| `usage` | memory and descriptors of a process |
| `kills` | kills in random turn while something runs |
| `points` | named points at which a process ends, and the program that does |
| `checker` | joins ledger, warehouse, dead letters and books; names what is lost, doubled, invented or different |
| `repeats` | how much work was done more than once, and when it stood still, from the log |

A row is a test like this one:

    @pytest.mark.faults
    async def test_nothing_accepted_is_lost_by_a_receiver_that_is_killed(
        tmp_path: Path, engine: str | None, seed: int
    ) -> None:
        mill = await install_mill(tmp_path, engine, Workload(seed, webhooks=2_000))
        with mill.running(), Ledger(tmp_path / "ledger") as ledger:
            async with kills(mill, ["ingest"], seed, every_s=(2, 3)) as done:
                await load(mill, ledger, rate=400)
            await mill.settled(ledger)
            await mill.stop()
        findings = await check(mill, ledger)
        assert not findings.problems
        print(f"row 2: {done.kills} kills, {findings.figures}")

`engine`, `seed` and `is_short` are fixtures: the test runs on the embedded log and on Kafka, and prints its seed;
`TEST_SEED` repeats one. Put the figure that the row reached last, in a line that begins with the row's number:
`make faults` shows these lines. Short forms carry `faults`, full ones `faults_long` (see the Makefile).
"""
