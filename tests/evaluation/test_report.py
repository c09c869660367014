"""The report: files that need no network, and a page whose slider, zoom, details and tables work in a browser."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from helpers import browser as browsers
from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets, evaluate, opinion, pages, report
from srgan_tf.evaluation.measures import METRICS
from srgan_tf.evaluation.results import provenance, write_results
from srgan_tf.resize import imresize

METHODS = {name: evaluate.load_method(name) for name in ("nearest", "bicubic")}
AWKWARD = "p2 #1?%41&'\"(é)"  # valid in file names, special in URLs


def sharper(lr):
    """Stands for a network: bicubic, and a little more contrast."""
    return np.clip((METHODS["bicubic"](lr).astype(float) - 128) * 1.1 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A report of two custom sets with three methods: (path of the page, results)."""
    root = tmp_path_factory.mktemp("report")
    sizes = {"flowers": [(120, 160), (160, 120), (64, 64)], "a </script> & <b>set": [(100, 100)]}
    sets = {}
    for seed, (title, shapes) in enumerate(sizes.items()):
        folder = root / f"set{seed}" / "HR"
        folder.mkdir(parents=True)
        for number, shape in enumerate(shapes):
            small = np.random.default_rng(10 * seed + number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
            name = AWKWARD if number == 2 else f"p{number}"
            Image.fromarray(imresize(small, size=shape)).save(folder / f"{name}.png")
        sets[title] = benchmark_sets.load_folder(folder.parent)[1]
    methods = METHODS | {"runs/x/saved_model/20000": sharper}
    made = report.Report(root / "page", list(methods))
    results = evaluate.evaluate(methods, sets, seen=made.add)
    results |= provenance("python evaluate.py --data_dir flowers", dict.fromkeys(methods), sets)
    return made.finish(results), results


@pytest.fixture(scope="module")
def browser():
    with browsers.chromium() as started:
        yield started


@pytest.fixture
def page(browser, evaluated):
    with browsers.page(browser, evaluated[0]) as opened:
        yield opened


def test_the_folder_holds_the_page_its_pictures_and_the_figures(evaluated):
    path, results = evaluated
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "index.html",
        "montage_a-script-b-set.png",
        "montage_flowers.png",
        "pictures",
        "results.csv",
        "results.json",
    ]
    assert json.loads((path.parent / "results.json").read_text()) == results
    shown = np.asarray(Image.open(path.parent / "pictures" / "flowers" / "p0_bicubic.png"))
    assert shown.shape == (120, 160, 3)
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", path.read_text())


def test_an_earlier_report_is_not_shown_with_new_pictures(tmp_path):
    hr = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(hr).save(tmp_path / "p.png")
    sets = {"set": [benchmark_sets.Pair("p", tmp_path / "p.png", None)]}

    def made(*names):
        page = report.Report(tmp_path / "page", names)
        methods = {name: METHODS[name] for name in names}
        results = evaluate.evaluate(methods, sets, seen=page.add)
        return page, results | provenance("", dict.fromkeys(methods), sets)

    page, results = made("nearest", "bicubic")
    page.finish(results)
    page, results = made("nearest")
    assert "not finished" in (tmp_path / "page" / "index.html").read_text()
    page.finish(results)
    assert "not finished" not in (tmp_path / "page" / "index.html").read_text()
    pictures = sorted(path.name for path in (tmp_path / "page" / "pictures").rglob("*.png"))
    assert pictures == ["p_hr.png", "p_nearest.png"]


@pytest.mark.parametrize("flag, kind", [("--report", report.Report), ("--mos", opinion.OpinionTest)])
def test_a_folder_is_refused_while_another_run_writes_it(tmp_path, flag, kind):
    running = kind(tmp_path / "page", ["nearest"])
    with pytest.raises(UserError, match=f"^{flag} .*page: another run is writing it. Wait for it"):
        kind(tmp_path / "page", ["nearest"])
    hr = np.zeros((40, 40, 3), np.uint8)
    running.add("set", "p", hr, hr[::4, ::4], {"nearest": hr})
    running.finish(results_of("set", "p", "nearest"))
    kind(tmp_path / "page", ["nearest"])


