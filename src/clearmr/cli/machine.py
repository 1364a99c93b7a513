"""On what, and with which code, a number was made: for results that are kept."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import clearmr


def made_with() -> dict[str, Any]:
    """Provenance of a measurement: "commit" (None outside a checkout) and "machine"."""
    return {"commit": commit(), "machine": machine()}


def commit() -> str | None:
    """The commit of the code that runs, marked where files differ from it; None where it is no checkout."""
    root = checkout()
    if root is None:
        return None
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src")
    return f"{head} with changes" if head and changed else head


def checkout() -> Path | None:
    """The repository that the running code lies in, if any."""
    root = Path(clearmr.__file__).resolve().parents[2]
    return root if (root / ".git").exists() and (root / "src" / "clearmr").is_dir() else None


def machine() -> dict[str, Any]:
    """CPU, its cores, memory in GB of 2^30 bytes, GPU, versions of Python and torch."""
    import torch

    found: dict[str, Any] = {"cpu": _cpu(), "cores": os.cpu_count(), "memory_gb": _memory()}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return {**found, "python": platform.python_version(), "torch": torch.__version__}


def said(found: dict[str, Any]) -> str:
    """The machine in words."""
    memory = f", {found['memory_gb']} GB" if found.get("memory_gb") else ""
    gpu = f", {found['gpu']}" if found.get("gpu") else ", no GPU"
    return f"{found.get('cores')} cores of {found.get('cpu')}{memory}{gpu}, torch {found.get('torch')}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> float | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _git(root: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
