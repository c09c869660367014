"""What the user sees when something goes wrong."""

import os
import threading

import pytest

from srgan_tf.errors import UserError, one_line, stderr_held_back


def test_standard_error_is_back_after_threads_held_it_back(capfd):
    def hush():
        with stderr_held_back():
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
def test_standard_error_that_was_held_back_is_shown_when_a_bug_follows(capfd, error, shown):
    with pytest.raises(error), stderr_held_back():
        os.write(2, b"of a library\n")
        raise error("x")
    assert capfd.readouterr().err == shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("gnp.\u202egpj", r"gnp.\u202egpj"),
        ("\udcff\u2028\x9b", r"\udcff\u2028\x9b"),
        ("猫 👩\u200d🚀 é", "猫 👩\u200d🚀 é"),
        ("s3://KEY:SECRET@bucket/a.png", "s3://***@bucket/a.png"),
        (
            "no such file (http://me:pass@host:80/x?y), s3://K:S/T@b",
            "no such file (http://***@host:80/x?y), s3://***@b",
        ),
        ("s3://bucket/icon@2x.png http://host:8501/model@2", "s3://bucket/icon@2x.png http://host:8501/model@2"),
    ],
)
def test_text_from_outside_neither_steers_a_terminal_nor_shows_credentials(text, shown):
    assert one_line(text) == str(UserError(text)) == shown
