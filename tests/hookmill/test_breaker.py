"""The breaker, by example and as a state machine."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import capture_logs

from hookmill.breaker import TRIAL, Breaker, State


def test_after_a_failure_a_few_try_and_everything_else_waits_until_one_of_them_succeeds() -> None:
    breaker = Breaker("sink crm")
    before = breaker.admit(5_000)
    breaker.failed("connection refused")
    trial, others = breaker.admit(5_000), breaker.admit(5_000)
    breaker.succeeded()

    assert (before, trial, others, breaker.admit(5_000)) == (5_000, TRIAL, 0, 5_000)


def test_a_failed_trial_is_followed_by_another() -> None:
    breaker = Breaker("sink crm")
    breaker.failed("refused")
    breaker.admit(1)
    breaker.failed("refused")

    assert breaker.state is State.OPEN
    assert breaker.admit(3) == 3


def test_one_line_tells_that_it_opened_and_one_that_it_closed() -> None:
    breaker = Breaker("sink crm")
    with capture_logs() as lines:
        for _ in range(3):
            breaker.admit(1)
            breaker.failed("connection refused")
        breaker.admit(1)
        breaker.succeeded()
        breaker.succeeded()

    told = [line for line in lines if line["log_level"] != "debug"]
    assert [(line["event"], line["of"]) for line in told] == [
        ("breaker.opened", "sink crm"),
        ("breaker.closed", "sink crm"),
    ]
    assert told[0]["reason"] == "connection refused"


class BreakerMachine(RuleBasedStateMachine):
    """Any number of users at once, who end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[State] = []
        self.breaker = Breaker("x", self.shown.append)
        self.using = 0

    @rule(wanted=st.integers(1, 1_000))
    def use(self, wanted: int) -> None:
        state = self.breaker.state
        admitted = self.breaker.admit(wanted)
        expected = {State.CLOSED: wanted, State.OPEN: min(wanted, TRIAL), State.HALF_OPEN: 0}
        assert admitted == expected[state]
        self.using += bool(admitted)

    @rule(is_there=st.booleans())
    def end(self, is_there: bool) -> None:
        if self.using:
            self.using -= 1
            (self.breaker.succeeded if is_there else lambda: self.breaker.failed("away"))()
            assert self.breaker.state is (State.CLOSED if is_there else State.OPEN)

    @invariant()
    def what_is_shown_is_true(self) -> None:
        assert self.shown[-1] is self.breaker.state

    @invariant()
    def a_trial_is_always_somebodys(self) -> None:
        assert self.breaker.state is not State.HALF_OPEN or self.using > 0


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
