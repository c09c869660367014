"""The opinion test: a complete session on its page, and the scores of the answers."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers import ROOT
from helpers import browser as browsers
from srgan_tf.errors import UserError
from srgan_tf.evaluation import evaluate, opinion

PROGRAM = ROOT / "evaluate.py"
METHODS = {name: evaluate.load_method(name) for name in ("nearest", "bicubic")}
NAMES = [*METHODS, "hr"]
GIVEN = {"nearest": 1, "bicubic": 3, "hr": 5}  # the ratings in these tests


def make_test(folder, *, seed=0, pictures=3, width=14, files=None):
    made = opinion.OpinionTest(folder, list(METHODS), seed=seed)
    for number in range(pictures):
        lr = np.random.default_rng(number).integers(0, 256, (12, width, 3), dtype=np.uint8)
        hr = METHODS["bicubic"](lr)[:, ::-1].copy()
        made.add("set5", f"img_{number:03}", hr, lr, {name: method(lr) for name, method in METHODS.items()})
    return made.finish({"models": {name: {} for name in METHODS}, "files": files})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_test(tmp_path_factory.mktemp("opinion") / "test")


@pytest.fixture(scope="module")
def browser():
    with browsers.chromium() as started:
        yield started


def test_file_names_reveal_nothing_and_one_picture_is_for_calibration(path):
    data = data_of(path)
    calibration, trials = data["calibration"], data["trials"]
    assert [c["method"] for c in calibration] == ["nearest", "hr"]
    assert len({c["picture"] for c in calibration}) == 1
    assert len(trials) == 2 * 3 and calibration[0]["picture"] not in {t["picture"] for t in trials}
    files = {p.name for p in (path.parent / "pictures").iterdir()}
    assert files == {t["file"].removeprefix("pictures/") for t in calibration + trials}
    assert not any(name in file for file in files for name in [*NAMES, "img", "set5"])


def test_the_seed_determines_the_test(path, tmp_path):
    again, other = make_test(tmp_path / "again"), make_test(tmp_path / "other", seed=1)
    assert again.read_bytes() == path.read_bytes()
    assert data_of(other)["test"]["id"] != data_of(path)["test"]["id"]
    assert {t["file"] for t in data_of(other)["trials"]}.isdisjoint(t["file"] for t in data_of(path)["trials"])


def test_tests_with_other_pictures_of_the_same_names_are_told_apart(path, tmp_path):
    other = make_test(tmp_path / "other", files={"set5": {"sha256": "of other files"}})
    assert data_of(other)["trials"] == data_of(path)["trials"]
    assert data_of(other)["test"]["id"] != data_of(path)["test"]["id"]


def test_the_calibration_shows_nearest_as_bad_and_the_original_as_excellent(path):
    calibration = data_of(path)["calibration"]
    number = int(calibration[0]["picture"].removeprefix("img_"))
    lr = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    for shown, expected in zip(calibration, (METHODS["nearest"](lr), METHODS["bicubic"](lr)[:, ::-1])):
        np.testing.assert_array_equal(np.asarray(Image.open(path.parent / shown["file"])), expected)


def test_a_single_picture_calibrates_and_is_rated(tmp_path):
    data = data_of(make_test(tmp_path / "one", pictures=1))
    assert len(data["trials"]) == 3 and data["calibration"][0]["picture"] == "img_000"


def test_an_earlier_test_is_replaced_with_its_pictures(tmp_path):
    make_test(tmp_path / "test", pictures=5)
    path = make_test(tmp_path / "test", seed=2)
    used = {t["file"] for key in ("calibration", "trials") for t in data_of(path)[key]}
    assert {f"pictures/{p.name}" for p in (path.parent / "pictures").iterdir()} == used


def test_a_session_clicked_through_gives_the_expected_means(browser, path, tmp_path):
    files = {t["file"]: t["method"] for t in data_of(path)["trials"]}
    with browsers.page(browser, path) as page:
        begin(page, "Anna B.")
        assert "1: bad" in page.inner_text("#calibration-text")
        page.click("#understood")
        assert "5: excellent" in page.inner_text("#calibration-text")
        page.click("#understood")
        for number in range(6):
            assert page.inner_text("#count") == f"{number + 1} of 6"
            score = GIVEN[files[page.get_attribute("#image", "src")]]
            button = page.locator(f"#scores button[value='{score}']:enabled")
            button.wait_for()
            if number % 2:
                page.keyboard.press(str(score))
            else:
                button.click()
        page.wait_for_selector("#finished:not([hidden])")
        with page.expect_download() as download:
            page.click("#save")
        assert download.value.suggested_filename == "opinion_Anna-B-.json"
        download.value.save_as(tmp_path / "answers" / "anna.json")
    done = subprocess.run(
        [sys.executable, PROGRAM, "--output", tmp_path / "out", "--mos_results", tmp_path / "answers" / "*.json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    rows = {line[0]: line[1:] for line in lines if line and line[0] in ("nearest", "bicubic", "HR")}
    assert rows["nearest"] == ["1.00", "2", "2", "0", "0", "0", "0", "1.28"]  # one rater: no interval
    assert rows["bicubic"] == ["3.00", "2", "0", "0", "2", "0", "0", "1.97"]
    assert rows["HR"] == ["5.00", "2", "0", "0", "0", "0", "2", "4.32"]
    assert "less than full size" not in done.stdout
    written = json.loads((tmp_path / "out" / "opinion.json").read_text())
    assert written["sets"]["set5"]["bicubic"]["mean"] == 3 and written["raters"] == ["Anna B."]


def test_a_wide_picture_is_shown_at_full_size_if_the_screen_is_large_enough(browser, tmp_path):
    wide = make_test(tmp_path / "test", pictures=1, width=290)  # 1160 pixels
    for screen, share in ((1280, 1), (1000, (1000 - 48) / 1160)):
        with browsers.page(browser, wide, width=screen) as page:
            begin(page, "emil")
            page.click("#understood")
            page.click("#understood")
            rate(page, 3)
            assert page.evaluate("document.documentElement.scrollWidth") == screen
            assert page.evaluate("session.answers[0].shown") == pytest.approx(share, abs=1e-3)


def test_a_rater_may_go_back_and_may_pause(browser, path):
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    begin(page, "ben")
    page.click("#understood")
    page.click("#understood")
    first = page.get_attribute("#image", "src")
    rate(page, 2)
    rate(page, 4)
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    assert page.get_attribute("#image", "src") == first
    assert page.locator("#scores button.chosen").get_attribute("value") == "2"
    rate(page, 5)
    assert page.locator("#scores button.chosen").get_attribute("value") == "4"
    page.reload()
    begin(page, "ben")  # continues after the calibration and the ratings so far
    assert page.inner_text("#count") == "3 of 6"
    with page.expect_download() as download:
        page.click("#pause")
    assert [a["score"] for a in json.loads(open(download.value.path()).read())["answers"]] == [5, 4]
    context.close()


def test_a_picture_that_cannot_be_loaded_is_not_rated(browser, tmp_path):
    path = make_test(tmp_path / "test")
    data = data_of(path)
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    (path.parent / "pictures").rename(tmp_path / "elsewhere")  # only index.html was sent to the rater
    begin(page, "fay")
    page.wait_for_selector("#missing:not([hidden])")
    assert "pictures/" in page.inner_text("#missing") and page.is_disabled("#understood")
    (tmp_path / "elsewhere").rename(path.parent / "pictures")
    page.reload()
    begin(page, "fay")
    page.click("#understood")
    page.click("#understood")
    page.locator("#scores button:enabled").first.wait_for()
    assert page.is_hidden("#missing")
    following = page.evaluate("order[2].file")
    assert following in {trial["file"] for trial in data["trials"]}
    (path.parent / following).unlink()
    rate(page, 2)
    page.locator("#scores button:enabled").first.wait_for()
    page.keyboard.press("4")
    page.wait_for_selector("#missing:not([hidden])")
    page.keyboard.press("3")
    assert page.inner_text("#count") == "3 of 6" and page.locator("#scores button:enabled").count() == 0
    page.keyboard.press("Backspace")  # those that are there can still be rated
    page.locator("#scores button:enabled").first.wait_for()
    assert page.is_hidden("#missing") and page.evaluate("session.answers.length") == 2
    context.close()


def test_raters_see_different_orders_and_each_the_same_again(browser, path):
    orders = []
    for rater in ("carla", "carla", "dora"):
        with browsers.page(browser, path, width=360, height=740) as page:
            assert page.inner_text("#amount") == "6 pictures, about 1 minute."
            assert page.evaluate("document.documentElement.scrollWidth") == 360
            begin(page, rater)
            orders.append(page.evaluate("order.map(trial => trial.file)"))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_means_intervals_and_distributions_come_from_the_ratings():
    scores = opinion.score([session("a", [1, 4, 5]), session("b", [2, 4, 5]), session("c", [1, 3, 4])])
    found = scores["sets"]["set5"]
    assert found["nearest"] == {
        "mean": 4 / 3,
        "interval": pytest.approx(1.96 * math.sqrt(1 / 3) / math.sqrt(3)),
        "ratings": 3,
        "distribution": [2, 1, 0, 0, 0],
    }
    assert found["hr"]["distribution"] == [0, 0, 0, 1, 2]
    assert opinion.score([session("a", [1, 4, 5])])["sets"]["set5"]["hr"]["interval"] is None


def test_the_interval_is_over_raters_and_not_over_their_many_ratings():
    sessions = [session("a", [1, 4, 5] * 20), session("b", [3, 4, 5] * 20)]
    found = opinion.score(sessions)["sets"]["set5"]["nearest"]
    assert found["mean"] == 2 and found["ratings"] == 40
    assert found["interval"] == pytest.approx(1.96 * math.sqrt(2) / math.sqrt(2))
    assert opinion.score(sessions[:1])["sets"]["set5"]["nearest"]["interval"] is None


def careful_raters():
    """The true scores of 60 pictures, and the sessions of 40 raters who differ from them at random."""
    truth, noise = np.array([2, 4] * 30), np.rint(np.random.default_rng(0).normal(0, 0.7, (40, 60)))
    given = np.clip(truth + noise, 1, 5).astype(int)
    return truth, [session(f"r{i}", row.tolist()) for i, row in enumerate(given)]


def test_a_rater_who_contradicts_the_others_is_excluded():
    truth, careful = careful_raters()
    contrary = session("contrary", (6 - truth).tolist())
    assert opinion.screen(careful) == []
    assert opinion.screen([*careful, contrary]) == ["contrary"]
    scores = opinion.score([*careful, contrary])
    assert "contrary" not in scores["raters"] and scores["left_out"] == ["contrary"]
    assert "excluded by screening (ITU-R BT.500): contrary" in opinion.format_table(scores)


def test_the_table_counts_pictures_that_were_shown_at_less_than_full_size():
    given = session("a", [1, 4, 5, 2, 4, 5])
    for answer, shown, pixel_ratio in zip(given["answers"], (1, 0.8, 0.8, 0.5, 1), (1, 1, 1.5, 2, 0.9)):
        answer |= {"shown": shown, "pixel_ratio": pixel_ratio}
    scores = opinion.score([given])
    assert scores["shown_smaller"] == 2
    assert "\n2 of the ratings are of pictures that were shown at less than full size" in opinion.format_table(scores)


def test_a_rater_who_is_always_stricter_is_kept():
    truth, careful = careful_raters()
    strict = session("strict", np.clip(truth - 2, 1, 5).tolist())  # 26 of 60 extreme ratings, all of them low
    assert opinion.screen([*careful, strict]) == []


@pytest.mark.parametrize(
    "raters, higher, lower, excluded",
    [
        (40, 6, 4, True),
        (40, 7, 3, False),  # mostly in one direction: a generous rater, not a careless one
        (10, 6, 4, False),  # 2.8 standard deviations: extreme only if the ratings were normally distributed
    ],
)
def test_screening_follows_the_limits_of_bt500(raters, higher, lower, excluded):
    agreeing = [session(f"r{i}", [3] * 10) for i in range(raters - 1)]
    other = session("other", [4] * higher + [2] * lower)
    assert opinion.screen([*agreeing, other]) == ["other"] * excluded


@pytest.mark.parametrize("degradation", [None, {"name": "jpeg=30", "seed": 0}])
def test_the_papers_scores_are_shown_unless_lr_was_degraded(degradation):
    given = session("a", [1, 4, 5])
    given["test"]["degradation"] = degradation
    table = opinion.format_table(opinion.score([given]))
    assert ("the paper's" in table, "1.28" in table) == (degradation is None,) * 2


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda s: "not JSON", "not the answers"),
        (lambda s: [], "not the answers"),
        (lambda s: s | {"answers": []}, "not the answers"),
        (lambda s: s | {"answers": [s["answers"][0] | {"score": 6}]}, "not the answers"),
        (lambda s: s | {"answers": s["answers"] * 2}, "not the answers"),
        (lambda s: s | {"answers": [s["answers"][0] | {"shown": "large"}]}, "not the answers"),
        (lambda s: s | {"test": s["test"] | {"methods": "nearest bicubic hr"}}, "not the answers"),
        (lambda s: s | {"answers": [s["answers"][0] | {"set": 5}]}, "not the answers"),
        (lambda s: s | {"test": s["test"] | {"id": "other"}}, "another test"),
        (lambda s: s | {"rater": "a"}, "rater"),
    ],
)
def test_an_invalid_file_of_answers_is_named(tmp_path, harm, said):
    (tmp_path / "a.json").write_text(json.dumps(session("a", [1, 4, 5])))
    content = harm(session("b", [1, 4, 5]))
    (tmp_path / "b.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=said) as caught:
        opinion.read_answers([tmp_path / "*.json"])
    assert str(tmp_path / "b.json") in str(caught.value) and "\n" not in str(caught.value)


def test_the_program_takes_files_as_a_shell_expands_them(tmp_path):
    files = [tmp_path / f"{rater}.json" for rater in ("a1", "a[1]", "b")]
    for file in files:
        file.write_text(json.dumps(session(file.stem, [1, 4, 5])), encoding="utf-8-sig")  # as some editors save it
    done = subprocess.run([sys.executable, PROGRAM, "--mos_results", *files], capture_output=True, text=True)
    assert done.stdout.startswith("9 ratings of 3 raters\n"), done.stderr


def test_names_from_a_file_of_answers_are_printed_without_control_characters():
    given = session("rater", [1, 4, 5])
    for answer in given["answers"]:
        answer["set"] = "\x1b]0;title\x07set\nsecond line"
    table = opinion.format_table(opinion.score([given]))
    assert r"\x1b]0;title\x07set\nsecond line" in table.splitlines()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"test": ' * 50_000])
def test_deeply_nested_answers_give_one_line(tmp_path, text):
    (tmp_path / "answers.json").write_text(text)
    with pytest.raises(UserError, match="answers.json: not the answers to an opinion test"):
        opinion.read_answers([str(tmp_path / "answers.json")])


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="nobody.json"):
        opinion.read_answers([tmp_path / "nobody.json"])


def session(rater, scores):
    """What a rater's page saves; the scores go to nearest, bicubic and HR in turn."""
    answers = [
        {"set": "set5", "picture": f"img_{i // 3:03}", "method": NAMES[i % 3], "score": score}
        for i, score in enumerate(scores)
    ]
    test = {"format": opinion.FORMAT, "id": "1", "seed": 0, "scale": 4, "methods": NAMES, "models": {}}
    return {"test": test, "rater": rater, "answers": answers}


def data_of(path):
    text = path.read_text()
    return json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def begin(page, rater):
    page.fill("#rater", rater)
    page.keyboard.press("Enter")


def rate(page, score):
    page.locator(f"#scores button[value='{score}']:enabled").click()
    page.locator("#image:not(.waiting)").wait_for()