def test_sets_and_pictures_with_similar_or_long_names_have_files_of_their_own(tmp_path):
    made = report.Report(tmp_path / "page", ["nearest"])
    results = results_of("set5", "p", "nearest")
    names = ["é" * 122 + end for end in ("one", "two")]
    for level, (set_name, name) in enumerate([("set5", "p"), ("Set5_", "p"), ("Set5_", names[0]), ("Set5_", names[1])]):
        hr = np.full((40, 40, 3), level, np.uint8)
        made.add(set_name, name, hr, hr[::4, ::4], {"nearest": hr})
    results["sets"]["Set5_"] = results["sets"]["set5"]
    made.finish(results)
    files = list((tmp_path / "page" / "pictures").rglob("*_hr.png"))
    assert sorted(np.asarray(Image.open(file)).max() for file in files) == [0, 1, 2, 3]
    assert len(list((tmp_path / "page").glob("montage_*.png"))) == 2


def test_figures_that_cannot_be_written_name_the_flag_and_keep_the_earlier_ones(tmp_path):
    (tmp_path / "page" / "results.csv").mkdir(parents=True)
    (tmp_path / "page" / "results.json").write_text("earlier")
    with pytest.raises(UserError, match="page: cannot be written .* Give another folder with --report."):
        write_results(results_of("set5", "p", "nearest"), tmp_path / "page", "--report")
    assert (tmp_path / "page" / "results.json").read_text() == "earlier"
    assert len(list((tmp_path / "page").iterdir())) == 2


@pytest.mark.parametrize("released", [True, False])
def test_the_papers_rows_are_shown_beside_the_files_of_the_release_only(tmp_path, released):
    made = report.Report(tmp_path / "page", ["nearest"])
    hr = np.zeros((40, 40, 3), np.uint8)
    made.add("set5", "p", hr, hr[::4, ::4], {"nearest": hr})
    path = made.finish(results_of("set5", "p", "nearest") | {"files": {"set5": {"released": released}}})
    data = json.loads(path.read_text().split('id="data">')[1].split("</script>")[0])
    assert list(data["paper"]) == ["set5"] * released


def test_a_full_disk_is_one_line_and_leaves_no_part_of_a_page(tmp_path):
    resource = pytest.importorskip("resource")
    pages.claim(tmp_path, "--report", "report")
    before = (tmp_path / "index.html").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match="--report.*File too large") as caught:
            pages.write(tmp_path, "--report", "report", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "index.html").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "pictures"]


def test_the_montage_frames_where_methods_differ_most():
    a = np.full((60, 80, 3), 100, np.uint8)
    b = a.copy()
    b[40:50, 60:70] += 50
    difference, (x, y) = report.most_different(a, b)
    assert difference == pytest.approx(50 * 100 / 4800) and 58 <= x <= 72 and 38 <= y <= 52
    image = np.asarray(report.montage({"one": a, "two": b}, [("one", "(1 dB)"), ("two", "(2 dB)")], (x, y)))
    large = image[80:140, 16 : 16 + 80]  # below the picture: the framed part, 6 times as large
    assert image.shape[1] >= 2 * 80 and (large == 100).all(axis=2).mean() > 0.5


