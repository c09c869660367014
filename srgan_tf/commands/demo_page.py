"""The page of srgan-demo, with Gradio: it asks nothing of another machine, and keeps no picture."""

import contextlib
import errno
import functools
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image
from starlette.middleware import Middleware

from srgan_tf.errors import UserError, reason
from srgan_tf.images import animations, formats, reading
from srgan_tf.saved_models import zoo
from srgan_tf.upscaling import jobs
from srgan_tf.upscaling.reporter import Reporter
from srgan_tf.upscaling.sizes import Size
from srgan_tf.upscaling.upscaler import Upscaler

BLEND = "blend"
MODELS = {
    "photo": "Photographs, also compressed ones",
    "srgan": "SRGAN, sharp",
    "srresnet": "SRResNet, faithful",
    BLEND: "Blend of SRGAN and SRResNet",
    "qr": "QR codes",
}
SIZES = {"2x": Size(2), "3x": Size(3), "4x": Size(4), "3840 pixels wide": Size(4, width=3840)}
SHOWN = 4096  # the longest side of the pictures in the page; the file to download is complete
KEPT = 3600  # seconds until files are deleted
LARGEST_FILE = "200mb"
# The browser may not load anything from another machine, such as fonts or scripts.
POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
STYLE = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
footer { display: none !important; }
"""
TITLE = """# Enlarge a picture

The models invent the detail that a small picture lacks: do not rely on letters, digits or faces in a result."""

HINT = "Drag the bar; zoom with the wheel."


class Page:
    """A page that enlarges one picture at a time."""

    def __init__(self, models=(), *, pixels: int, queue: int = 8):
        """
        Args:
            models: paths of SavedModels that are offered besides the shipped ones.
            pixels: the most pixels of a picture, and of all frames of an animation.
            queue: how many pictures may wait.
        """
        shipped = [name.rpartition("_x")[0] for name in sorted(zoo.shipped())]
        blended = [BLEND] if {"srgan", "srresnet"} <= set(shipped) else []
        known = [name for name in MODELS if name in (*shipped, *blended)]
        names = [*known, *(name for name in shipped if name not in known)]
        self._models = [*((MODELS.get(name, name), name) for name in names), *((path, path) for path in models)]
        self._pixels, self._queue = pixels, queue
        self._upscaler = functools.lru_cache(2)(Upscaler)

    @contextlib.contextmanager
    def served(self, host: str, port: int):
        """Serve the page in another thread while the block runs; yields its address.

        Raises:
            UserError: if the port is in use, or the host is not an address of this machine.
        """
        host = host.strip("[]")  # those of an IPv6 address
        _check_address(host, port)
        with tempfile.TemporaryDirectory(prefix="srgan_tf-", ignore_cleanup_errors=True) as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder
            blocks = self._blocks(Path(folder))
            try:
                _, address, _ = blocks.launch(
                    server_name=f"[{host}]" if ":" in host else host,
                    server_port=port,
                    prevent_thread_lock=True,
                    quiet=True,
                    inline=False,
                    share=False,
                    ssr_mode=False,
                    footer_links=[],
                    max_file_size=LARGEST_FILE,
                    theme=_theme(),
                    css=STYLE,
                    app_kwargs={"middleware": [Middleware(_Policy)], "docs_url": None, "redoc_url": None},
                )
            except OSError:
                raise _port_problem(host, port) from None
            try:
                yield address
            finally:
                blocks.close(verbose=False)

    def _blocks(self, folder):
        with gr.Blocks(
            title="srgan_tf", analytics_enabled=False, fill_width=True, delete_cache=(KEPT // 6, KEPT)
        ) as blocks:
            gr.Markdown(TITLE)
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    picture = gr.Image(
                        label=f"Picture of up to {self._pixels / 1e6:g} megapixels",
                        type="filepath",
                        image_mode=None,  # the file as it is
                        sources=["upload", "clipboard"],
                        height=260,
                    )
                    # Gradio would open the file itself, and show nothing if it is not an image.
                    picture.preprocess = lambda file: file and file.path
                    model = gr.Radio(self._models, value=self._models[0][1], label="Model")
                    fidelity = gr.Slider(
                        0, 1, 0.5, step=0.1, label="Fidelity", info="0 is SRGAN, 1 is SRResNet", visible=False
                    )
                    size = gr.Radio(list(SIZES), value="4x", label="Size")
                    button = gr.Button("Enlarge", variant="primary", interactive=False)
                with gr.Column(scale=4, min_width=320):
                    compared = gr.ImageSlider(
                        label="Bicubic | enlarged",
                        interactive=False,
                        buttons=["fullscreen"],
                        max_height=620,
                    )
                    facts = gr.Markdown(HINT)
                    download = gr.DownloadButton("Download", interactive=False)
            hidden = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
            model.change(lambda name: gr.update(visible=name == BLEND), model, fidelity, **hidden)
            picture.change(lambda path: gr.update(interactive=path is not None), picture, button, **hidden)
            button.click(
                functools.partial(self._enlarge, folder),
                [picture, model, fidelity, size],
                [compared, facts, download],
                concurrency_limit=1,
                api_visibility="private",
                show_progress_on=[compared],
                scroll_to_output=True,
            )
        return blocks.queue(max_size=self._queue)

    def _enlarge(self, folder, path, model, fidelity, size, progress=gr.Progress()):  # noqa: B008
        """Enlarge a file; returns what the page shows: two pictures, facts, and the file to download."""
        source, made = Path(path), Path(tempfile.mkdtemp(dir=folder))
        try:
            return self._result(made, source, model, fidelity, SIZES[size], progress)
        except Exception as error:  # such as a full disk; the page would only say "Error"
            shutil.rmtree(made, ignore_errors=True)
            if isinstance(error, UserError):
                text = str(error).replace(f"{source}", source.name)
                raise gr.Error(text, duration=None, print_exception=False) from None
            raise gr.Error(f"{source.name}: {reason(error)}. The terminal shows more.", duration=None) from error

    def _result(self, made, source, model, fidelity, size, progress):
        started = time.monotonic()
        self._check(source, size)
        progress(0, desc="loading the model")
        blend = fidelity if model == BLEND else None
        upscaler = self._upscaler(None if model == BLEND else model, fidelity=blend)
        upscaler.size = size
        target = made / f"{source.stem}_{size}{formats.suffix_for(source)}"
        result = jobs.make(jobs.Job(source, target), upscaler, _Reporter(progress))
        shown = [made / "before.jpg", made / "after.jpg"]
        for image, name in zip(_shown(source, target), shown):
            image.save(name, quality=92, subsampling=0)
        before, after = ("{} × {}".format(*numbers) for numbers in (result.small, result.large))
        lines = [
            f"{before} → {after} pixels, {target.stat().st_size / 1e6:.1f} MB, {time.monotonic() - started:.0f} s",
            *result.notes,
        ]
        return tuple(map(str, shown)), f"{'; '.join(lines)}. {HINT}", gr.update(value=str(target), interactive=True)

    def _check(self, path, size):
        """Refuse a picture with too many pixels, before or after, before it is decoded."""
        with reading.opened(path) as file:
            height, width = file.shape
            pixels = width * height * file.count
        if pixels > self._pixels:
            raise UserError(
                f"{path}: too large for this page: {width} x {height} pixels. Use srgan-upscale, or start srgan-demo "
                "with a higher --megapixels."
            )
        large_height, large_width = size.of(height, width)
        if large_width <= width:
            raise UserError(f"{path}: already {width} pixels wide. Choose 2x, 3x or 4x.")
        if large_width * large_height > 16 * self._pixels:
            raise UserError(
                f"{path}: the result would be too large for this page: {large_width} x {large_height} pixels. Choose "
                "another size."
            )


def _check_address(host, port):
    """Raise a UserError if the page cannot listen there: Gradio does not say why."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
            raise _port_problem(host, port) from None
        raise UserError(
            f"--host {host}: not an address of this machine ({reason(error)}). Give 127.0.0.1, ::1 or 0.0.0.0."
        ) from None


