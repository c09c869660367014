"""Standard error is held back and given back."""

import os
import threading

import pytest

from srgan_tf import stderr
from srgan_tf.errors import UserError


def test_standard_error_is_back_after_threads_held_it_back(capfd):
    def hush():
        with stderr.held_back():
            os.write(2, b"of a library\n")
            barrier.wait()

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=hush) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"ours\n")
    assert capfd.readouterr().err == "ours\n"


@pytest.mark.parametrize("error, shown", [(ValueError, "of a library\n"), (UserError, "")])
def test_what_was_held_back_is_shown_where_a_bug_follows(capfd, error, shown):
    with pytest.raises(error), stderr.held_back():
        os.write(2, b"of a library\n")
        raise error("x")
    assert capfd.readouterr().err == shown
