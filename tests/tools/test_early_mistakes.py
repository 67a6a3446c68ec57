"""Mistakes in arguments end in one sentence before TensorFlow is imported."""

import pytest

from tests.tools.fresh_commands import call_all

WRONG_DATA = ["--data", "/nowhere"]
MISTAKES = [
    (["train", "digit_conv"], 1, "Unknown zoo entry 'digit_conv'; did you mean 'digits_conv'?"),
    (["train", "nowhere.yaml"], 1, "The recipe file nowhere.yaml does not exist."),
    (["train", *WRONG_DATA], 1, "The data folder or list /nowhere does not exist."),
    (["train"], 1, "The recipe photos_lite2 needs --data"),
    (["train", "--tap", "conv5_3"], 1, "The recipe image_folder needs --data"),
    (["train", "--backbone-weights", "vgg19.h5"], 1, "The recipe image_folder needs --data"),
    (["train", "--data", "textiles"], 1, "brings its own data: name it by --dataset textiles, without --data."),
    (["train", "digits_conv", "--set", "latent_dims=3"], 1, "did you mean 'latent_dim'?"),
    (["train", "digits_conv", "--set", "latent_dim=0"], 1, "must be a positive integer. Received: 0"),
    (["train", "digits_conv", "--seed", "-1"], 2, "-1 is not in the range"),
    (["train", "digits_conv", "--backbone", "VGG91"], 1, "Unknown backbone 'VGG91'; did you mean 'VGG19'?"),
    (["train", "digits_conv", "--backbone", "no.keras"], 1, "The backbone no.keras is not a file."),
    (["train", "digits_conv", "--backbone", "hub:./no"], 1, "The backbone hub:./no "),
    (["train", "digits_conv", "--backbone-weights", "no.h5"], 1, "The backbone weights no.h5 are not a file."),
    (["train", "digits_conv", "--init", "/nowhere"], 1, "The run /nowhere does not exist."),
    (["train", "digits_conv", "--pretrain", "/nowhere"], 1, "The data folder or list /nowhere does not exist."),
    (["train", "digits_conv", "--init", "a", "--pretrain", "b"], 2, "both say where the training starts"),
    (["train", "digits_conv", "--strateggy", "none"], 2, "--strategy"),
    (["train", "photos_lite2", "--data", "/", "--init", "x"], 2, "A recipe with `branches` takes no --tap auto"),
    (["train", "photos_lite2", "--data", "/", "--tune"], 2, "A recipe with `branches` takes no --tap auto"),
    (["train", "digits_conv", "--set", "branches=[{}]"], 1, "`branches` must be two or more"),
    (["taps", "VGG91"], 1, "Unknown backbone 'VGG91'; did you mean 'VGG19'?"),
    (["compare", "photos_lite2", "--data", "/"], 1, "set `branches=[]`"),
    (["compare", "digits_conf"], 1, "did you mean 'digits_conv'?"),
    (["compare", "image_folder", *WRONG_DATA], 1, "The data folder or list /nowhere does not exist."),
    (["compare", "--tap", "auto"], 2, "--tap auto is of `train`: compare taps by"),
    (["sweep", "digits_conv", "steps=1,2", "--backbone", "VGG91"], 1, "did you mean 'VGG19'?"),
    (["compare", "--set", "step=1"], 1, "did you mean 'steps'?"),
    (["compare", "--only", "ave,vald"], 1, "Unknown representation to compare 'vald'; did you mean 'vlad'?"),
    (["sweep", "digits_conv", "steps=0,1"], 1, "The recipe key `steps` must be a positive integer. Received: 0"),
    (["sweep", "digits_conv", "step=1"], 1, "did you mean 'steps'?"),
    (["sweep", "digits_conv", "steps"], 1, "'steps' is not of the form key=a,b,c"),
    (["reproduce", "table2"], 2, "table2 needs --data: your copy of the paper's data set"),
    (["reproduce", "table2", *WRONG_DATA], 1, "The data folder or list /nowhere does not exist."),
    (["reproduce", "figure4b", "--recipe", "digits"], 1, "Unknown zoo entry 'digits'"),
    (["reproduce", "table2", "--data", "/", "--set", "step=1"], 1, "did you mean 'steps'?"),
    (["reproduce", "table4", "--data", "/", "--splits", "a"], 2, "--splits must be numbers such as 1,2,3."),
    (["reproduce", "table3", "--data", "/", "--recipe", "x"], 2, "--recipe is for table2 and the figures"),
    (["predict", "/nowhere", "a.jpg"], 1, "The run /nowhere does not exist."),
    (["predict", "/", "a.jpg"], 1, "/ is not a run of keras_fvvae: it holds no recipe.yaml."),
    (["search", "a.jpg"], 2, "Give either --index or --server."),
    (["search", "--index", "x", "--server", "http://x", "a.jpg"], 2, "Give either --index or --server."),
    (["search", "--server", "http://x", "--evaluate"], 2, "A --server searches for files, exactly"),
    (["search", "--server", "http://x", "a.jpg", "--approximate"], 2, "A --server searches for files, exactly"),
    (["serve", "/", "--index", "/nowhere"], 1, "The file /nowhere does not exist."),
    (["serve", "/", "--index", "/"], 1, "/ is no index: make one with `keras-fvvae index RUN"),
    (["serve", "/", "--index", "a", "--index", "b"], 2, "A model has one --index."),
    (["explain", "/nowhere", "a.jpg", "--out", "x"], 1, "The run /nowhere does not exist."),
    (["explain", "/", "a.jpg", "--out", "x"], 1, "/ is not a run of keras_fvvae: it holds no recipe.yaml."),
    (["export", "/nowhere", "--out", "x"], 1, "The run /nowhere does not exist."),
    (
        ["export", "/nowhere", "--out", "/tmp/birds [1]"],
        1,
        "takes '[' in a path for a pattern",
    ),
    (
        ["export", "/nowhere", "--out", "gs://bucket/birds"],
        1,
        "is an address, not a folder on this machine",
    ),
    (["export", "a", "b", "--weight", "1", "--out", "x"], 2, "2 runs need 2 times --weight, or none."),
    (["export", "a", "--quantize", "int8", "--out", "x"], 1, "SavedModel is not quantised: export it without"),
    (["export", "a", "--calibration", "/", "--out", "x"], 2, "--calibration is for --quantize."),
    (["predict", "/", "a.jpg", "--out", "a.txt"], 1, "ends in .csv or .jsonl. Received: a.txt"),
    (["suggest", "/nowhere", "a.jpg"], 1, "The run /nowhere does not exist."),
    (["train", "digits_conv", "--add-labels", "/no.csv"], 1, "The file /no.csv does not exist."),
    (["train", "digits_conv", "--add-labels", "/no.csv", "--tune"], 2, "leave out --add-labels"),
    (["train", "digits_conv", "--set", "name=../../x"], 2, "The recipe's name '../../x' cannot be that of a folder"),
    (["compare", "digits_conv", "--set", "name=../x"], 2, "cannot be that of a folder: name one with --out."),
    (["evaluate", "--shots", "1"], 2, "Few shots need --shots, and a RUN or --vectors"),
    (["evaluate", "/nowhere", "--shots", "1"], 1, "The run /nowhere does not exist."),
    (["evaluate", "/nowhere"], 1, "The run /nowhere does not exist."),
    (["evaluate", "--scores", "/nowhere.csv"], 1, "The file /nowhere.csv does not exist."),
    (["evaluate-views", "/nowhere"], 1, "The run /nowhere does not exist."),
    (["activitynet", "evaluate", "/nowhere", "/"], 1, "The file /nowhere does not exist."),
    (["fuse", "/nowhere", "/"], 1, "The run /nowhere does not exist."),
    (["encode", "/nowhere", "--data", "/", "--out", "x"], 1, "The run /nowhere does not exist."),
    (["encode", "digits_conv", *WRONG_DATA, "--out", "x"], 1, "The data folder or list /nowhere does not exist."),
    (["encode", "/", "--data", "/", "--out", "x", "--data-option", "boxes=true"], 2, "name it by --dataset."),
    (["encode", "/", "x", "--out", "x"], 2, "Missing option '--data'"),
    (["flow", *WRONG_DATA, "--out", "x"], 1, "The data folder or list /nowhere does not exist."),
    (
        ["flow", "videos", "--data", "/tmp", "--out", "/x"],
        2,
        "unexpected extra argument (videos). Data are named by",
    ),
    (["idt", *WRONG_DATA, "--out", "x"], 1, "The data folder or list /nowhere does not exist."),
    (["data", "check", *WRONG_DATA], 1, "The data folder or list /nowhere does not exist."),
    (["data", "check"], 1, "what brings its own data (digits, moving_digits, textiles)."),
    (["zoo", "show", "digits"], 1, "Unknown zoo entry 'digits'"),
    (["zoo", "publish", "/nowhere"], 1, "The run /nowhere does not exist."),
    (["zoo", "verify", "/nowhere"], 1, "The file /nowhere does not exist."),
    (["zoo", "import-release", "/nowhere"], 1, "The file /nowhere does not exist."),
    (["serve", "/nowhere"], 1, "There is no folder /nowhere."),
    (["serve", "--config", "/nowhere"], 1, "The file /nowhere does not exist."),
    (["sweep", "digits_conv", "backbone=VGG19,VGG91"], 1, "Unknown backbone 'VGG91'; did you mean 'VGG19'?"),
    (["flow", "--data", "/tmp", "--out", "/x", "--bound", "0"], 2, "0.0 is not in the range x>0."),
    (["serve", "/", "--grpc-port", "99999"], 2, "99999 is not in the range 0<=x<=65535."),
    (["serve", "/", "--port", "-1"], 2, "-1 is not in the range 0<=x<=65535."),
    (["serve", "/", "--config", "x"], 2, "Give either DIRECTORY or --config."),
]


@pytest.fixture(scope="module")
def called():
    """What every mistake led to, in one fresh process."""
    return call_all([arguments for arguments, *_ in MISTAKES])


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda number: " ".join(MISTAKES[number][0]))
def test_mistakes_are_told_before_tensorflow_is_imported(number, called):
    _, code, message = MISTAKES[number]
    result = called[number]
    assert (result.code, result.output) == (code, "")
    assert message in " ".join(result.errors.split())
    assert "Traceback" not in result.errors
    assert "tensorflow" not in result.modules
