"""``python -m trickle_runtime``."""

from __future__ import annotations

from trickle_runtime.cli import main

main()
