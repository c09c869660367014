"""The journal compares a run with bicubic and with its start."""

import json

from srgan_tf.training.journal import Journal


def figures(psnr, lpips, prefix="validation"):
    return {f"{prefix}_psnr": psnr, f"{prefix}_lpips": lpips}


def test_the_summary_compares_bicubic_the_start_the_best_and_the_last_step(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.write_bicubic(figures(26.6, 0.36, "bicubic"), 1)
    for step, psnr, lpips in ((0, 30.0, 0.1), (10, 27.0, 0.3), (20, 28.0, 0.2), (30, 27.5, 0.25)):
        journal.write(step, figures(psnr, lpips))
    resumed = Journal(tmp_path, 30)
    for each in (journal, resumed):
        assert each.summary("validation_lpips", lower=True) == [
            "bicubic        PSNR 26.60 dB, LPIPS 0.3600",
            "start          PSNR 30.00 dB, LPIPS 0.1000",
            "best, step 20  PSNR 28.00 dB, LPIPS 0.2000",
            "last, step 30  PSNR 27.50 dB, LPIPS 0.2500",
        ]
    assert resumed.best("validation_psnr", lower=False) == 28.0  # the start has no checkpoint


def test_a_run_that_starts_anew_begins_an_empty_journal(tmp_path):
    Journal(tmp_path, 0).write_bicubic(figures(26.6, 0.36, "bicubic"), 1)
    again = Journal(tmp_path, 0)
    assert not again.bicubic and (tmp_path / "metrics.jsonl").read_text() == ""
    again.write(0, figures(20.0, 0.5))
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [0]


def test_the_figures_of_a_run_without_bicubic_are_still_compared(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.write(5, {"validation_psnr": 27.0})
    assert journal.summary("validation_psnr", lower=False) == [
        "best, step 5  PSNR 27.00 dB",
        "last, step 5  PSNR 27.00 dB",
    ]


def test_figures_of_other_validation_images_do_not_count(tmp_path):
    journal = Journal(tmp_path, 0)
    journal.write_bicubic(figures(26.6, 0.36, "bicubic"), 1)
    journal.write(10, figures(28.0, 0.2))
    journal.write_bicubic(figures(20.0, 0.5, "bicubic"), 2)
    journal.write(20, figures(21.0, 0.4))
    for each in (journal, Journal(tmp_path, 20)):
        assert each.best("validation_psnr", lower=False) == 21.0
        assert each.bicubic["images"] == 2 and each.bicubic["bicubic_psnr"] == 20.0


def test_the_measure_of_earlier_validations_is_known(tmp_path):
    journal = Journal(tmp_path, 0)
    assert journal.measure is None
    for step, figure, measure in ((1, "psnr", ""), (2, "content", "content"), (3, "lpips", "lpips")):
        journal.write(step, {"validation_psnr": 20.0, f"validation_{figure}": 0.5})
        assert journal.measure == Journal(tmp_path, step).measure == measure
