"""What a process uses, as Linux tells it."""

from pathlib import Path


def peak_rss_mib(pid: int) -> float:
    """The most memory it ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1_024


def open_descriptors(pid: int) -> int:
    """Files, sockets and the like that it has open now."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
