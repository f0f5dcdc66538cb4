"""How much memory a process has taken at most."""

from pathlib import Path


def peak_kb(pid: int | str = "self") -> int:
    """Since the process started, or since `reset_peak_kb`."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


def reset_peak_kb() -> int:
    """Forget the peak of this process; what it takes now."""
    Path("/proc/self/clear_refs").write_text("5")  # see proc_pid_clear_refs(5)
    return peak_kb()
