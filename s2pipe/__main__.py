"""``python -m s2pipe``."""

from s2pipe.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