def test_the_captions_of_narrow_pictures_do_not_overlap():
    pictures = {name: np.zeros((40, 40, 3), np.uint8) for name in ("one", "two")}
    figures = "(28.43 dB / 0.8211)"
    images = [
        np.asarray(report.montage(pictures, [("", first), ("", figures)], (20, 20)))[-30:] for first in ("", figures)
    ]
    right = images[0].min(axis=(0, 2)) < 255  # the columns with text, of the second picture only
    both = images[1].min(axis=(0, 2)) < 255
    assert images[0].shape == images[1].shape
    start = int(right.argmax())
    assert both[: start - report.GAP // 2].any() and not both[start - report.GAP // 2 : start].any()


def test_file_names_are_portable_and_distinct():
    assert report.file_names(["runs/x y/1", "runs/x/y/1", "RUNS/x y/1", "HR"]) == [
        "runs-x-y-1",
        "runs-x-y-1-2",
        "runs-x-y-1-3",
        "hr",
    ]


def test_a_folder_with_other_files_is_refused_and_an_earlier_page_is_replaced(tmp_path, evaluated):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(UserError, match="--report"):
        report.Report(tmp_path, ["bicubic"])
    assert [p.name for p in tmp_path.iterdir()] == ["diary.txt"]
    (tmp_path / "site" / "pictures").mkdir(parents=True)  # an unrelated page
    (tmp_path / "site" / "pictures" / "cat.png").write_bytes(b"a cat")
    (tmp_path / "site" / "index.html").write_text("<title>My cat</title>")
    pages.claim(tmp_path / "mos", "--mos", "opinion")
    for other in ("site", "mos"):
        with pytest.raises(UserError, match="--report"):
            report.Report(tmp_path / other, ["bicubic"])
    assert "My cat" in (tmp_path / "site" / "index.html").read_text()
    assert (tmp_path / "site" / "pictures" / "cat.png").exists()
    pages.claim(tmp_path / "new", "--report", "report")  # a run that ended early
    assert "not finished" in (tmp_path / "new" / "index.html").read_text()
    report.Report(tmp_path / "new", ["bicubic"])
    report.Report(evaluated[0].parent, ["bicubic"])
    assert "not finished" not in evaluated[0].read_text()


def test_the_slider_moves_by_mouse_and_by_keyboard(page):
    page.wait_for_selector("#stage")
    assert divider(page) == pytest.approx(0.5)
    handle = page.locator("#handle").bounding_box()
    stage = page.locator("#stage").bounding_box()
    y = handle["y"] + handle["height"] / 3
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.8 * stage["width"], y, steps=3)
    page.mouse.up()
    assert divider(page) == pytest.approx(0.8, abs=0.01)
    page.keyboard.press("ArrowLeft")
    assert divider(page) == pytest.approx(0.78, abs=0.01)
    page.focus("#handle")
    page.keyboard.press("Home")
    assert divider(page) == 0 and page.get_attribute("#handle", "aria-valuenow") == "0"


