"""The interface for messages and progress of a run."""

import sys


class Reporter:
    """Receives the messages and the progress of a run. This class prints messages; subclasses may show progress."""

    def note(self, line: str) -> None:
        """Other information for the user, such as skipped files."""
        print(line, file=sys.stderr)

    def result(self, line: str) -> None:
        """A result was written, or kept."""
        print(line)

    def error(self, problem) -> None:
        """A picture failed; the run goes on."""
        print(f"error: {problem}", file=sys.stderr)

    def tile(self, share: float) -> None:
        """A tile was computed, which is this share of the work of its picture or frame."""

    def frame(self, done: int, count: int) -> None:
        """`done` of the `count` frames of an animation or a clip are finished."""

    def picture(self) -> None:
        """A picture was made, kept or failed."""
