"""Progress where there is no terminal."""

from keras_fvvae.utils import progress


def test_a_log_has_a_line_a_minute_and_one_at_the_end(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.progress_bar("Training", total=300) as update:
        for step in range(1, 301):
            now[0] += 0.5
            update(step, f"loss {step}")
    assert capsys.readouterr().err.splitlines() == [
        "Training 120/300, 0:01:00 loss 120",
        "Training 240/300, 0:02:00 loss 240",
        "Training 300/300, 0:02:30 loss 300",
    ]


def test_what_fails_says_how_far_it_was(capsys):
    try:
        with progress.progress_bar("Reading", total=None) as update:
            update(3)
            raise ValueError
    except ValueError:
        pass
    assert capsys.readouterr().err == "Reading 3, 0:00:00\n"


def test_silence(capsys):
    assert list(progress.track([1, 2], "Reading", enabled=False)) == [1, 2]
    assert capsys.readouterr().err == ""
