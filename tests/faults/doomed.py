"""A stage that ends at a named point: `python -m tests.faults.doomed <point> <seconds> <command> ...`."""

import gc
import sys


def main() -> None:
    gc.disable()  # as `console.main`
    from console.main import main as run
    from tests.faults.points import arm

    _, point, after_s, *arguments = sys.argv
    arm(point, float(after_s))
    sys.argv = ["hookmill", *arguments]
    run()


if __name__ == "__main__":
    main()
