"""`srgan-demo` as a user sees it in a browser."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT, browser
from srgan_tf.commands import demo, start
from srgan_tf.upscaling.upscaler import Upscaler


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.long
def test_a_dropped_picture_is_enlarged_compared_and_downloaded_in_its_format(small_model, tmp_path):
    pytest.importorskip("gradio", reason="needs gradio: pip install gradio")
    from srgan_tf.commands import demo_page

    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.webp", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    Image.new("RGB", (40, 30)).save(tmp_path / "wide.png")
    (tmp_path / "text.png").write_text("no picture")
    page = demo_page.Page([str(small_model)], pixels=1000)
    with page.served("127.0.0.1", free_port()) as address, browser.chromium() as chromium:
        with browser.page(chromium, address, width=390, host=address) as seen:
            assert seen.get_by_role("button", name="Enlarge").is_disabled()
            seen.set_input_files("input[type=file]", tmp_path / "cat.webp")
            seen.get_by_label(str(small_model)).click()
            seen.get_by_role("button", name="Enlarge").click()
            seen.get_by_text(re.compile("12 × 9 → 48 × 36 pixels")).wait_for(timeout=60_000)
            assert seen.locator(".slider-wrap img, .slider img").count() >= 1
            with seen.expect_download() as download:
                seen.get_by_text("Download").click()
            assert download.value.suggested_filename == "cat_x4.webp"
            found = Image.open(download.value.path())
            np.testing.assert_array_equal(np.asarray(found), Upscaler(small_model)(pixels))
            assert seen.evaluate("document.documentElement.scrollWidth") == 390

            for name, problem in (
                ("wide.png", "wide.png: too large for this page: 40 x 30 pixels"),
                ("text.png", "text.png: not an image"),
            ):
                seen.get_by_label("Remove Image").click()
                seen.set_input_files("input[type=file]", tmp_path / name)
                seen.get_by_role("button", name="Enlarge").click()
                seen.get_by_text(problem).wait_for()


def test_a_picture_or_a_result_too_large_for_the_page_is_refused_with_its_size_and_leaves_nothing(tmp_path):
    gradio = pytest.importorskip("gradio", reason="needs gradio: pip install gradio")
    from srgan_tf.commands import demo_page

    exif = Image.Exif()
    exif[0x0112] = 6  # 4 x 100 upright
    Image.new("RGB", (100, 4)).save(tmp_path / "tall.jpg", exif=exif)
    Image.new("RGB", (4000, 1)).save(tmp_path / "wide.png")
    Image.new("RGB", (100, 100)).save(tmp_path / "large.png")
    made = tmp_path / "made"
    made.mkdir()
    for name, size, problem in (
        ("large.png", "4x", "large.png: too large for this page: 100 x 100 pixels. Use srgan-upscale"),
        ("wide.png", "3840 pixels wide", "wide.png: already 4000 pixels wide. Choose 2x, 3x or 4x."),
        ("tall.jpg", "3840 pixels wide", "tall.jpg: the result would be too large for this page: 3840 x 96000 pixels"),
        ("gone.png", "4x", "gone.png: no such file"),
    ):
        with pytest.raises(gradio.Error, match=f"^'{problem}"):
            demo_page.Page(pixels=5000)._enlarge(made, str(tmp_path / name), "srgan", 0.5, size, lambda *_, **__: None)
    assert not list(made.iterdir())


def test_an_unexpected_error_is_named_on_the_page(tmp_path, monkeypatch):
    gradio = pytest.importorskip("gradio", reason="needs gradio: pip install gradio")
    from srgan_tf.commands import demo_page

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo_page.Page, "_result", full)
    with pytest.raises(gradio.Error, match="^'x.png: No space left on device. The terminal shows more."):
        demo_page.Page(pixels=5000)._enlarge(tmp_path, "a/x.png", "srgan", 0.5, "4x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["cat.png"], "cat.png: not a flag. Open the page and drop the picture there."),
        (["--model", "no"], "--model no: neither a shipped model nor a folder."),
        (["--port", "0"], "--port=0: "),
    ],
)
def test_wrong_flags_are_refused_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        start(demo.main, ["srgan-demo", *arguments])
    errors = capsys.readouterr().err
    assert end.value.code == 2 and errors.startswith(f"error: {message}") and errors.count("\n") == 1


@pytest.mark.parametrize(
    "proxy, end",
    [({"http_proxy": "http://127.0.0.1:9"}, "SIGTERM"), ({"ALL_PROXY": "socks5://127.0.0.1:9"}, "SIGHUP")],
    ids=str,
)
def test_the_page_starts_behind_a_proxy_and_deletes_its_pictures_when_it_is_ended(proxy, end, tmp_path):
    pytest.importorskip("gradio", reason="needs gradio: pip install gradio")
    environment = {**os.environ, **proxy, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    program = "from srgan_tf.commands import demo; demo.run()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--port", str(free_port())],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # these tests may run under nohup
    )
    said = process.stdout.readline()
    assert said.startswith("open http://127.0.0.1:") and list(tmp_path.glob("srgan_tf-*")), process.communicate()
    process.send_signal(getattr(signal, end))
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 0
    assert not list(tmp_path.glob("srgan_tf-*"))


@pytest.mark.parametrize(
    "host, message",
    [
        ("127.0.0.1", "--port {port}: cannot listen on 127.0.0.1, port {port}. Choose another --port."),
        ("no.such.host.invalid", "--host no.such.host.invalid: not an address of this machine ("),
        ("192.0.2.250", "--host 192.0.2.250: not an address of this machine ("),  # reserved for documentation
        ("a..b", "--host a..b: not an address of this machine ("),
    ],
)
def test_an_address_or_a_port_that_cannot_be_used_is_named_in_one_line(host, message, run_command, monkeypatch):
    pytest.importorskip("gradio", reason="needs gradio: pip install gradio")
    monkeypatch.setenv("no_proxy", "")  # the command sets it, and handlers
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        status, out, err = run_command(demo, "--host", host, "--port", port)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message.format(port=port)}")


def test_the_page_may_have_an_ipv6_address(monkeypatch):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("needs IPv6")
    monkeypatch.setenv("no_proxy", "*")
    pytest.importorskip("gradio", reason="needs gradio: pip install gradio")
    from srgan_tf.commands import demo_page

    with demo_page.Page(pixels=1000).served("::1", free_port()) as address:
        assert re.fullmatch(r"http://\[::1\]:\d+/", address)
        with urllib.request.urlopen(address) as page:
            assert page.status == 200


def test_without_gradio_the_package_to_install_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setenv("no_proxy", "")  # the command sets it
    with pytest.raises(SystemExit):
        start(demo.main, ["srgan-demo"])
    assert capsys.readouterr().err == 'error: gradio: not installed. Run `pip install "gradio>=6"`.\n'
