"""What tests of packs read and change of their files."""

import json

ENTRY = "digits_conv"


def content_of(pack):
    return pack.model.read_text()


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
