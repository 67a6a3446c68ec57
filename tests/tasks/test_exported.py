"""What is served by the name of a run or an entry."""

from keras_fvvae.tasks import exported as exported_module
from keras_fvvae.tasks.exported import exported
from tests.encoding.conftest import write_run


def test_it_is_exported_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []

    def export(sources, out):
        calls.append(sources)
        (out / "1").mkdir(parents=True)

    monkeypatch.setattr(exported_module, "export_runs", export)
    name, folder = exported("digits_conv")
    assert (name, folder.parent) == ("digits_conv", tmp_path / "cache" / "keras_fvvae" / "exports")
    assert exported("digits_conv") == (name, folder)
    assert calls == [["digits_conv"]]
    run = write_run(tmp_path / "mine", kind="image")
    name, other = exported(run)
    assert name == "mine"
    assert other != folder