def test_the_divider_separates_the_left_picture_from_the_right_one(page, evaluated):
    page.select_option("#left", "nearest")
    page.select_option("#right", "hr")
    page.keyboard.press("0")
    page.locator("#stage img").first.evaluate("image => image.decode()")
    page.locator("#stage img").last.evaluate("image => image.decode()")
    for side, file in (("left", "p0_nearest.png"), ("right", "p0_hr.png")):
        assert page.get_attribute(f"#{side}-image", "src").endswith(file)
    pixels = screenshot(page, page.locator("#stage"))
    times = pixels.shape[1] // 160
    small = {
        name: np.asarray(Image.open(evaluated[0].parent / "pictures" / "flowers" / f"p0_{name}.png"))
        for name in ("nearest", "hr")
    }
    for name, column in (("nearest", 20), ("hr", 140)):  # 10 rows from the top: no tag, no lens, no handle
        found = pixels[10 * times + times // 2, column * times + times // 2]
        assert np.abs(found.astype(int) - small[name][10, column]).max() <= 2


def test_a_picture_is_found_whatever_its_name(page):
    page.select_option("#picture", "2")
    assert page.locator("#list tbody tr.now td").first.inner_text() == AWKWARD
    for image in page.locator("#stage img").all():
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") == 64
    widths = page.evaluate("""() => Promise.all(
        [...document.querySelectorAll("*")].map((e) => e.style.backgroundImage).filter(Boolean).map(async (address) => {
            const image = new Image();
            image.src = address.slice('url("'.length, -'")'.length);
            await image.decode();
            return image.width;
        }))""")
    assert widths and set(widths) == {64}  # the details
    page.reload()  # by the address of the page, which names the picture
    assert page.locator("#list tbody tr.now td").first.inner_text() == AWKWARD


def test_the_zoom_is_synchronised_at_pixel_level(page):
    for step in range(3):
        page.keyboard.press("Shift+ArrowRight" if step % 2 else "Shift+ArrowDown")
        page.keyboard.press("+")
        boxes = [page.locator(f"#{side}-image").bounding_box() for side in ("left", "right")]
        assert boxes[0] == boxes[1]
    assert boxes[0]["width"] == pytest.approx(160 * 8, abs=0.1)
    assert page.locator("#left-image").evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"
    before = boxes[0]
    stage = page.locator("#stage").bounding_box()
    page.mouse.move(stage["x"] + stage["width"] * 0.3, stage["y"] + 60)
    page.mouse.down()  # dragging moves the picture when zoomed in
    page.mouse.move(stage["x"] + stage["width"] * 0.3 - 40, stage["y"] + 50, steps=2)
    page.mouse.up()
    boxes = [page.locator(f"#{side}-image").bounding_box() for side in ("left", "right")]
    assert boxes[0] == boxes[1] != before


def test_every_method_shows_the_detail_that_was_clicked(page, evaluated):
    stage = page.locator("#stage").bounding_box()
    page.mouse.click(stage["x"] + stage["width"] * 0.3, stage["y"] + stage["height"] * 0.4)
    styles = page.locator(".patch i").evaluate_all("all => all.map(i => i.style.backgroundPosition)")
    assert len(styles) == 4 and len(set(styles)) == 1
    patch = page.locator(".patch i").first
    side = patch.bounding_box()["width"]
    x, y = (float(part.removesuffix("px")) for part in styles[0].split())
    assert ((side / 2 - x) / 4, (side / 2 - y) / 4) == pytest.approx((0.3 * 160, 0.4 * 120), abs=1)


def test_the_keyboard_changes_pictures_and_sides_and_the_address_keeps_them(page, evaluated, browser):
    page.keyboard.press("n")
    assert page.input_value("#picture") == "1" and page.url.endswith("#flowers/p1")
    page.keyboard.press("4")
    page.keyboard.press("Shift+Digit1")
    assert (page.input_value("#left"), page.input_value("#right")) == ("nearest", "hr")
    page.keyboard.press("p")
    page.keyboard.press("p")
    assert page.input_value("#picture") == "3"  # wraps around
    with browsers.page(browser, f"{evaluated[0].as_uri()}#flowers/p1") as other:
        assert other.input_value("#picture") == "1"
    with browsers.page(browser, f"{evaluated[0].as_uri()}#100%") as other:  # not one of the page's own URLs
        assert other.input_value("#picture") == "0" and other.locator("#how code").count()


def test_the_list_is_sorted_by_a_figure_and_opens_a_picture(page, evaluated):
    pictures = evaluated[1]["sets"]["flowers"]["pictures"]
    page.select_option("#figure", "ssim")
    for falling in (True, False):  # the best first, then the reverse
        page.locator("#list th button").nth(2).click()
        expected = sorted(pictures, key=lambda p: p["figures"]["bicubic"]["paper"]["ssim"], reverse=falling)
        assert page.locator("#list tbody td:first-child").all_inner_texts() == [p["name"] for p in expected]
    page.locator("#protocol button", has_text="rgb").click()
    shown = page.locator("#list tbody tr").first.locator("td").nth(2).inner_text()
    first = min(pictures, key=lambda p: p["figures"]["bicubic"]["rgb"]["ssim"])
    assert shown == f"{first['figures']['bicubic']['rgb']['ssim']:.4f}"
    page.locator("#list tbody tr button").last.press("Enter")
    assert page.url.endswith(page.locator("#list tbody tr.now td").first.inner_text())


def test_the_table_of_means_is_sorted_by_a_metric(page, evaluated):
    mean = evaluated[1]["sets"]["flowers"]["mean"]
    table = page.locator("#tables table").first
    for worst_first in (False, True):  # the best first, then the reverse
        table.locator("thead button").nth(1).click()
        expected = sorted(mean, key=lambda method: mean[method]["paper"]["ssim"], reverse=not worst_first)
        assert table.locator("tbody td:first-child").all_inner_texts() == expected
    assert table.locator("th[aria-sort]").inner_text().startswith("SSIM")


def test_metrics_that_are_better_when_lower_are_sorted_and_marked_so(browser, tmp_path):
    made = report.Report(tmp_path / "page", ["one", "two"])
    image = np.zeros((40, 40, 3), np.uint8)
    figures = {"one": {"lpips": 0.4, "niqe": None}, "two": {"lpips": 0.1, "niqe": 5.0}}
    made.add("flowers", "rose", image, image[::4, ::4], {"one": image, "two": image})
    results = {"scale": 4, "protocols": [], "metrics": ["niqe", "lpips"], "methods": ["one", "two"]}
    results |= {"command": "", "date": "", "models": {}, "versions": {}}
    results["sets"] = {"flowers": {"pictures": [{"name": "rose", "figures": figures}], "mean": figures}}
    with browsers.page(browser, made.finish(results)) as page:
        assert page.locator("#tables .best").all_inner_texts() == ["5.000", "0.1000"]
        page.locator("#tables thead button").last.click()
        assert page.locator("#tables td:first-child").all_inner_texts() == ["two", "one"]
        assert "n/a" in page.locator("#tables").inner_text()
        assert "Lower is better for NIQE, LPIPS." in page.locator("#about").inner_text()
        assert page.locator("#figure option").all_inner_texts() == ["NIQE", "LPIPS"]
        assert page.locator("#list .best").all_inner_texts() == ["0.1000"]


def test_a_table_of_many_metrics_scrolls_on_a_phone_and_keeps_its_names_readable(browser, tmp_path):
    made = report.Report(tmp_path / "page", ["bicubic"])
    image = np.zeros((40, 40, 3), np.uint8)
    figures = {"bicubic": {"paper": {"psnr": 28.43, "ssim": 0.8211}, "lr_consistency": 37.27}}
    figures["bicubic"] |= {"lpips": 0.3435, "niqe": 8.453, "vgg54": 0.0123}
    made.add("set5", "img_001", image, image[::4, ::4], {"bicubic": image})
    results = {"scale": 4, "protocols": ["paper"], "metrics": list(METRICS), "methods": ["bicubic"]}
    results |= {"command": "", "date": "", "models": {}, "versions": {}}
    results["sets"] = {"set5": {"pictures": [{"name": "img_001", "figures": figures}], "mean": figures}}
    with browsers.page(browser, made.finish(results), width=390, height=844) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        cells = page.locator("#tables tbody td:first-child")
        assert {"bicubic", "paper's SRResNet"} <= set(cells.all_inner_texts())
        assert min(cell.bounding_box()["width"] for cell in cells.all()) > 110
        page.locator("#tables tbody td:last-child").first.scroll_into_view_if_needed()
        assert cells.first.bounding_box()["x"] >= 0  # the names stay in view
        hint = "getComputedStyle(document.querySelector('#tables .scroll'), '::before').content"
        assert "Scroll sideways" in page.evaluate(hint)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.wait_for_function(f"{hint} === 'none'")


def test_the_tables_hold_the_means_and_names_stay_text(page, evaluated):
    page.locator("#protocol button", has_text="bt601").click()
    rows = page.locator("#tables table").nth(1).locator("tbody tr")
    mean = evaluated[1]["sets"]["a </script> & <b>set"]["mean"]
    assert rows.count() == 3
    for row, (method, figures) in zip(rows.all(), mean.items()):
        psnr, ssim = figures["bt601"]["psnr"], figures["bt601"]["ssim"]
        assert row.locator("td").all_inner_texts() == [
            method,
            f"{psnr:.2f}",
            f"{ssim:.4f}",
            f"{figures['lr_consistency']:.2f}",
        ]
    assert page.locator("#tables caption").nth(1).inner_text().startswith("a </script> & <b>set")
    assert "python evaluate.py --data_dir flowers" in page.locator("#how").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_follows_its_colour_scheme(browser, evaluated, scheme):
    with browsers.page(browser, evaluated[0], width=360, height=740, color_scheme=scheme, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) > 400) == (scheme == "light")
        handle = page.locator("#handle").bounding_box()
        assert handle["width"] >= 44
        stage = page.locator("#stage").bounding_box()
        page.touchscreen.tap(stage["x"] + stage["width"] * 0.25, stage["y"] + stage["height"] * 0.3)
        lens = page.locator("#lens").bounding_box()
        assert lens["x"] + lens["width"] / 2 == pytest.approx(stage["x"] + stage["width"] * 0.25, abs=2)


