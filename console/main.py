"""The program `hookmill`."""

import gc


def main() -> None:
    """Entry point: the command of `console.cli`, loaded without collections.

    Nothing of what is imported is garbage, and looking for some takes a tenth of a start. They begin with the event
    loop (`console.command.run_async`).
    """
    gc.disable()
    from console.cli import main as run

    run()
