"""What a run says while it works."""

import sys


class Reporter:
    """Receives the lines and the progress of a run. This one prints the lines; a subclass may show progress, too."""

    def note(self, line: str) -> None:
        """What the user should know beside results and failures, such as skipped files."""
        print(line, file=sys.stderr)

    def result(self, line: str) -> None:
        """A result was written, or kept."""
        print(line)

    def error(self, problem) -> None:
        """A picture failed; the run goes on."""
        print(f"error: {problem}", file=sys.stderr)

    def tile(self, share: float) -> None:
        """A tile of a picture, or of a frame, was computed: this share of its work."""

    def frame(self, done: int, count: int) -> None:
        """`done` of the `count` frames of an animation or a clip are done."""

    def picture(self) -> None:
        """A picture is done, kept or failed."""