def test_the_montage_has_legible_captions_on_a_phone_and_no_picture_waits_until_it_is_seen(browser, evaluated):
    with browsers.page(browser, evaluated[0], width=390, height=844) as page:
        images = page.locator("#list img, .montage img")
        assert images.count() >= 4 and all(images.evaluate_all("all => all.map((image) => image.complete)"))
        widths = "all => all.map((image) => image.clientWidth / Math.min(1072, image.naturalWidth))"
        assert min(page.locator(".montage img").evaluate_all(widths)) >= 0.99
        page.emulate_media(media="print")
        assert page.locator(".bar").is_hidden() and page.locator(".patch i").first.is_visible()


def test_the_papers_rows_are_shown_for_its_protocol_only(browser, tmp_path):
    made = report.Report(tmp_path / "page", ["bicubic"])
    image = np.zeros((40, 40, 3), np.uint8)
    figures = {"paper": {"psnr": float("inf"), "ssim": 1.0}, "rgb": {"psnr": 30.0, "ssim": 0.9}, "lr_consistency": 40.0}
    made.add("set5", "img_001", image, image[::4, ::4], {"bicubic": image})
    path = made.finish(
        {
            "scale": 4,
            "protocols": ["paper", "rgb"],
            "methods": ["bicubic"],
            "metrics": ["psnr", "ssim", "consistency"],
            "command": "",
            "date": "",
            "models": {},
            "versions": {},
            "sets": {
                "set5": {
                    "pictures": [{"name": "img_001", "figures": {"bicubic": figures}}],
                    "mean": {"bicubic": figures},
                }
            },
        }
    )
    with browsers.page(browser, path) as page:
        text = page.locator("#tables").inner_text()
        assert "paper's SRGAN" in text and "0.8472" in text and "\u221e" in text
        page.locator("#protocol button", has_text="rgb").click()
        assert "paper's" not in page.locator("#tables").inner_text()


def results_of(set_name, name, method):
    """The results of one method and one picture, without metrics."""
    found = {"pictures": [{"name": name, "figures": {method: {"lr_consistency": 40.0}}}]}
    found["mean"] = found["pictures"][0]["figures"]
    results = {"scale": 4, "protocols": [], "metrics": ["consistency"], "methods": [method], "models": {method: {}}}
    return results | {"command": "", "date": "", "versions": {}, "sets": {set_name: found}}


def divider(page):
    left = page.locator("#stage").evaluate("stage => stage.style.getPropertyValue('--divider')")
    return float(left.removesuffix("%")) / 100


def screenshot(page, locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"))
