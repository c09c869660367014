"""Progress bars for terminals of any size."""

import os
import sys

from tqdm import tqdm


def bar(*arguments, **options) -> tqdm:
    """A `tqdm` that follows the width of the terminal on standard error.

    tqdm hides its bars in a terminal without a size, such as that of `docker run -t`; here they get 79 columns.
    """
    try:
        columns, _ = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # no terminal
        columns = None
    return tqdm(*arguments, **options, **({"ncols": 79, "nrows": 24} if columns == 0 else {"dynamic_ncols": True}))
