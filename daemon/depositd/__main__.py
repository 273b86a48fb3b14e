"""``python -m depositd`` is the command ``depositd``."""

from __future__ import annotations

from depositd.cli import main

if __name__ == "__main__":
    main()