def _port_problem(host, port):
    return UserError(f"--port {port}: cannot listen on {host}, port {port}. Choose another --port.")


def _theme():
    fonts = {"font": ("system-ui", "sans-serif"), "font_mono": ("ui-monospace", "monospace")}  # not those of a CDN
    return gr.themes.Default(**fonts).set(block_info_text_color="*body_text_color_subdued")


class _Reporter(Reporter):
    """Shows the progress of one picture."""

    def __init__(self, progress):
        self._progress, self._done, self._frames = progress, 0.0, ""

    def tile(self, share):
        self._done += share
        self._progress(min(self._done % 1 if self._frames else self._done, 1), desc=f"enlarging{self._frames}")

    def frame(self, done, count):
        self._frames = f", frame {done + 1} of {count}"


class _Policy:
    """Adds `POLICY` to every response."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            await send(message)

        await self._app(scope, receive, with_policy if scope["type"] == "http" else send)


def _shown(source, target):
    """The first pictures of two files as RGB of one size: the enlarged one, and the small one after bicubic."""
    pictures = []
    for path in (source, target):
        with reading.opened(path) as file:
            pictures.append(_rgb(file))
    small, large = pictures
    large.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return small.resize(large.size, Image.Resampling.BICUBIC), large


def _rgb(file):
    """The picture in a `reading.PictureFile`, or the first frame, as 8-bit RGB on white."""
    animation = animations.read(file)
    picture = next(iter(animation.frames())) if animation else file.picture()
    pixels = picture.pixels if picture.pixels.dtype == np.uint8 else (picture.pixels / 257).round().astype(np.uint8)
    if picture.alpha is not None:
        alpha = picture.alpha[..., None] / np.iinfo(picture.alpha.dtype).max
        pixels = (pixels * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))
