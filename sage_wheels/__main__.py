"""`python -m sage_wheels` is the command line."""

from __future__ import annotations

import sys

from sage_wheels.cli import main

sys.exit(main())
