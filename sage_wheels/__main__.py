"""`python -m sage_wheels` is the command line.

As in build/bin/sage-wheels, Ctrl-C during the imports ends with one sentence, too, and not with a traceback.
"""

from __future__ import annotations

import os
import sys

try:
    from sage_wheels.cli import main

    sys.exit(main())
except KeyboardInterrupt:
    os.write(2, b"sage-wheels: interrupted; nothing was changed\n")
    sys.exit(130)
except (MemoryError, SystemError, OSError) as error:  # without memory, Python does not always raise the first
    if isinstance(error, OSError) and error.errno != 12:  # ENOMEM, of a directory in which a module was looked for
        raise
    os.write(2, b"sage-wheels: error: there is too little memory to start; free some and run the command again\n")
    sys.exit(1)
